"""Score every stage against ground truth."""

from headcast.process.command import command
from headcast.stages.score import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
