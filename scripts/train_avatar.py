"""Train Gaussian head and strand hair (stage two)."""

from headcast.process.command import command
from headcast.stages.train_avatar import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
