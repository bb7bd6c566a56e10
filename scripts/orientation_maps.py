"""Measure the orientation of hair."""

from headcast.command import command
from headcast.stages.orientation_maps import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
