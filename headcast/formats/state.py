"""Training state that survives a kill: the last three, guarded by a lock, by digests and by a fingerprint of all they depend on.

It lives outside every rule's output, because declared outputs vanish before a re-run. A matching fingerprint resumes, another one
starts anew and says so.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from headcast.errors import HeadcastError
from headcast.formats.tensors import DAMAGED, load_tensors, save_tensors

RING = ("state.pt", "state.1.pt", "state.2.pt")
"""The newest state and the two before it, for the case that a disk damages one."""
logger = logging.getLogger(__name__)


def fingerprint(**parts: Any) -> str:
    """SHA-256 over the JSON of what a state depends on: settings, input digests, code hash."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class FileStore:
    """A ``headcast.training.loop.StateStore`` in a folder; use it through ``open_store``."""

    def __init__(self, folder: Path, mark: str) -> None:
        self.paths, self._mark = [folder / name for name in RING], mark

    def load(self) -> dict[str, Any] | None:
        """The newest whole state if it belongs to the same work, otherwise None."""
        for path in self.paths:
            if not path.exists():
                continue
            try:
                saved = load_tensors(path)
                state: dict[str, Any] = saved["state"]
                if content_digest(state) != saved["digest"]:
                    raise ValueError("its digest does not match its content")
            except (*DAMAGED, TypeError) as error:
                logger.warning("%s cannot be read (%s)", path, str(error).splitlines()[0] if str(error) else type(error).__name__)
                continue
            if saved["fingerprint"] == self._mark:
                logger.info("resuming from %s", path)
                return state
            logger.warning("%s belongs to other settings, inputs or code; starting anew", path)
            return None
        return None

    def save(self, state: dict[str, Any]) -> None:
        """Keep ``state`` atomically and the two before it."""
        for newer, older in reversed(list(pairwise(self.paths))):
            if newer.exists():
                newer.replace(older)
        save_tensors(self.paths[0], {"fingerprint": self._mark, "digest": content_digest(state), "state": state})

    def clear(self) -> None:
        """Forget all states: the work is done, or a fresh start was asked for."""
        for path in self.paths:
            path.unlink(missing_ok=True)


class ReadStore(FileStore):
    """The states of another process, which alone writes them."""

    def save(self, state: dict[str, Any]) -> None:
        """Leave that to the other process."""

    def clear(self) -> None:
        """Leave that to the other process."""


def content_digest(content: Any) -> str:
    """SHA-256 over nested dicts, lists, tensors and plain values: names, types, shapes and bytes."""
    state = hashlib.sha256()

    def take(value: Any) -> None:
        if isinstance(value, Mapping):
            state.update(f"{{{len(value)}".encode())
            for key in value:
                state.update(repr(key).encode())
                take(value[key])
        elif isinstance(value, list | tuple):
            state.update(f"[{len(value)}".encode())
            for item in value:
                take(item)
        elif isinstance(value, Tensor):
            tensor = value.detach().to("cpu").contiguous()
            state.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            state.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
        else:
            state.update(repr(value).encode())

    take(content)
    return state.hexdigest()


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
