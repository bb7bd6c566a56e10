"""What moving hair gains over hair that is rigid with the skull, and how fast strands are beside true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from torch import Tensor

from headcast.avatar.strands import skull_to_world
from headcast.evaluation.metrics import mean_finite

REACH = 0.01
"""Speeds are compared where a true strand lies within this distance (m)."""


@dataclass(frozen=True)
class Moving:
    """The hair of one sequence in the world (m): as it moves, and rigid with the skull."""

    points: Float[Tensor, "F S P 3"]
    rigid: Float[Tensor, "F S P 3"]


def beside_rigid(
    points: Mapping[str, Float[Tensor, "F S P 3"]],
    track: Mapping[str, Mapping[str, Tensor]],
    known: Mapping[str, Bool[Tensor, "F"]],
) -> dict[str, Moving]:
    """Moving hair of every sequence beside its best rigid stand-in: the mean over the ``known`` frames in the skull's frame."""
    local = {
        name: torch.einsum("fspi,fij->fspj", moved - track[name]["translation"][:, None, None], track[name]["rotation"])
        for name, moved in points.items()
    }
    still = torch.cat([local[name][known[name]] for name in points]).mean(0)
    return {name: Moving(moved, _placed(still, track[name])) for name, moved in points.items()}


def _placed(still: Float[Tensor, "S P 3"], track: Mapping[str, Tensor]) -> Float[Tensor, "F S P 3"]:
    return torch.stack([skull_to_world(still, *pose) for pose in zip(track["rotation"], track["translation"], strict=True)])


def speed_errors(
    points: Float[np.ndarray, "F S P 3"], truth: Float[np.ndarray, "F R Q 3"], times: Float[np.ndarray, "F"], frames: Sequence[int]
) -> dict[str, Float[np.ndarray, "n"]]:
    """``speed``, ``true`` and ``error`` (m/s) of all points that arrive in ``frames``, beside the true strand they came from.

    Velocities are differences to the frame before, where each point is paired with the nearest true one within 1 cm; the error is
    the length of the difference of both velocities. Without a pair all are empty.
    """
    found: dict[str, list[np.ndarray]] = {"speed": [], "true": [], "error": []}
    for frame in frames:
        if frame == 0:
            continue
        gap = float(times[frame] - times[frame - 1])
        start, true_start = points[frame - 1].reshape(-1, 3), truth[frame - 1].reshape(-1, 3)
        usable = np.isfinite(true_start).all(-1)
        away, pair = cKDTree(true_start[usable]).query(start, distance_upper_bound=REACH)
        near = np.isfinite(away)
        velocity = ((points[frame].reshape(-1, 3) - start) / gap)[near]
        true_velocity = ((truth[frame].reshape(-1, 3) - true_start)[usable] / gap)[pair[near]]
        for name, vectors in {"speed": velocity, "true": true_velocity, "error": velocity - true_velocity}.items():
            found[name].append(np.linalg.norm(vectors, axis=-1))
    return {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in found.items()}


def speed_figures(
    moving: Mapping[str, Moving],
    truth: Mapping[str, Float[np.ndarray, "F R Q 3"]],
    times: Mapping[str, Float[np.ndarray, "F"]],
    frames: Mapping[str, Sequence[int]],
) -> dict[str, float]:
    """Means (m/s) over the ``frames`` of all sequences with true strands; NaN where there is nothing to compare."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("speed", "speed_true", "speed_error", "speed_error_rigid")}
    for name in truth:
        moved, rigid = (
            speed_errors(points.cpu().numpy(), truth[name], times[name], frames[name])
            for points in (moving[name].points, moving[name].rigid)
        )
        for figure, values in zip(found, (moved["speed"], moved["true"], moved["error"], rigid["error"]), strict=True):
            found[figure].append(values)
    return {f"{name}_m_s": mean_finite(np.concatenate(parts).tolist() if parts else []) for name, parts in found.items()}
