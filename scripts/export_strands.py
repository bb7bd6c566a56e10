"""Write the trained strands as files for other programs."""

from headcast.process.command import command
from headcast.stages.export_strands import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
