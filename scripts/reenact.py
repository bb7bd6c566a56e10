"""Render a film of the avatar driven by a track."""

from headcast.process.command import command
from headcast.stages.reenact import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
