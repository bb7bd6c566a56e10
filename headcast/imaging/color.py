"""Colour in linear light: sRGB's curve and the per-camera correction of a capture (IEC 61966-2-1; Cheung et al. 2004)."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from headcast.errors import CaptureError


def decode_srgb(encoded: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """sRGB-encoded values in [0, 1] to linear light."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((np.maximum(encoded, 0.04045) + 0.055) / 1.055) ** 2.4)


def encode_srgb(linear: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Linear light to sRGB-encoded values; clipped to [0, 1]."""
    clipped = np.clip(linear, 0, 1)
    return np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * np.maximum(clipped, 0.0031308) ** (1 / 2.4) - 0.055)


DECODED = decode_srgb(np.arange(256) / 255).astype(np.float32)
ENCODED = np.rint(encode_srgb(np.arange(4096) / 4095) * 255).astype(np.uint8)
ROWS = 32  # at a time: what fits the cache


def terms(linear: Float[np.ndarray, "*n 3"], count: int) -> Float[np.ndarray, "*n k"]:
    """The polynomial terms of Cheung's models with 3, 4, 5, 7 … 11 coefficients: r g b · rgb · 1 · rg rb gb · r² g² b²."""
    r, g, b = (linear[..., i] for i in range(3))
    one = np.ones_like(r)
    models = {
        3: [r, g, b],
        4: [r, g, b, one],
        5: [r, g, b, r * g * b, one],
        6: [r, g, b, r * g, r * b, g * b],
        7: [r, g, b, r * g, r * b, g * b, one],
        8: [r, g, b, r * g, r * b, g * b, r * g * b, one],
        9: [r, g, b, r * g, r * b, g * b, r * r, g * g, b * b],
        10: [r, g, b, r * g, r * b, g * b, r * r, g * g, b * b, one],
        11: [r, g, b, r * g, r * b, g * b, r * r, g * g, b * b, r * g * b, one],
    }
    if count not in models:
        raise CaptureError("color_calibration.json", f"a correction with {count} terms is not known", f"known: {sorted(models)}")
    return np.stack(models[count], axis=-1)


def correct(image: UInt8[np.ndarray, "H W 3"], matrix: Float[np.ndarray, "3 k"]) -> UInt8[np.ndarray, "H W 3"]:
    """Apply a camera's correction to an sRGB image in linear light."""
    corrected, factors = np.empty_like(image), matrix.astype(np.float32)
    for start in range(0, len(image), ROWS):
        linear = cv2.LUT(image[start : start + ROWS], DECODED)
        linear = cv2.transform(linear, factors) if matrix.shape[1] == 3 else terms(linear, matrix.shape[1]) @ factors.T
        np.rint(np.clip(linear, 0, 1, out=linear) * 4095, out=linear)
        corrected[start : start + ROWS] = ENCODED[linear.astype(np.uint16)]
    return corrected


def before_correction(linear: Float[np.ndarray, "*n 3"], matrix: Float[np.ndarray, "3 k"]) -> Float[np.ndarray, "*n 3"]:
    """The linear colours that `correct` made ``linear`` of; NaN where the correction is no affine map (k > 4)."""
    if matrix.shape[1] > 4:
        return np.full_like(linear, np.nan)
    offset = matrix[:, 3] if matrix.shape[1] == 4 else np.zeros(3)
    return (linear - offset) @ np.linalg.inv(matrix[:, :3]).T
