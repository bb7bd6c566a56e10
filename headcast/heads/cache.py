"""The file that a head model is kept in once built: an npz of plain arrays, written whole or not at all."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from headcast.errors import BadFile
from headcast.formats.atomic import atomic_path


def read_cache(cache: Path | None, recipe: str) -> dict[str, np.ndarray] | None:
    """The cached arrays, or none when there is no such file or another recipe made it; a damaged one raises ``BadFile``."""
    if cache is None or not cache.exists():
        return None
    try:
        with np.load(cache, allow_pickle=False) as archive:
            if str(archive["recipe"]) != recipe:
                return None
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BadFile(cache, "the cached head model is damaged", "delete it, the head_model stage builds it again") from error


def write_cache(cache: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays under their final name once they are on the disk."""
    with atomic_path(cache) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
