"""Draw the fit over the pictures, over time and all around."""

from headcast.process.command import command
from headcast.stages.fit_pictures import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
