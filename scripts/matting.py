"""Matte every view against its plate."""

from headcast.process.command import command
from headcast.stages.matting import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
