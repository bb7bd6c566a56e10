"""Label hair, face and body in every view."""

from headcast.process.command import command
from headcast.stages.hair_masks import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
