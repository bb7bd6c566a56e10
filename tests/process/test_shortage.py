"""Shortages are recognised, whoever met them; other failures are not taken for one."""

from __future__ import annotations

import errno
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
import torch

from headcast.process.shortage import shortage


def raised_by_torch() -> BaseException:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 55, dtype=torch.uint8)
    return caught.value


def raised_by_numpy() -> BaseException:
    with pytest.raises(MemoryError) as caught:
        np.ones(1 << 55, np.uint8)
    return caught.value


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "results/x"), "results/x: the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "matting: the disk is full"),
        (OSError(errno.EFBIG, "File too large", "y"), "y: the disk is full"),
        (MemoryError(), "matting: memory is full"),
        (raised_by_numpy(), "matting: memory is full"),
        (raised_by_torch(), "matting: memory is full"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "matting: memory is full"),
        (RuntimeError("can't start new thread"), "matting: memory is full"),
        (BrokenProcessPool("A process in the process pool was terminated abruptly"), "matting: a worker was killed"),
    ],
)
def test_a_shortage_is_one(error: BaseException, says: str) -> None:
    found = shortage(error, "matting")
    assert found is not None
    assert str(found).startswith(says)
    assert found.exit_code == 7


@pytest.mark.parametrize(
    "error", [ValueError("shape"), OSError(errno.EACCES, "denied"), RuntimeError("size mismatch"), KeyboardInterrupt()]
)
def test_other_failures_are_not(error: BaseException) -> None:
    assert shortage(error, "matting") is None


@pytest.mark.parametrize(
    "error", [RuntimeError("could not create a primitive"), ImportError("failed to map segment from shared object")]
)
def test_what_fails_without_saying_why_while_memory_is_scarce_fails_for_want_of_it(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shortage(error, "matting") is None
    monkeypatch.setattr("headcast.process.shortage.available_memory", lambda: 1 << 20)
    assert str(shortage(error, "matting")).startswith("matting: memory is full")
