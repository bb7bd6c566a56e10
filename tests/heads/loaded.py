"""The open head for tests: built once per state of its source files, kept in the system's temporary folder."""

from __future__ import annotations

import hashlib
import tempfile
from functools import cache
from pathlib import Path

from headcast.heads import open_build, open_head, open_landmarks, open_regions
from headcast.heads.linear_head import LinearHead
from headcast.heads.open_head import load


@cache
def cache_path() -> Path:
    """Where the built model is kept for the present state of its source files."""
    sources = [Path(str(module.__file__)) for module in (open_build, open_head, open_landmarks, open_regions)]
    sources.append(sources[0].with_name(open_landmarks.TABLE))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"headcast-open-head-{digest}.npz"


@cache
def loaded_head() -> LinearHead:
    """The model, from the cache when no source file changed."""
    return load(cache_path())
