"""Cut the square around the head out of a raw frame and resize it, pixels and camera together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from headcast.capture.camera import Camera
from headcast.imaging.resample import resize

Change = Callable[[UInt8[np.ndarray, "h w 3"]], UInt8[np.ndarray, "h w 3"]]
SIDE_OF_WIDTH = 2600 / 2200


@dataclass(frozen=True)
class Crop:
    """A square window of the raw frame (may reach outside it) and the side it is resized to."""

    left: int
    top: int
    side: int
    size: int

    def camera(self, raw: Camera) -> Camera:
        """The camera of the cropped and resized image."""
        return raw.crop(self.left, self.top, self.side, self.side).resize(self.size, self.size)

    def image(self, raw: UInt8[np.ndarray, "h w 3"], change: Change | None = None) -> UInt8[np.ndarray, "H W 3"]:
        """The window, its pixels under a ``change``, black outside the frame, area-filtered to ``size``."""
        window = np.zeros((self.side, self.side, 3), np.uint8)
        inside, source = self._overlap(raw.shape[0], raw.shape[1])
        window[inside] = raw[source] if change is None else change(raw[source])
        return resize(window, self.size, self.size)

    def visible(self, raw: Camera) -> Bool[np.ndarray, "H W"]:
        """Where the resized window shows real pixels only."""
        window = np.zeros((raw.height, raw.width, 3), np.uint8) + np.uint8(255)
        return self.image(window)[..., 0] == 255

    def _overlap(self, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        y0, x0 = max(self.top, 0), max(self.left, 0)
        y1, x1 = min(self.top + self.side, height), min(self.left + self.side, width)
        inside = (slice(y0 - self.top, y1 - self.top), slice(x0 - self.left, x1 - self.left))
        return inside, (slice(y0, y1), slice(x0, x1))


def whole_crop(raw: Camera, size: int) -> Crop:
    """The smallest square that holds the whole frame, which lies in its middle."""
    side = max(raw.width, raw.height)
    return Crop((raw.width - side) // 2, (raw.height - side) // 2, side, size)


def head_crop(raw: Camera, size: int) -> Crop:
    """The window of NeRSemble's practice: a square of 2600/2200 of the frame's shorter side, centred on the principal point."""
    side = round(SIDE_OF_WIDTH * min(raw.width, raw.height))
    left, top = (round(float(raw.K[i, 2]) - side / 2) for i in range(2))
    return Crop(left, top, side, size)
