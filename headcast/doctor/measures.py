"""What the pixels of one view say: light, sharpness, coverage of matte and labels, plate, colours of the skin."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, UInt8

from headcast.capture.camera import Camera
from headcast.imaging.color import DECODED

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
CLIPPED = 250
SUBJECT, OUTSIDE = 230, 5  # alpha (of 255) of certain subject and of certain background
HAIR, FACE = 3, 2
KNOWN_CONFIDENCE = 0.05
FACING = 0.6  # cosine between a surface normal and the camera from which on its colour is compared
BEHIND_FACE_M = 0.07


@dataclass(frozen=True)
class View:
    """The products of one view: ``image`` and ``plate`` sRGB, ``alpha`` of 255, ``labels`` 0–3, ``confidence`` of orientation."""

    image: UInt8[np.ndarray, "H W 3"]
    plate: UInt8[np.ndarray, "H W 3"] | None
    visible: Bool[np.ndarray, "H W"]
    alpha: UInt8[np.ndarray, "H W"]
    labels: UInt8[np.ndarray, "H W"]
    confidence: Float[np.ndarray, "H W"]


@dataclass(frozen=True)
class Measures:
    """Figures of one view; shares in [0, 1], levels of 255, NaN where there is nothing to measure."""

    brightness: float
    clipped: float
    sharpness: float
    subject: float
    face: float
    hair: float
    stray_labels: float
    oriented: float
    plate: float


NAMES = tuple(field.name for field in fields(Measures))


def measure(view: View) -> Measures:
    """All figures of one view."""
    luma = view.image.astype(np.float32) @ LUMA
    subject, opaque = view.visible & (view.alpha > SUBJECT), view.visible & (view.alpha > 127)
    hair, labelled = view.labels == HAIR, view.labels > 0
    return Measures(
        brightness=_mean(luma[subject]),
        clipped=_mean((view.image >= CLIPPED).all(-1)[subject]),
        sharpness=sharpness(luma, subject),
        subject=_mean(opaque[view.visible]),
        face=_mean((view.labels == FACE)[opaque]),
        hair=_mean(hair[opaque]),
        stray_labels=_mean((view.alpha < OUTSIDE)[labelled]),
        oriented=_mean((view.confidence > KNOWN_CONFIDENCE)[hair & (view.alpha > SUBJECT)]),
        plate=plate_difference(view, view.visible & (view.alpha < OUTSIDE)),
    )


def plate_difference(view: View, outside: Bool[np.ndarray, "H W"]) -> float:
    """How far the picture beside the subject is from the plate: median over pixels; NaN without a plate or without such pixels."""
    if view.plate is None or not outside.any():
        return float("nan")
    return float(np.median(np.abs(view.image.astype(np.int16) - view.plate)[outside].mean(-1)))


def sharpness(luma: Float[np.ndarray, "H W"], region: Bool[np.ndarray, "H W"]) -> float:
    """Spread of the Laplacian over the spread of the brightness within a region (its rim of one pixel left out)."""
    inner = region[1:-1, 1:-1] & region[:-2, 1:-1] & region[2:, 1:-1] & region[1:-1, :-2] & region[1:-1, 2:]
    middle = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * middle
    if inner.sum() < 64 or middle[inner].std() < 1e-3:
        return float("nan")
    return float(laplacian[inner].std() / middle[inner].std())


def skin_colors(
    image: UInt8[np.ndarray, "H W 3"],
    camera: Camera,
    points: Float[np.ndarray, "N 3"],
    normals: Float[np.ndarray, "N 3"],
    region: Bool[np.ndarray, "H W"],
) -> Float[np.ndarray, "N 3"]:
    """Linear colours of world points (m) of a face, NaN where a point turns away from the camera or projects outside ``region``."""
    colors, pixels, towards = np.full((len(points), 3), np.nan), camera.project(points), camera.center - points
    cosine = (normals * towards).sum(-1) / np.linalg.norm(towards, axis=-1)
    inside = np.isfinite(pixels).all(-1) & (pixels >= 0).all(-1) & (pixels < region.shape[0]).all(-1) & (cosine > FACING)
    columns, rows = pixels[inside].astype(int).T
    colors[inside] = np.where(region[rows, columns, None], DECODED[image[rows, columns]], np.nan)
    return colors


def face_normals(points: Float[np.ndarray, "N 3"], front: Float[np.ndarray, "3"]) -> Float[np.ndarray, "N 3"]:
    """Outward directions of a face's points: away from a point behind its plane as seen from ``front``; NaN where few are known."""
    known = points[np.isfinite(points).all(-1)]
    if len(known) < 8:
        return np.full(points.shape, np.nan)
    middle = known.mean(0)
    across = np.linalg.svd(known - middle, full_matrices=False)[2][2]
    outward = points - (middle - BEHIND_FACE_M * across * np.sign((front - middle) @ across))
    return outward / np.linalg.norm(outward, axis=-1, keepdims=True)


def color_differences(colors: Float[np.ndarray, "F C N 3"]) -> Float[np.ndarray, "C"]:
    """How far each camera's colours lie from the median of all cameras at the same points: the worst channel, in per cent."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.where((colors > 0.02) & (colors < 0.95), colors, np.nan))
    enough = np.isfinite(logs).sum(1, keepdims=True) >= 3
    logs = np.where(enough, logs, np.nan)
    gains = np.full((colors.shape[1], 3), np.nan)
    middle = _nanmedian(logs, 1)
    for c in range(colors.shape[1]):
        gains[c] = _nanmedian((logs[:, c] - middle).reshape(-1, 3), 0)
    return 100 * (np.exp(np.abs(gains).max(-1)) - 1)


def _nanmedian(values: np.ndarray, axis: int) -> np.ndarray:
    """Median of what is known; NaN, without a warning, where nothing is."""
    known = np.isfinite(values).any(axis, keepdims=True)
    return np.where(known.squeeze(axis), np.nanmedian(np.where(known, values, 0.0), axis=axis), np.nan)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
