"""What super-resolution learns from: full-size pictures, a part at a time, every part of every view equally often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from headcast.avatar.super_resolution import FACTOR
from headcast.training.losses import dssim, l1, multiscale_gradient
from headcast.training.samples import Views, pick

LARGEST = 128
"""Side of a part in splatted pixels, at most."""
Number = int | Int64[Tensor, ""]


@dataclass(frozen=True)
class SharpWeights:
    """What each term over a part counts; all are means over pixels."""

    l1: float = 0.8
    dssim: float = 0.4
    gradient: float = 1.0


@dataclass(frozen=True)
class SharpViews:
    """Pictures at full size, on black, of views in the order of those that are splatted."""

    images: UInt8[Tensor, "n H W 3"]
    visible: Bool[Tensor, "n H W"]

    @classmethod
    def of(cls, on_black: Views, device: torch.device | str) -> SharpViews:
        """The pictures of views that are already on black."""
        return cls(on_black.images.to(device), on_black.visible.to(device))

    @property
    def splatted(self) -> int:
        """The size at which Gaussians are drawn (px)."""
        return self.images.shape[1] // FACTOR

    @property
    def side(self) -> int:
        """Side of a part in splatted pixels: the most, up to ``LARGEST``, that divides the picture."""
        return next(side for side in range(min(LARGEST, self.splatted), 0, -1) if self.splatted % side == 0)

    def corner(self, view: int, turn: int, seed: int) -> tuple[int, int]:
        """Row and column (splatted px) of the part that ``view`` shows at its ``turn``-th visit, shuffled round by round."""
        across = self.splatted // self.side
        rounds, place = divmod(turn, across * across)
        part = int(np.random.Generator(np.random.Philox([seed, view, rounds])).permutation(across * across)[place])
        return part // across * self.side, part % across * self.side

    def part(self, view: Number, row: Number, column: Number) -> tuple[Float[Tensor, "S S 3"], Bool[Tensor, "S S"]]:
        """The picture from a corner (splatted px) on, and what of it is seen."""
        reach = torch.arange(FACTOR * self.side, device=self.images.device)
        rows, columns = reach + FACTOR * row, reach + FACTOR * column
        image, visible = (pick(stack, view).index_select(0, rows).index_select(1, columns) for stack in (self.images, self.visible))
        return image.float() / 255, visible


def sharp_terms(
    drawn: Float[Tensor, "S S 3"], truth: Float[Tensor, "S S 3"], visible: Bool[Tensor, "S S"], weights: SharpWeights
) -> dict[str, Float[Tensor, ""]]:
    """Weighted terms of one part; the gradients stand in for a perceptual network, whose weights nobody may ship."""
    return {
        "sharp_l1": weights.l1 * l1(drawn, truth, visible),
        "sharp_dssim": weights.dssim * dssim(drawn, truth, visible),
        "sharp_gradient": weights.gradient * multiscale_gradient(drawn, truth, visible),
    }
