"""Files appear whole under their final name or not at all: temp → flush → fsync → rename."""

from __future__ import annotations

import fcntl
import glob
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from headcast.process.shortage import fills_disk, full_disk


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling to write to; it replaces ``path`` when the block ends well and vanishes otherwise.

    The suffix is kept so that encoders recognise the container. A full disk becomes ``OutOfResources``. What killed writers of
    ``path`` left behind is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    temporary = Path(name)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield temporary
        _synchronise(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        if fills_disk(error, temporary):
            raise full_disk(path) from error
        raise
    finally:
        os.close(handle)
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> Path:
    """Write ``value`` as stable, readable JSON; NaN is refused because JSON has none."""
    with atomic_path(path) as temporary:
        temporary.write_text(
            json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return Path(path)


def _remove_leftovers(path: Path) -> None:
    """A temporary file that nobody holds locked belonged to a writer that was killed."""
    for leftover in path.parent.glob(f".{glob.escape(path.stem)}.????????{glob.escape(path.suffix)}"):
        with suppress(OSError), open(leftover, "rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink()


def _synchronise(path: Path) -> None:
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
