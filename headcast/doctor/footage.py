"""What the sequence says over time: missing, repeated and dark views, coverage, sharpness, plates and colours by camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from headcast.doctor.checks import CHECKS, Finding, judge
from headcast.doctor.measures import color_differences
from headcast.doctor.rig import largest
from headcast.imaging.color import before_correction

Series = Float[np.ndarray, "f C"]


@dataclass(frozen=True)
class Footage:
    """Figures of the sampled frames: every field of ``Measures`` as ``f C``, skin colours ``f C N 3``, and who they belong to.

    ``face_found`` f C: whether the view's face was detected. ``corrections`` are those that extraction applied, by serial.
    """

    frames: Sequence[int]
    serials: Sequence[str]
    measures: Mapping[str, Series]
    colors: Float[np.ndarray, "f C N 3"]
    face_found: np.ndarray
    corrections: Mapping[str, Float[np.ndarray, "3 k"]]


def examine_footage(footage: Footage) -> list[Finding]:
    """Every finding about light, sharpness, mattes and labels."""
    found, serials = footage.measures, footage.serials
    face = np.where(footage.face_found, found["face"], np.nan)
    sharp = by_camera(found["sharpness"], serials)
    middle = _median(np.array(list(sharp.values())))
    return [
        _worst_view("matte_coverage", 100 * found["subject"], footage),
        _change("matte_steadiness", found["subject"], footage),
        _worst_view("face_coverage", 100 * face, footage),
        judge("hair_coverage", 100 * _median(found["hair"])),
        _change("label_steadiness", found["hair"], footage),
        judge("labels_in_matte", 100 * _mean(found["stray_labels"])),
        judge("orientation", 100 * _median(found["oriented"])),
        judge("focus", *smallest({serial: 100 * value / middle for serial, value in sharp.items()}, "camera")),
        judge("blur", *smallest(frame_sharpness(footage), "frame")),
        judge("clipping", *largest({s: 100 * v for s, v in by_camera(found["clipped"], serials).items()}, "camera")),
        judge("darkness", *smallest(by_camera(found["brightness"], serials), "camera")),
        judge("plate", *largest(by_camera(found["plate"], serials), "camera")),
        examine_colors(footage),
    ]


def examine_colors(footage: Footage) -> Finding:
    """How much the cameras differ in colour, and how much they did before extraction corrected them."""
    figure, where = largest(dict(zip(footage.serials, color_differences(footage.colors), strict=True)), "camera")
    if not footage.corrections:
        return judge("color", figure, where)
    filmed = footage.colors.copy()
    for c, serial in enumerate(footage.serials):
        if serial in footage.corrections:
            filmed[:, c] = before_correction(filmed[:, c], footage.corrections[serial])
    before, worst = largest(dict(zip(footage.serials, color_differences(filmed), strict=True)), "camera")
    return judge("color", figure, f"{where}; as filmed {before:.1f} %, {worst}" if np.isfinite(before) else where)


def examine_members(
    views: Sequence[tuple[int, str]], hashes: Mapping[str, Mapping[tuple[int, str], str]], times: Sequence[float]
) -> list[Finding]:
    """Findings about what is there at all: ``hashes`` names, for every product, the views that it holds and the hash of each.

    ``times`` are the frames' times (s).
    """
    missing = [(product, *view) for product, held in hashes.items() for view in views if view not in held]
    where = "; ".join(f"{product}: frame {frame}, camera {serial}" for product, frame, serial in missing[:3])
    images = hashes["images"]
    repeated = [
        (frame, serial) for frame, serial in views if frame and images.get((frame, serial)) == images.get((frame - 1, serial), "")
    ]
    steps = np.diff(times)
    gap = float(steps.max() / np.median(steps)) if len(steps) else float("nan")
    return [
        judge("views", len(missing), where),
        judge("gaps", gap, f"after frame {int(steps.argmax())}" if len(steps) and gap > 1.01 else ""),
        judge(
            "frozen",
            100 * len(repeated) / len(views),
            f"first: frame {repeated[0][0]}, camera {repeated[0][1]}" if repeated else "",
        ),
    ]


def by_camera(values: Series, serials: Sequence[str]) -> dict[str, float]:
    """The median over frames of each camera; NaN where nothing is known."""
    return {serial: _median(values[:, c]) for c, serial in enumerate(serials)}


def frame_sharpness(footage: Footage) -> dict[str, float]:
    """Each frame's sharpness in per cent of its camera's median (median over cameras), by number; nothing for a single frame."""
    values = footage.measures["sharpness"]
    if len(values) < 2:
        return {}
    usual = np.array(list(by_camera(values, footage.serials).values()))
    return {str(frame): 100 * _median(row / usual) for frame, row in zip(footage.frames, values, strict=True)}


def smallest(values: Mapping[str, float], kind: str) -> tuple[float, str]:
    """The smallest known value and what it belongs to."""
    figure, where = largest({name: -value for name, value in values.items()}, kind)
    return -figure, where


def _worst_view(check: str, values: Series, footage: Footage) -> Finding:
    """The view that lies farthest outside the good range, on either side."""
    low, high = CHECKS[check].good
    if not np.isfinite(values).any():
        return judge(check, float("nan"))
    excess = np.maximum(low - values, values - high)
    row, column = divmod(int(np.nanargmax(excess)), values.shape[1])
    return judge(check, float(values[row, column]), f"frame {footage.frames[row]}, camera {footage.serials[column]}")


def _change(check: str, values: Series, footage: Footage) -> Finding:
    """The largest relative change of a share from one sampled frame to the next, in per cent."""
    if len(values) < 2:
        return judge(check, float("nan"))
    change = 100 * np.abs(np.diff(values, axis=0)) / np.maximum(np.maximum(values[1:], values[:-1]), 1e-6)
    if not np.isfinite(change).any():
        return judge(check, float("nan"))
    row, column = divmod(int(np.nanargmax(change)), change.shape[1])
    frames = footage.frames
    return judge(check, float(change[row, column]), f"frames {frames[row]} and {frames[row + 1]}, camera {footage.serials[column]}")


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
