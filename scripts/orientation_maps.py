"""Measure the orientation of hair."""

from headcast.process.command import command
from headcast.stages.orientation_maps import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
