"""Several processes on one avatar: each looks at other views of a step, gradients are averaged, so that all stay equal.

The process that was asked (rank 0) starts the others, reads and writes the state, reports and decides when to stop.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor

from headcast.process.signals import follow_parent


@dataclass(frozen=True)
class Together:
    """One of ``count`` processes that train the same avatar; alone by default."""

    rank: int = 0
    count: int = 1

    @property
    def device(self) -> torch.device:
        """This process's GPU where there are any."""
        return torch.device("cuda", self.rank) if torch.cuda.is_available() else torch.device("cpu")

    def share(self, views: int) -> range:
        """Which of the ``views`` of a step are this process's; each has equally many."""
        each = views // self.count
        return range(self.rank * each, (self.rank + 1) * each)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace every tensor by its mean over the processes."""
        every = list(tensors)
        if self.count == 1 or not every:
            return
        flat = torch.cat([tensor.reshape(-1).float() for tensor in every])
        distributed.all_reduce(flat)
        for tensor, mean in zip(every, (flat / self.count).split([tensor.numel() for tensor in every]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def agreed(self, wish: bool) -> bool:
        """Whether any process wishes so."""
        if self.count == 1:
            return wish
        flag = torch.tensor(float(wish), device=self.device)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag)


ALONE = Together()


@contextmanager
def helped(count: int, work: Callable[..., Any], arguments: Sequence[Any]) -> Iterator[Together]:
    """Be the first of ``count`` processes; the others run ``work(together, *arguments)``, which must be importable."""
    if count == 1:
        yield ALONE
        return
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        meeting = Path(folder) / "meeting"
        others = [
            context.Process(target=_help, args=(Together(rank, count), meeting, os.getpid(), work, arguments), daemon=True)
            for rank in range(1, count)
        ]
        for other in others:
            other.start()
        try:
            with _met(Together(0, count), meeting) as together:
                yield together
        finally:
            for other in others:
                other.join(10)
                other.kill()


@contextmanager
def _met(together: Together, meeting: Path) -> Iterator[Together]:
    if together.device.type == "cuda":
        torch.cuda.set_device(together.device)
    backend = "nccl" if together.device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, init_method=meeting.as_uri(), rank=together.rank, world_size=together.count)
    try:
        yield together
    finally:
        distributed.destroy_process_group()


def _help(together: Together, meeting: Path, parent: int, work: Callable[..., Any], arguments: Sequence[Any]) -> None:
    follow_parent(parent)
    torch.set_num_threads(max(1, torch.get_num_threads() // together.count))
    with _met(together, meeting):
        work(together, *arguments)
