"""Fit the parametric head to the landmarks."""

from headcast.process.command import command
from headcast.stages.fit_head import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
