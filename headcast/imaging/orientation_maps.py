"""Maps of undirected angles (rad in [0, π), NaN where there is no hair) and their confidence: resized, shown, in whole degrees."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from headcast.imaging.resample import area_weights


def resize_orientation(
    angle: Float[np.ndarray, "h w"], confidence: Float[np.ndarray, "h w"], height: int, width: int
) -> tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
    """Area-filtered resize on the confidence-weighted doubled-angle vector: no error at the wrap, nothing from empty pixels."""
    present = np.isfinite(angle)
    weight = np.where(present, confidence, 0).astype(np.float64)
    doubled = 2 * np.where(present, angle, 0).astype(np.float64)
    rows, columns = area_weights(angle.shape[0], height), area_weights(angle.shape[1], width)
    c, s, share = (rows @ x @ columns.T for x in (weight * np.cos(doubled), weight * np.sin(doubled), present.astype(np.float64)))
    length = np.where(share > 1e-6, np.hypot(c, s) / np.maximum(share, 1e-6), 0)
    resized = np.where(length > 0, np.remainder(0.5 * np.arctan2(s, c), np.pi), np.nan)
    return resized.astype(np.float32), length.astype(np.float32)


def preview(angle: Float[np.ndarray, "H W"], confidence: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """RGB picture: hue = angle (red vertical, cyan horizontal), brightness = confidence."""
    hue = 2 * np.nan_to_num(angle)[..., None] + np.array([0, -2 * np.pi / 3, 2 * np.pi / 3])
    return np.rint(255 * (0.5 + 0.5 * np.cos(hue)) * np.nan_to_num(confidence)[..., None]).astype(np.uint8)


def to_degrees(angle: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """The 8-bit map of the field's tools: whole degrees 0 … 179, 0 where there is no hair."""
    return (np.rint(np.degrees(np.nan_to_num(angle))).astype(np.int64) % 180).astype(np.uint8)
