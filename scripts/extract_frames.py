"""Turn raw videos into working images with cameras and plates."""

from headcast.process.command import command
from headcast.stages.extract_frames import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
