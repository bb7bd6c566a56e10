"""Write the products of a sequence in the layout of Gaussian Head Avatar."""

from headcast.process.command import command
from headcast.stages.export_gha import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
