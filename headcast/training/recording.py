"""Forward and backward of a training step as a CUDA graph: thousands of small kernels start at once instead of one by one.

What is recorded must not depend on a number that only the host knows; views and parts of them are chosen by indices on the device.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from headcast.rendering.splat_cuda import fixed_room

SLACK = 1.5
"""Room for tile entries in units of what the warm-up needed."""
logger = logging.getLogger(__name__)


class Recording:
    """Replays ``work(*numbers)``, which returns named scalars after filling the gradients of ``parameters``."""

    def __init__(
        self, work: Callable[..., Mapping[str, Tensor]], parameters: Sequence[Tensor], examples: Sequence[Sequence[int]]
    ) -> None:
        """``work`` takes integers that lie on the device; it runs for the ``examples`` before it is recorded."""
        self._work, self._parameters = work, parameters
        self._numbers = torch.zeros(len(examples[0]), dtype=torch.int64, device=parameters[0].device)
        self._room = self._measured(examples)
        self._record()

    def __call__(self, *numbers: int) -> dict[str, float]:
        """The scalars of ``work(*numbers)``; gradients are where ``backward`` would have put them."""
        while True:
            self._set(numbers)
            self._graph.replay()
            *values, needed = self._values.tolist()
            if needed <= self._room:
                break
            self._room = int(needed * SLACK)
            logger.debug("room for %d tile entries", self._room)
            self._record()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return dict(zip(self._names, values, strict=True))

    def _clear(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def _set(self, numbers: Sequence[int]) -> None:
        for place, number in zip(self._numbers, numbers, strict=True):
            place.fill_(number)

    def _measured(self, examples: Sequence[Sequence[int]]) -> int:
        """Room for the tile entries of a few views, which also compiles every kernel."""
        most = 0
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for numbers in examples:
                self._set(numbers)
                with fixed_room(0) as room:
                    self._once()
                assert room.needed is not None
                most = max(most, int(room.needed))
        torch.cuda.current_stream().wait_stream(stream)
        return int(most * SLACK) + 1

    def _once(self) -> Mapping[str, Tensor]:
        self._clear()
        return self._work(*self._numbers.unbind())

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        self._clear()
        with fixed_room(self._room) as room, torch.cuda.graph(graph):
            terms = self._once()
            assert room.needed is not None
            self._names = list(terms)
            self._values = torch.stack([*(value.detach().float() for value in terms.values()), room.needed.float()])
        self._graph, self._gradients = graph, [parameter.grad for parameter in self._parameters]
        self._clear()
