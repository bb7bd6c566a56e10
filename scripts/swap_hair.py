"""Give an avatar the hair of another one."""

from headcast.process.command import command
from headcast.stages.swap_hair import Inputs, run

if __name__ == "__main__":
    command(Inputs, run)
