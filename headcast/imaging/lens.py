"""Lens distortion removed: Brown's model with OpenCV's coefficients (Brown 1966), pixels with centres at +0.5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from headcast.capture.camera import LENS_COEFFICIENTS
from headcast.errors import CaptureError


def distort(points: Float[np.ndarray, "*n 2"], coefficients: Float[np.ndarray, "k"]) -> Float[np.ndarray, "*n 2"]:
    """Where the lens puts ideal normalised points: k1 k2 p1 p2 [k3 [k4 k5 k6]]."""
    k1, k2, p1, p2, k3, k4, k5, k6 = np.pad(coefficients, (0, 8 - len(coefficients)))
    x, y = points[..., 0], points[..., 1]
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return np.stack(
        [x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], axis=-1
    )


@dataclass(frozen=True)
class Lens:
    """Undistorts pictures of one size: ``K`` 3 3 px and OpenCV's 4, 5 or 8 coefficients (all zero: nothing is done)."""

    K: Float[np.ndarray, "3 3"]
    coefficients: Float[np.ndarray, "k"]
    width: int
    height: int

    def __post_init__(self) -> None:
        if len(self.coefficients) not in LENS_COEFFICIENTS or not np.isfinite(self.coefficients).all():
            raise CaptureError(
                "distortion", f"has {len(self.coefficients)} coefficients", f"give {LENS_COEFFICIENTS} finite numbers"
            )
        rows, columns = np.mgrid[: self.height, : self.width] + 0.5
        ideal = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(self.K).T
        bent = distort(ideal[..., :2], np.asarray(self.coefficients, np.float64))
        pixels = np.concatenate([bent, np.ones_like(rows)[..., None]], -1) @ self.K.T
        object.__setattr__(self, "_source", (pixels[..., :2] - 0.5).astype(np.float32))

    def __reduce__(self) -> tuple[type[Lens], tuple[np.ndarray, np.ndarray, int, int]]:
        """Travel to another process without the map, which is made again there."""
        return Lens, (self.K, self.coefficients, self.width, self.height)

    def undistort(self, image: UInt8[np.ndarray, "H W *c"]) -> UInt8[np.ndarray, "H W *c"]:
        """The picture as a pinhole camera of the same ``K`` would see it (bilinear); black where the lens saw nothing."""
        source: Float[np.ndarray, "H W 2"] = self._source  # type: ignore[attr-defined]
        column, row = np.moveaxis(source, -1, 0)
        inside = (column > -0.5) & (column < self.width - 0.5) & (row > -0.5) & (row < self.height - 0.5)
        column, row = np.clip(column, 0, self.width - 1), np.clip(row, 0, self.height - 1)
        left, top = np.minimum(column.astype(int), self.width - 2), np.minimum(row.astype(int), self.height - 2)
        planes = image.reshape(*image.shape[:2], -1)
        u, v = (column - left)[..., None], (row - top)[..., None]
        upper = (1 - u) * planes[top, left] + u * planes[top, left + 1]
        lower = (1 - u) * planes[top + 1, left] + u * planes[top + 1, left + 1]
        mixed = np.where(inside[..., None], np.rint((1 - v) * upper + v * lower), 0)
        return mixed.astype(np.uint8).reshape(image.shape)
