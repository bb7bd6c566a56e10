"""Tensors in a file: the same bytes for the same content, read without running anything, a shortage of memory called one."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from headcast.formats.atomic import atomic_path
from headcast.process.shortage import shortage

DAMAGED = (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile)
"""What reading a file that is cut, altered or something else raises."""


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values atomically; a stream has no name that would get into the bytes."""
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        torch.save(content, stream)


def load_tensors(path: Path) -> Any:
    """What ``save_tensors`` wrote, on the CPU; one of ``DAMAGED`` for anything else, ``OutOfResources`` when memory is full."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGED as error:
        if short := shortage(error, str(path)):
            raise short from error
        raise
