"""From the rendered subject to what a camera delivers: over the plate in linear light, colour cast, sensor noise, 8 bits.

The path tracer samples a pixel's coverage a few times only; its colour is kept, its coverage replaced by the rasterized one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, UInt8

NOISE_SIGMA = 0.004
CAST_SEED, CAST_GAIN, CAST_MIX, CAST_EXPOSURE = 902, 0.08, 0.025, 0.04
FILL_SIGMAS = (0.8, 1.6, 3.2, 6.4, 12.8)
CERTAIN_WEIGHT = 0.01
TONE_SIGMA = 2.5


def decode_srgb(value: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """The sRGB curve undone (IEC 61966-2-1): display value in [0, 1] → linear light."""
    return np.where(value <= 0.04045, value / 12.92, ((np.maximum(value, 0) + 0.055) / 1.055) ** 2.4)


def encode_srgb(value: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Linear light → the sRGB curve, extended linearly below zero."""
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * np.maximum(value, 1e-9) ** (1 / 2.4) - 0.055)


def color_matrices(serials: list[str], seed: int = CAST_SEED) -> dict[str, Float[np.ndarray, "3 3"]]:
    """Each camera's mild colour cast as the matrix that undoes it in linear light; drawn in the order of the sorted serials."""
    rng = np.random.default_rng(seed)
    matrices = {}
    for serial in sorted(serials):
        mix = rng.uniform(-CAST_MIX, CAST_MIX, (3, 3))
        np.fill_diagonal(mix, rng.uniform(1 - CAST_GAIN, 1 + CAST_GAIN, 3))
        matrices[serial] = np.round(mix * rng.uniform(1 - CAST_EXPOSURE, 1 + CAST_EXPOSURE), 6)
    return matrices


def subject_colour(picture: UInt8[np.ndarray, "H W 4"], wanted: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W 3"]:
    """Linear straight colour of the subject, where it is ``wanted`` continued beyond its rendered coverage.

    A normalised blur, wider and wider, fills what the narrower one leaves uncertain.
    """
    alpha = picture[..., 3] / 255.0
    result = decode_srgb(picture[..., :3] / 255.0)
    linear = result * alpha[..., None]
    certain = np.clip(alpha / CERTAIN_WEIGHT, 0, 1)
    for sigma in FILL_SIGMAS:
        if certain[wanted].min(initial=1) >= 1:
            break
        weight = gaussian_filter(alpha, sigma)
        wider = np.stack([gaussian_filter(linear[..., k], sigma) for k in range(3)], axis=-1) / np.maximum(weight, 1e-9)[..., None]
        result = certain[..., None] * result + (1 - certain[..., None]) * wider
        certain = np.maximum(certain, np.clip(weight / CERTAIN_WEIGHT, 0, 1))
    return result


def strand_contrast(
    colour: Float[np.ndarray, "H W 3"], hair: Float[np.ndarray, "H W"], tone: Float[np.ndarray, "H W"], strength: float
) -> Float[np.ndarray, "H W 3"]:
    """Put back what denoising smears: darken and lighten the hair by its strands' own tones, finer than ``TONE_SIGMA`` px.

    ``strength`` is the change of log colour for one standard deviation of tone; 0 leaves the picture as it is.
    """
    if not strength:
        return colour
    around = gaussian_filter(tone * hair, TONE_SIGMA) / np.maximum(gaussian_filter(hair, TONE_SIGMA), 0.02)
    fine = np.where(hair > 0.02, tone - around, 0)
    return colour * np.exp(np.clip(-strength * fine, -0.6, 0.6) * np.clip(hair, 0, 1))[..., None]


def over(
    colour: Float[np.ndarray, "H W 3"], alpha: Float[np.ndarray, "H W"], plate: Float[np.ndarray, "H W 3"]
) -> Float[np.ndarray, "H W 3"]:
    """The subject over the plate in linear light."""
    return alpha[..., None] * colour + (1 - alpha[..., None]) * plate


def film(
    linear: Float[np.ndarray, "H W 3"], matrix: Float[np.ndarray, "3 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "H W 3"]:
    """What the camera stores: its cast (the inverse of ``matrix``), the sRGB curve, Gaussian noise, 8 bits."""
    raw = encode_srgb(linear @ np.linalg.inv(matrix).T)
    noisy = raw + rng.normal(0, NOISE_SIGMA, raw.shape)
    return (np.clip(noisy, 0, 1) * 255 + 0.5).astype(np.uint8)
