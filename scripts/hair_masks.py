"""Label hair, face and body in every view."""

from headcast.stages.hair_masks import Inputs, run

from headcast.command import command

if __name__ == "__main__":
    command(Inputs, run)
