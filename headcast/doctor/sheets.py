"""Contact sheets: what each preprocessing stage made, small, a few frames and cameras beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from headcast.errors import CaptureError
from headcast.evaluation.pictures import labelled
from headcast.imaging.orientation_maps import preview
from headcast.imaging.resample import resize

STAGES = ("extract_frames", "matting", "landmarks", "fit_head", "hair_masks", "orientation_maps")
TILE = 144
MARGIN = 4
GREEN = np.array([40, 170, 90], np.float32)
LABEL_COLOURS = np.array([(24, 24, 28), (120, 120, 200), (240, 180, 140), (230, 190, 40)], np.uint8)
AGREED, DROPPED, SURFACE = (60, 240, 120), (255, 70, 60), (90, 200, 255)


@dataclass(frozen=True)
class Shown:
    """One view as the stages left it; points in pixels, ``surface`` the projected vertices of the fitted head."""

    image: UInt8[np.ndarray, "H W 3"]
    alpha: UInt8[np.ndarray, "H W"]
    labels: UInt8[np.ndarray, "H W"]
    angle: Float[np.ndarray, "H W"]
    confidence: Float[np.ndarray, "H W"]
    detected: Float[np.ndarray, "68 2"]
    agreed: Float[np.ndarray, "68 2"]
    surface: Float[np.ndarray, "V 2"]


def tiles(view: Shown) -> dict[str, UInt8[np.ndarray, "t t 3"]]:
    """A small picture of the view for every stage."""
    scale = TILE / view.image.shape[0]
    image = resize(view.image, TILE, TILE)
    dropped = np.where(np.isfinite(view.agreed), np.nan, view.detected)
    landmarks = dots(dots(image, view.agreed * scale, AGREED), dropped * scale, DROPPED)
    return {
        "extract_frames": image,
        "matting": over(image, resize(view.alpha, TILE, TILE)),
        "landmarks": landmarks,
        "fit_head": dots(image, view.surface * scale, SURFACE, 0),
        "hair_masks": (image // 2 + resize(LABEL_COLOURS[np.minimum(view.labels, 3)], TILE, TILE) // 2).astype(np.uint8),
        "orientation_maps": resize(preview(view.angle, view.confidence), TILE, TILE),
    }


def over(image: UInt8[np.ndarray, "H W 3"], alpha: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """The subject over plain green."""
    share = alpha[..., None].astype(np.float32) / 255
    return np.rint(share * image + (1 - share) * GREEN).astype(np.uint8)


def dots(
    image: UInt8[np.ndarray, "H W 3"], points: Float[np.ndarray, "N 2"], colour: tuple[int, int, int], radius: int = 1
) -> UInt8[np.ndarray, "H W 3"]:
    """Known points drawn into a copy of the picture."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for x, y in points[np.isfinite(points).all(-1)]:
        draw.rectangle((x - radius, y - radius, x + radius, y + radius) if radius else (x, y, x, y), fill=colour)
    return np.asarray(picture)


def contact_sheet(rows: Sequence[Sequence[tuple[str, UInt8[np.ndarray, "t t 3"]]]]) -> UInt8[np.ndarray, "H W 3"]:
    """Labelled tiles in rows; ``CaptureError`` without any."""
    if not rows:
        raise CaptureError("contact sheets", "no view has all products", "run the preprocessing stages again")
    framed = [[np.pad(labelled(picture, label), ((0, MARGIN), (0, MARGIN), (0, 0))) for label, picture in row] for row in rows]
    return np.concatenate([np.concatenate(row, axis=1) for row in framed], axis=0)


def evenly(count: int, wanted: int) -> list[int]:
    """At most ``wanted`` of ``count`` positions, evenly spread, first and last among them."""
    return sorted({round(k) for k in np.linspace(0, count - 1, min(count, wanted))})
