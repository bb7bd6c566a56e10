"""Grow the strands that training starts with, or take them from a file."""

from headcast.process.command import command
from headcast.stages.grow_hair import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
