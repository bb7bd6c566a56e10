"""The results of all subjects side by side."""

from headcast.process.command import command
from headcast.stages.summarise import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
