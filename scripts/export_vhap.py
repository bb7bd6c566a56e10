"""Write a fitted FLAME track in the layout of VHAP's export."""

from headcast.process.command import command
from headcast.stages.export_vhap import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
