"""Exact area filtering: every target pixel is the mean of the source area that it covers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int, UInt8

ROWS = 64  # at a time: what fits the cache


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
    """An image of bytes at another size."""
    if image.shape[:2] == (height, width):
        return image
    result = np.empty((height, *image.shape[1:]), np.float32)
    weighted_sum(image.reshape(len(image), -1), height, result.reshape(height, -1))
    planes = result.reshape(height, image.shape[1], -1).swapaxes(0, 1)
    resized = np.empty((width, height, planes.shape[2]), np.float32)
    weighted_sum(planes, width, resized)
    return np.ascontiguousarray(np.rint(resized, out=resized).astype(np.uint8).swapaxes(0, 1)).reshape(
        height, width, *image.shape[2:]
    )


def weighted_sum(source: UInt8[np.ndarray, "h *n"] | Float[np.ndarray, "h *n"], count: int, out: Float[np.ndarray, "H *n"]) -> None:
    """``area_weights(h, count) @ source`` into ``out``, without the zeros of the weights: a few rows for each."""
    first, weights = taps(len(source), count)
    out[:] = 0
    for tap in range(weights.shape[1]):
        rows = np.minimum(first + tap, len(source) - 1)
        for start in range(0, count, ROWS):
            part = slice(start, start + ROWS)
            out[part] += weights[part, tap].reshape(-1, *[1] * (source.ndim - 1)) * source[rows[part]]


@lru_cache(maxsize=32)
def taps(source: int, target: int) -> tuple[Int[np.ndarray, "target"], Float[np.ndarray, "target k"]]:
    """The first source pixel under each target pixel, and the weights of it and of those that follow."""
    weights = area_weights.__wrapped__(source, target)
    first, last = (weights > 0).argmax(1), source - (weights > 0)[:, ::-1].argmax(1)
    columns = np.minimum(first[:, None] + np.arange((last - first).max()), source - 1)
    held = np.arange(columns.shape[1]) < (last - first)[:, None]
    return first, np.where(held, np.take_along_axis(weights, columns, 1), 0)
