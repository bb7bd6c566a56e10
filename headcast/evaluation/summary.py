"""From rows of figures to the report: means by group and by camera, ``metrics.json`` as a dict, CSV rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from headcast.evaluation.flip import PIXELS_PER_DEGREE
from headcast.evaluation.metrics import mean_finite, ms_ssim_scales
from headcast.evaluation.protocol import ViewScore

IMAGE_FIGURES = ("psnr", "psnr_subject", "ssim", "ms_ssim", "flip", "lpips")
HAIR_FIGURES = ("psnr", "ssim", "flip", "iou", "temporal_iou", "change_iou")
GROUPS = {
    "held_out_cameras": "cameras that training never saw, at frames that it saw",
    "held_out_frames": "cameras that training saw, at frames that it never saw",
    "held_out_both": "cameras that training never saw, at frames that it never saw",
    "training": "views that training saw",
}
COLUMNS = tuple(field.name for field in fields(ViewScore))


def summarise(
    scores: Sequence[ViewScore],
    *,
    strands: Mapping[str, Any] | None,
    timing_s: Mapping[str, float],
    protocol: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of ``metrics.json``; figures that do not exist are ``None``.

    ``strands`` are the strand figures or ``None`` without ground truth, ``timing_s`` the seconds of each rule,
    ``protocol`` what ``describe_protocol`` returned. Hair figures are those of the held-out cameras at training frames.
    """
    groups = {name: [score for score in scores if score.group == name] for name in GROUPS}
    report: dict[str, Any] = {name: _image_means(members) for name, members in groups.items() if members or not _optional(name)}
    report["hair"] = _hair_means(groups["held_out_cameras"])
    report["hair_motion"] = {name: _motion(groups[name]) for name in ("held_out_frames", "held_out_both")}
    report["strands"] = None if strands is None else clean(dict(strands))
    report["timing_s"] = clean({**timing_s, "render_view": mean_finite(score.seconds for score in scores)})
    report["protocol"] = clean(dict(protocol))
    return report


def _optional(group: str) -> bool:
    """Whether a group without views is left out instead of being reported as empty."""
    return group in ("held_out_both", "training")


def describe_protocol(
    *,
    held_out_cameras: Sequence[str],
    held_out_frames: Mapping[str, Sequence[int]],
    height: int,
    width: int,
    matte: str,
    hair_mask: str,
    lpips: str,
) -> dict[str, Any]:
    """How the figures came about, in words and numbers, so that ``metrics.json`` can be read alone.

    ``matte`` and ``hair_mask`` are "pipeline" or "ground truth"; ``lpips`` is the network or the reason why there is none.
    """
    return {
        "held_out_cameras": sorted(held_out_cameras),
        "held_out_frames": {
            sequence: sorted(int(frame) for frame in frames) for sequence, frames in sorted(held_out_frames.items())
        },
        "size": [height, width],
        "truth": f"filmed image composited on black with the matte ({matte})",
        "matte": matte,
        "hair_mask": hair_mask,
        "averaging": "mean over views of the figure of each view; by_camera: mean over the camera's views",
        "psnr": "dB, peak 1, RGB, sRGB-encoded; psnr_subject: over pixels with matte > 0.5; hair: over pixels with true hair > 0.5",
        "ssim": "Wang 2004, Gaussian window 11 x 11, sigma 1.5, mean over RGB",
        "ms_ssim": f"Wang 2003, {ms_ssim_scales(height, width)} of 5 scales",
        "flip": f"LDR-FLIP 2020, {PIXELS_PER_DEGREE:g} pixels per degree, mean",
        "lpips": lpips,
        "hair": "over held_out_cameras; masks at 0.5",
        "temporal_iou": "IoU of the later predicted hair mask with the earlier one moved by the true change; consecutive frames",
        "change_iou": "IoU of predicted and true changed pixels; consecutive frames",
        "hair_motion": "hair psnr as the hair moves, and rigid with the skull as it lies in the mean of the training frames",
        "speed": "m/s, world; error: difference of velocities to the nearest true strand within 1 cm; held-out frames",
        "groups": dict(GROUPS),
    }


def _image_means(scores: Sequence[ViewScore]) -> dict[str, Any]:
    """Means of the image figures over views, and the same for each camera."""
    means = _means(scores, IMAGE_FIGURES, "")
    return {
        **means,
        "views": len(scores),
        "by_camera": {c: _means(rows, IMAGE_FIGURES, "") for c, rows in _by_camera(scores).items()},
    }


def _hair_means(scores: Sequence[ViewScore]) -> dict[str, Any]:
    means = _means(scores, HAIR_FIGURES, "hair_")
    return {
        **means,
        "views": len(scores),
        "by_camera": {c: _means(rows, HAIR_FIGURES, "hair_") for c, rows in _by_camera(scores).items()},
    }


def _motion(scores: Sequence[ViewScore]) -> dict[str, Any]:
    """What moving hair gains over rigid hair (dB, same views), over all views that show both and by sequence."""
    both = [score for score in scores if math.isfinite(score.hair_psnr_rigid)]
    sequences = sorted({score.sequence for score in both})
    by_sequence = {name: _gain([score for score in both if score.sequence == name]) for name in sequences}
    return {**_gain(both), "views": len(both), "by_sequence": by_sequence}


def _gain(scores: Sequence[ViewScore]) -> dict[str, float | None]:
    moving, rigid = (mean_finite(getattr(score, name) for score in scores) for name in ("hair_psnr", "hair_psnr_rigid"))
    figures: dict[str, float | None] = clean({"psnr": moving, "psnr_rigid": rigid, "gain_db": moving - rigid})
    return figures


def _by_camera(scores: Sequence[ViewScore]) -> dict[str, list[ViewScore]]:
    return {camera: [score for score in scores if score.camera == camera] for camera in sorted({score.camera for score in scores})}


def _means(scores: Sequence[ViewScore], names: Sequence[str], prefix: str) -> dict[str, float | None]:
    return {name: clean(mean_finite(getattr(score, prefix + name) for score in scores)) for name in names}


def clean(value: Any) -> Any:
    """Replace numbers that JSON cannot hold by ``None``, at any depth; NumPy and torch scalars become Python's."""
    if isinstance(value, Mapping):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def csv_rows(scores: Sequence[ViewScore]) -> list[list[str]]:
    """Header and one row a view, sorted by sequence, camera, frame; figures that do not exist are empty."""
    ordered = sorted(scores, key=lambda score: (score.sequence, score.camera, score.frame))
    return [["group", *COLUMNS], *([score.group, *(_cell(asdict(score)[name]) for name in COLUMNS)] for score in ordered)]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)
