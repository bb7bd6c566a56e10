"""Take pictures, mattes, cameras and the track from a capture that VHAP tracked."""

from headcast.process.command import command
from headcast.stages.import_vhap import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
