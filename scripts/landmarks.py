"""Detect facial landmarks in every view."""

from headcast.process.command import command
from headcast.stages.landmarks import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
