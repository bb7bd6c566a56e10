"""NumPy archives of a capture: plain arrays, or a line that says why not."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from headcast.errors import BadFile

DAMAGED = (OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def read_arrays(path: Path, what: str, todo: str) -> dict[str, np.ndarray]:
    """All arrays of an ``npz``; ``BadFile`` says that it is not ``what``. Objects, which would run code, are refused."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (*DAMAGED, AttributeError) as error:  # of an npy, which has no files
        raise BadFile(path, f"is not {what} ({error})", todo) from error
