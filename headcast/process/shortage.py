"""What a failure says about disk or memory, however the library that met it puts it."""

from __future__ import annotations

import errno
import resource
import shutil
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from headcast.errors import OutOfResources
from headcast.process.memory import available_memory

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk, the user's share of it, or the size that a file may have, is used up."""
NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "out of memory", "bad_alloc", "can't start new thread")
SCARCE = 64 << 20
"""With less memory left (bytes), a library that fails for no reason that it names has failed for want of it."""
PAGE = 4096


def shortage(error: BaseException, stage: str) -> OutOfResources | None:
    """The shortage behind ``error``, or None when there is none; what a native library met is recognised by its words."""
    if isinstance(error, OSError) and error.errno in FULL:
        return full_disk(error.filename or stage)
    unnamed = isinstance(error, RuntimeError | ImportError) and available_memory() < SCARCE
    if isinstance(error, MemoryError) or unnamed or any(said in str(error).lower() for said in NO_MEMORY):
        return OutOfResources(stage, "memory is full", "lower the preset or the size settings of this stage")
    if isinstance(error, BrokenProcessPool):
        todo = "give the rule fewer threads or lower the size settings of this stage"
        return OutOfResources(stage, "a worker was killed, as happens when memory is full", todo)
    return None


def full_disk(path: object) -> OutOfResources:
    """The one line about a disk that is full."""
    return OutOfResources(path, "the disk is full", "free space and run the same command again")


def fills_disk(error: BaseException, written: Path) -> bool:
    """Whether ``error`` came up because nothing more can be written to the file ``written``; native writers do not say why."""
    if getattr(error, "errno", None) in FULL:
        return True
    if not written.exists():
        return False
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    too_long = most != resource.RLIM_INFINITY and written.stat().st_size + PAGE > most
    return too_long or shutil.disk_usage(written.parent).free < PAGE
