"""Take the products before the fit from a folder preprocessed for Gaussian Head Avatar."""

from headcast.process.command import command
from headcast.stages.import_gha import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
