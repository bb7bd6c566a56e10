"""Random checkpoints with the names and shapes of the published ones, written once and removed with the session."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from .checkpoints import SPECS, filled


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Path of a network's checkpoint, in half precision to be small."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def made(name: str) -> Path:
        path = folder / f"{name}.pth"
        if not path.exists():
            state = {key: value.half() if value.is_floating_point() else value for key, value in filled(SPECS[name]()).items()}
            torch.save(state, path)
        return path

    yield made
    shutil.rmtree(folder)
