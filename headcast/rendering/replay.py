"""Work on a GPU as a CUDA graph: thousands of small kernels start at once instead of one by one.

What is recorded must not depend on a number that only the host knows; all that varies lies in tensors on the device.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from headcast.rendering.splat_cuda import fixed_room

SLACK = 1.5
"""Room for tile entries in units of what the examples needed."""
logger = logging.getLogger(__name__)


class Replay:
    """Replays ``work(*inputs)``; the results are overwritten by the next call."""

    def __init__(self, work: Callable[..., Sequence[Tensor]], examples: Sequence[Sequence[Tensor]]) -> None:
        """``work`` runs for the ``examples`` (all of the same shapes) before it is recorded; that also compiles every kernel."""
        self._work = work
        self._inputs = [tensor.detach().clone() for tensor in examples[0]]
        self._room = self._measured(examples)
        self._record()

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """The results of ``work(*inputs)``; once more with more room where the tile entries of its splatting did not fit."""
        self._set(inputs)
        while True:
            self._graph.replay()
            if self._needed is None or (needed := int(self._needed)) <= self._room:
                return self._outputs
            self._room = int(needed * SLACK)
            logger.debug("room for %d tile entries", self._room)
            self._record()

    def _set(self, inputs: Sequence[Tensor]) -> None:
        for place, value in zip(self._inputs, inputs, strict=True):
            place.copy_(value, non_blocking=True)

    def _measured(self, examples: Sequence[Sequence[Tensor]]) -> int:
        most = 0
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for inputs in examples:
                self._set(inputs)
                with fixed_room(0) as room:
                    self._work(*self._inputs)
                most = max(most, 0 if room.needed is None else int(room.needed))
        torch.cuda.current_stream().wait_stream(stream)
        return int(most * SLACK) + 1

    def _record(self) -> None:
        self._graph = torch.cuda.CUDAGraph()
        with _nothing_collected(), fixed_room(self._room) as room, torch.cuda.graph(self._graph):
            self._outputs = self._work(*self._inputs)
            self._needed = None if room.needed is None else room.needed.clone()


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Garbage goes before, none meanwhile: a graph that dies while another is recorded frees memory, which spoils the recording."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
