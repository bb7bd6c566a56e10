"""Pictures of the report, arrays in and arrays out: truth | render | error beside each other, and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from headcast.errors import HeadcastError

MARGIN = 6
LABEL_HEIGHT = 18
BACKGROUND = (24, 24, 28)
INK = (230, 230, 230)
FAINT = (90, 90, 96)
MARK = (120, 24, 24)
# Perceptually ordered from black over purple and orange to pale yellow; the shade of error 0, 1/6, … 1.
HEAT = np.array(
    [(0, 0, 4), (40, 17, 90), (101, 26, 128), (165, 44, 122), (229, 80, 100), (252, 153, 107), (252, 253, 191)], np.float64
)
COLOURS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (240, 228, 66), (213, 94, 0))


@dataclass(frozen=True)
class Comparison:
    """One row of the contact sheet: colours sRGB-encoded in [0, 1], the error map in [0, 1] (FLIP)."""

    label: str
    truth: Float[np.ndarray, "H W 3"]
    image: Float[np.ndarray, "H W 3"]
    error: Float[np.ndarray, "H W"]


def heat(values: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Errors in [0, 1] as shades from black to pale yellow; NaN is grey."""
    known = np.isfinite(values)
    position = np.clip(np.where(known, values, 0.0), 0.0, 1.0) * (len(HEAT) - 1)
    lower = np.minimum(position.astype(np.int64), len(HEAT) - 2)
    share = (position - lower)[..., None]
    shades = (1.0 - share) * HEAT[lower] + share * HEAT[lower + 1]
    return np.where(known[..., None], np.round(shades), 128).astype(np.uint8)


def to_bytes(image: Float[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Encoded colours in [0, 1] as bytes, rounded and clipped."""
    return np.round(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)


def comparison_sheet(rows: Sequence[Comparison], columns: int = 1) -> UInt8[np.ndarray, "H W 3"]:
    """Truth | render | error, one labelled row a view, ``columns`` rows beside each other; ``HeadcastError`` without rows."""
    if not rows:
        raise HeadcastError("comparison picture", "there is no view to show", "hold out at least one camera")
    tiles = [_row(row) for row in rows]
    lines = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    return _stack([_stack(line, axis=1) for line in lines], axis=0)


def _row(row: Comparison) -> UInt8[np.ndarray, "h w 3"]:
    panels = [to_bytes(row.truth), to_bytes(row.image), heat(row.error)]
    names = [f"{row.label}  truth", "render", "error (FLIP)"]
    return _stack([labelled(panel, name) for panel, name in zip(panels, names, strict=True)], axis=1)


def labelled(image: UInt8[np.ndarray, "H W 3"], label: str) -> UInt8[np.ndarray, "h W 3"]:
    """The picture under a line of text in the default font."""
    strip = Image.new("RGB", (image.shape[1], LABEL_HEIGHT), BACKGROUND)
    ImageDraw.Draw(strip).text((2, 3), label, fill=INK, font=ImageFont.load_default())
    return np.concatenate([np.asarray(strip), image], axis=0)


def _stack(pictures: Sequence[UInt8[np.ndarray, "H W 3"]], axis: int) -> UInt8[np.ndarray, "h w 3"]:
    """Pictures beside (axis 1) or below (axis 0) each other, padded to one size, with margins between."""
    across = 1 - axis
    size = max(picture.shape[across] for picture in pictures)
    padded = []
    for number, picture in enumerate(pictures):
        before = MARGIN if number else 0
        gap = [(0, 0), (0, 0), (0, 0)]
        gap[axis], gap[across] = (before, 0), (0, size - picture.shape[across])
        padded.append(np.stack([np.pad(picture[..., c], gap[:2], constant_values=BACKGROUND[c]) for c in range(3)], axis=-1))
    return np.concatenate(padded, axis=axis)


def curves(
    title: str, series: Mapping[str, Sequence[float]], width: int = 560, height: int = 240, marked: Sequence[int] = ()
) -> UInt8[np.ndarray, "height width 3"]:
    """Lines over frame numbers, one colour a name, gaps where a value is NaN; the vertical range is that of the values.

    ``marked`` frames stand before a red bar.
    """
    picture = Image.new("RGB", (width, height), BACKGROUND)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default()
    low, high = _value_range(series)
    left, right, top, bottom = 46, width - 10, 24, height - 34
    step = (right - left) / max(max((len(values) for values in series.values()), default=1) - 1, 1)
    for frame in marked:
        middle, half = left + frame * step, max(0.4 * step, 1)
        draw.rectangle((max(middle - half, left), top, min(middle + half, right), bottom), fill=MARK)
    draw.rectangle((left, top, right, bottom), outline=FAINT)
    draw.text((left, 6), title, fill=INK, font=font)
    for value, y in ((high, top), (low, bottom)):
        draw.text((4, y - 6), f"{value:.4g}", fill=INK, font=font)
    for number, (name, values) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        draw.text((left + 110 * number, height - 20), name, fill=colour, font=font)
        _polyline(draw, values, (left, right, top, bottom), (low, high), colour)
    return np.asarray(picture)


def _value_range(series: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    values = np.concatenate([np.zeros(0), *(np.asarray(line, np.float64) for line in series.values())])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _polyline(
    draw: ImageDraw.ImageDraw,
    values: Sequence[float],
    box: tuple[int, int, int, int],
    extent: tuple[float, float],
    colour: tuple[int, int, int],
) -> None:
    left, right, top, bottom = box
    step = (right - left) / max(len(values) - 1, 1)
    points = [
        (left + k * step, bottom - (float(v) - extent[0]) / (extent[1] - extent[0]) * (bottom - top)) if np.isfinite(v) else None
        for k, v in enumerate(values)
    ]
    for start, end in pairwise(points):
        if start and end:
            draw.line((*start, *end), fill=colour, width=2)
    for point in filter(None, points):
        draw.ellipse((point[0] - 2, point[1] - 2, point[0] + 2, point[1] + 2), fill=colour)
