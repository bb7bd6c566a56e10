"""Examine capture and preprocessing of a sequence before training."""

from headcast.process.command import command
from headcast.stages.doctor import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
