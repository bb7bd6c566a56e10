"""Training state that survives a kill: one file, guarded by a lock and by a fingerprint of everything it depends on.

It lives outside every rule's output, because declared outputs vanish before a re-run. A matching fingerprint resumes, another one
starts anew and says so.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headcast.errors import HeadcastError
from headcast.formats.tensors import DAMAGED, load_tensors, save_tensors

logger = logging.getLogger(__name__)


def fingerprint(**parts: Any) -> str:
    """SHA-256 over the JSON of what a state depends on: settings, input digests, code hash."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class FileStore:
    """A ``headcast.training.loop.StateStore`` in a folder; use it through ``open_store``."""

    def __init__(self, folder: Path, mark: str) -> None:
        self.path, self._mark = folder / "state.pt", mark

    def load(self) -> dict[str, Any] | None:
        """The saved state if it belongs to the same work, otherwise None."""
        if not self.path.exists():
            return None
        try:
            saved = load_tensors(self.path)
            if saved["fingerprint"] == self._mark:
                logger.info("resuming from %s", self.path)
                state: dict[str, Any] = saved["state"]
                return state
        except (*DAMAGED, TypeError) as error:
            logger.warning("%s cannot be read (%s); starting anew", self.path, error)
            return None
        logger.warning("%s belongs to other settings, inputs or code; starting anew", self.path)
        return None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state atomically."""
        save_tensors(self.path, {"fingerprint": self._mark, "state": state})

    def clear(self) -> None:
        """Forget the state: the work is done, or a fresh start was asked for."""
        self.path.unlink(missing_ok=True)


@contextmanager
def open_store(folder: Path, mark: str, resume: bool = True) -> Iterator[FileStore]:
    """Lock ``folder`` and yield its store; a second writer waits for nothing and fails with one line."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HeadcastError(folder, "another process is training here", "wait for it or stop it") from error
        store = FileStore(folder, mark)
        if not resume:
            store.clear()
        yield store
