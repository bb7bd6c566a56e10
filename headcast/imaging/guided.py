"""The guided filter with a colour guide: edge-aware smoothing and upsampling in time linear in the pixels.

He, Sun, Tang, "Guided image filtering", TPAMI 2013, and "Fast guided filter", 2015 (coefficients on a reduced image).
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8


def _box(image: Float[np.ndarray, "H W *c"], radius: int) -> Float[np.ndarray, "H W *c"]:
    return cv2.blur(image, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)


def coefficients(
    guide: Float[np.ndarray, "H W 3"], source: Float[np.ndarray, "H W"], radius: int, epsilon: float
) -> tuple[Float[np.ndarray, "H W 3"], Float[np.ndarray, "H W"]]:
    """The smoothed local linear model ``source ≈ slope · guide + offset`` of each window."""
    mean, target = _box(guide, radius), _box(source, radius)
    cross = _box(guide * source[..., None], radius) - mean * target[..., None]
    covariance = np.empty((*source.shape, 3, 3), np.float32)
    for i in range(3):
        for j in range(i, 3):
            covariance[..., i, j] = _box(guide[..., i] * guide[..., j], radius) - mean[..., i] * mean[..., j]
            covariance[..., j, i] = covariance[..., i, j]
        covariance[..., i, i] += epsilon
    slope = np.linalg.solve(covariance, cross[..., None])[..., 0]
    offset = target - (slope * mean).sum(-1)
    return _box(slope, radius), _box(offset, radius)


def guided_filter(
    guide: Float[np.ndarray, "H W 3"], source: Float[np.ndarray, "H W"], radius: int, epsilon: float
) -> Float[np.ndarray, "H W"]:
    """Smooth ``source`` along the edges of ``guide`` (both in [0, 1]); ``epsilon`` is the variance that counts as an edge."""
    slope, offset = coefficients(guide.astype(np.float32), source.astype(np.float32), radius, epsilon)
    return (slope * guide).sum(-1) + offset


def guided_upsample(
    guide: Float[np.ndarray, "H W 3"],
    small_guide: Float[np.ndarray, "h w 3"],
    small: Float[np.ndarray, "h w"],
    radius: int,
    epsilon: float,
) -> Float[np.ndarray, "H W"]:
    """Bring ``small`` to the size of ``guide`` so that its edges follow the guide's."""
    height, width = guide.shape[:2]
    slope, offset = coefficients(small_guide.astype(np.float32), small.astype(np.float32), radius, epsilon)
    slope = cv2.resize(slope, (width, height), interpolation=cv2.INTER_LINEAR)
    offset = cv2.resize(offset, (width, height), interpolation=cv2.INTER_LINEAR)
    return (slope * guide).sum(-1) + offset


def at_size_of(image: UInt8[np.ndarray, "H W 3"], small: Float[np.ndarray, "h w"], epsilon: float) -> Float[np.ndarray, "H W"]:
    """Shares in [0, 1] that were solved on a resized copy of ``image``, at its own size.

    Enlarged along the edges of ``image`` (``epsilon`` as in `guided_filter`), reduced by area.
    """
    height, width = image.shape[:2]
    if small.shape == (height, width):
        return small
    if small.size > height * width:
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    guide = image.astype(np.float32) / 255
    reduced = cv2.resize(guide, small.shape[::-1], interpolation=cv2.INTER_AREA)
    return np.clip(guided_upsample(guide, reduced, small, 2, epsilon), 0, 1).astype(np.float32)
