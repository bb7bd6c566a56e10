"""One writer at a time: the log of a job is also its lock.

Every job has a log of its own, and whatever it starts inherits that log as standard output or error. The lock (``flock``) belongs
to the open log, so the kernel keeps it until the last process of the job has ended, however it ended, and then gives it back.
Snakemake removes a log before it starts its job, so the file has a second name that nobody removes: ``logs/.{stage}.lock``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

from headcast.errors import HeadcastError

PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.1
WORKING = re.compile(rb"process \d+ on \S+")


def claim_log(
    path: Path, waiting: Callable[[], None], wanted: Callable[[], bool] = lambda: True, patience: float = PATIENCE_SECONDS
) -> int:
    """Open and empty the log for this process alone; returns its file descriptor.

    An earlier process of the same job is waited for (``waiting`` is called once), for at most ``patience`` s; then
    ``HeadcastError``, and its log stays as it is. ``KeyboardInterrupt`` when nobody ``wanted`` the job any more at the moment it
    got the lock: the next run may have done it meanwhile. Where the file system knows no locks, there is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline, told, lock = time.monotonic() + patience, False, second_name(path)
    while (stream := _try(lock)) is None:
        if not told:
            waiting()
            told = True
        if time.monotonic() > deadline:
            raise HeadcastError(path, f"another {_holder(lock)} still works on this", "wait for it or stop it, then run again")
        time.sleep(LOOK_SECONDS)
    if not wanted():
        os.close(stream)
        raise KeyboardInterrupt
    os.ftruncate(stream, 0)
    path.unlink(missing_ok=True)
    os.link(lock, path)
    os.write(stream, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return stream


def second_name(path: Path) -> Path:
    """The name of a log that stays when the log is removed."""
    return path.with_name(f".{path.stem}.lock")


def _try(path: Path) -> int | None:
    stream = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(stream)
            return None
    return stream


def _holder(path: Path) -> str:
    try:
        with open(path, "rb") as stream:
            found = WORKING.search(stream.readline(300))
    except OSError:
        found = None
    return found[0].decode() if found else "process"
