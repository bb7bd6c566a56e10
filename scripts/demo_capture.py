"""Make the embedded demo subject: geometry, rendered pictures, ground truth, capture folder."""

from headcast.process.command import command
from headcast.stages.demo_capture import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
