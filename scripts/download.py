"""Check the raw capture of a sequence, downloading it first when it is missing."""

from headcast.process.command import command
from headcast.stages.download import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
