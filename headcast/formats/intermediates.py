"""What a finished avatar no longer needs: removed to make room, made again by the workflow when something asks for it."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from headcast.errors import HeadcastError
from headcast.layout import INTERMEDIATE


def remove_intermediates(folder: Path) -> int:
    """Remove the intermediate products of one sequence and return how many bytes that freed.

    ``HeadcastError`` when a trainer is at work there. The manifest of a product goes first: what is left after a crash is an
    unfinished product, not a damaged one.
    """
    present = [path for name in INTERMEDIATE if (path := folder / name).exists()]
    with _nobody_trains(folder / "state"):
        freed = sum(size_on_disk(path) for path in present)
        folders = [path for path in present if path.is_dir()]
        for path in present:
            (path / "manifest.json" if path in folders else path).unlink(missing_ok=True)
        for path in folders:
            shutil.rmtree(path)
    return freed


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(member.stat().st_size for member in path.rglob("*") if member.is_file())


@contextmanager
def _nobody_trains(state: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            for lock in sorted(state.glob("*/lock")):
                fcntl.flock(stack.enter_context(open(lock, "w", encoding="utf-8")), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HeadcastError(state.parent, "an avatar is being trained here", "wait for it or stop it") from error
        yield
