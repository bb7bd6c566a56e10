"""Exact area filtering: every target pixel is the mean of the source area that it covers."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float, UInt8


@lru_cache(maxsize=32)
def area_weights(source: int, target: int) -> Float[np.ndarray, "target source"]:
    """How much of each source pixel lies under each target pixel (rows sum to 1); enlarging interpolates linearly."""
    edges = np.arange(target + 1) * source / target
    if target > source:
        centres = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
        weights = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(source)))
    else:
        pixel = np.arange(source)
        weights = np.clip(np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel), 0, None)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def resize(image: UInt8[np.ndarray, "h w *c"], height: int, width: int) -> UInt8[np.ndarray, "H W *c"]:
    """An image of bytes at another size: ``area_weights`` along both axes."""
    if image.shape[:2] == (height, width):
        return image
    if image.shape[0] >= height and image.shape[1] >= width:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, *image.shape[2:])
    planes = np.moveaxis(image.reshape(*image.shape[:2], -1), -1, 0).astype(np.float32)
    rows, columns = area_weights(image.shape[0], height), area_weights(image.shape[1], width)
    enlarged = np.rint(rows @ planes @ columns.T).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(enlarged, 0, -1)).reshape(height, width, *image.shape[2:])
