"""Measure the avatar on held-out views."""

from headcast.process.command import command
from headcast.stages.evaluate import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
