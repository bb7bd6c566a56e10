"""Work in a process of its own, and the most memory that it and its children held."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

Result = TypeVar("Result")
SAMPLE_S = 0.02


class Measured(NamedTuple):
    """What was done: images, seconds without imports, those that processors were busy, on a GPU the memory (bytes) held there."""

    images: int
    seconds: float
    busy: float
    gpu_memory: int = 0


def apart(work: Callable[..., Result], *arguments: object) -> tuple[Result, int]:
    """What ``work`` returns in a fresh process, and the peak of the resident memory (bytes) of that process and its children.

    Pages that processes share count in each. An exception of ``work`` is a ``RuntimeError``; its traceback is on stderr.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, work, arguments))
    process.start()
    sender.close()
    peak = 0
    while not receiver.poll(SAMPLE_S):
        peak = max(peak, resident(process.pid or 0))
    try:
        result: Result = receiver.recv()
    except EOFError as error:
        raise RuntimeError(f"{work.__name__} failed") from error
    finally:
        process.join()
    return result, peak


def _send(sender: multiprocessing.connection.Connection, work: Callable[..., object], arguments: tuple[object, ...]) -> None:
    sender.send(work(*arguments))


def resident(process: int) -> int:
    """Resident memory (bytes) of a process and all below it, now."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        below = [
            int(child) for task in Path(f"/proc/{process}/task").iterdir() for child in (task / "children").read_text().split()
        ]
    except (OSError, IndexError):  # it has just ended
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident(child) for child in below)


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """How long a call takes, and how long processors are busy with it and with the children that it has ended by then."""
    began, busy = time.perf_counter(), sum(os.times()[:4])
    work()
    return time.perf_counter() - began, sum(os.times()[:4]) - busy
