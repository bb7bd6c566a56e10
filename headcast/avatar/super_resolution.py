"""Pictures four times as large as what is splatted: feature channels beside the colours, and a small convolutional network.

The principle of Gaussian Head Avatar (Xu et al., CVPR 2024), as a residual on the enlarged colours, by sub-pixel convolutions
(Shi et al., CVPR 2016) without padding inside: a part of a picture comes out as in the whole, so training may look at parts.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from headcast.errors import BadFile

FACTOR = 4
REACH = 4
"""How many splatted pixels beyond its own a part needs on every side."""


class SuperResolution(nn.Module):
    """``planes`` C h w (the first three are the colours) → sRGB-encoded colours 3 4h 4w; at first the planes' own, enlarged."""

    def __init__(self, channels: int, width: int = 64) -> None:
        """For pictures of ``channels`` planes."""
        super().__init__()
        self.low = nn.ModuleList([nn.Conv2d(channels, width, 3), nn.Conv2d(width, width, 3), nn.Conv2d(width, 2 * width, 3)])
        self.middle = nn.Conv2d(width // 2, width, 3)
        self.high = nn.Conv2d(width // 4, 3, 3)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> SuperResolution:
        """Rebuild the network that wrote this ``state_dict``; ``BadFile`` when its tensors disagree."""
        if "low.0.weight" not in state or state["low.0.weight"].ndim != 4:
            raise BadFile("super-resolution", "the state holds no first layer", "train the avatar again")
        width, channels = state["low.0.weight"].shape[:2]
        network = cls(channels, width)
        try:
            network.load_state_dict(dict(state))
        except RuntimeError as error:
            raise BadFile("super-resolution", f"the state does not fit together: {error}", "train the avatar again") from error
        return network

    @property
    def channels(self) -> int:
        """Planes that go in."""
        return self.low[0].in_channels  # type: ignore[return-value]

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Draw all layers but the last from ``generator`` (He initialisation); the last starts at zero."""
        for layer in (layer for layer in self.modules() if isinstance(layer, nn.Conv2d)):
            spread = 0.0 if layer is self.high else (2 / layer.weight[0].numel()) ** 0.5
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * spread)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, planes: Float[Tensor, "C h w"]) -> Float[Tensor, "3 H W"]:
        """The whole picture, enlarged; beyond its borders is nothing."""
        return self._enlarged(functional.pad(planes, (REACH,) * 4))

    def tile(
        self, planes: Float[Tensor, "C h w"], row: int | Int64[Tensor, ""], column: int | Int64[Tensor, ""], side: int
    ) -> Float[Tensor, "3 S S"]:
        """What ``forward`` makes of the pixels from (``row``, ``column``) on, ``side`` × ``side``; S = 4 side."""
        reach = torch.arange(side + 2 * REACH, device=planes.device)
        part = functional.pad(planes, (REACH,) * 4).index_select(1, reach + row).index_select(2, reach + column)
        return self._enlarged(part)

    def _enlarged(self, planes: Float[Tensor, "C h w"]) -> Float[Tensor, "3 H W"]:
        inside = slice(FACTOR * REACH, -FACTOR * REACH)
        colors = functional.interpolate(planes[None, :3], scale_factor=FACTOR, mode="bilinear")[0, :, inside, inside]
        hidden = planes[None]
        for layer in self.low[:-1]:
            hidden = functional.silu(layer(hidden))
        for layer in (self.low[-1], self.middle):
            hidden = functional.silu(functional.pixel_shuffle(layer(hidden), 2))
        return colors + self.high(hidden)[0, :, 1:-1, 1:-1].to(colors)
