"""Spread the views of a sequence over processes and collect what they wrote."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from headcast.formats.atomic import atomic_path
from headcast.formats.manifest import ProductWriter, member
from headcast.process.command import Progress
from headcast.process.signals import follow_parent

Members = Mapping[str, bytes] | Iterable[tuple[str, bytes]]
THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def write_members(
    writer: ProductWriter, work: Callable[..., Members], jobs: Sequence[tuple[Any, ...]], workers: int, progress: Progress
) -> None:
    """Run ``work(*job)`` for every job; each returns {member name: bytes}, or yields such pairs, written where it works."""
    folder = writer.path.parent
    done = 0
    if workers <= 1:
        for done, job in enumerate(jobs, start=1):
            _adopt(writer, _write(folder, work, job))
            progress(done, len(jobs))
        return
    os.environ.update(dict.fromkeys(THREAD_LIMITS, "1"))  # read by the spawned workers: one thread each, not workers × cores
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), follow_parent, (os.getpid(),)) as pool:
        pending = [pool.submit(_write, folder, work, job) for job in jobs]
        try:
            for done, future in enumerate(as_completed(pending), start=1):
                _adopt(writer, future.result())
                progress(done, len(jobs))
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in [] if isinstance(error, Exception) else multiprocessing.active_children():
                worker.terminate()  # asked to leave: a camera can take longer than whoever asked waits
            raise


def _write(folder: Path, work: Callable[..., Members], job: tuple[Any, ...]) -> dict[str, dict[str, Any]]:
    entries, members = {}, work(*job)
    for name, data in members.items() if isinstance(members, Mapping) else members:
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(data)
        entries[name] = member(data)
    return entries


def _adopt(writer: ProductWriter, entries: dict[str, dict[str, Any]]) -> None:
    for name, entry in entries.items():
        writer.adopt(name, entry)
