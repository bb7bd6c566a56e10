"""Build and cache a head model."""

from headcast.process.command import command
from headcast.stages.head_model import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
