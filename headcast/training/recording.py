"""Forward and backward of a training step as a CUDA graph; the view, and the part of it, are chosen by indices on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from headcast.rendering.replay import Replay


class Recording:
    """Replays ``work(*numbers)``, which returns named scalars after filling the gradients of ``parameters``."""

    def __init__(
        self, work: Callable[..., Mapping[str, Tensor]], parameters: Sequence[Tensor], examples: Sequence[Sequence[int]]
    ) -> None:
        """``work`` takes integers that lie on the device; it runs for the ``examples`` before it is recorded."""
        self._work, self._parameters = work, parameters
        self._names: list[str] = []
        self._gradients: list[Tensor | None] = []
        self._replay = Replay(self._once, [[torch.tensor(numbers, device=parameters[0].device)] for numbers in examples])
        self._clear()

    def __call__(self, *numbers: int) -> dict[str, float]:
        """The scalars of ``work(*numbers)``; gradients are where ``backward`` would have put them."""
        (values,) = self._replay(torch.tensor(numbers))
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return dict(zip(self._names, values.tolist(), strict=True))

    def _clear(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def _once(self, numbers: Tensor) -> tuple[Tensor]:
        self._clear()
        terms = self._work(*numbers.unbind())
        self._names, self._gradients = list(terms), [parameter.grad for parameter in self._parameters]
        return (torch.stack([value.detach().float() for value in terms.values()]),)
