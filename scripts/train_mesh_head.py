"""Train the mesh head (stage one)."""

from headcast.process.command import command
from headcast.stages.train_mesh_head import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
