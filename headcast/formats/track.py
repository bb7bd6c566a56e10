"""Landmarks of a sequence and the fitted head: one ``npz`` each, checked on both sides.

``landmarks/landmarks.npz``: ``points`` F C 68 2 px, ``confidence`` F C 68, ``dense`` F C 478 2 px; NaN where absent.
``landmarks/detections.npz``: the same three as each view had them before the consensus.
``params/parameters.npz`` and ``FLAME_params/parameters.npz``: the fields of ``HeadParameters``;
``FLAME_params/surface.npz``: ``vertices`` F V 3 m (world).
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from headcast.errors import BadFile
from headcast.formats.manifest import read_product, write_product
from headcast.heads.model import HeadParameters
from headcast.imaging.landmarks import Landmarks


def write_landmarks(path: Path, landmarks: Landmarks, facts: dict[str, Any], detected: Landmarks) -> None:
    """Write the landmarks of a sequence, and what the views detected before they agreed."""
    with write_product(path, "landmarks") as writer:
        writer.facts |= {**facts, "cameras": list(landmarks.cameras)}
        writer.add_arrays(
            "landmarks.npz",
            points=np.asarray(landmarks.points, np.float32),
            confidence=np.asarray(landmarks.confidence, np.float32),
            dense=np.asarray(landmarks.dense, np.float32),
        )
        parts = {name: np.asarray(getattr(detected, name), np.float32) for name in ("points", "confidence", "dense")}
        writer.add_arrays("detections.npz", **parts)


def read_landmarks(path: Path) -> Landmarks:
    """Read landmarks; ``BadFile`` when shapes and cameras disagree."""
    return _read_landmarks(path, "landmarks.npz")


def _read_landmarks(path: Path, member: str) -> Landmarks:
    product = read_product(path, "landmarks")
    arrays, cameras = product.arrays(member), tuple(product.facts["cameras"])
    frames = arrays["points"].shape[0] if "points" in arrays else 0
    expected = {
        "points": (frames, len(cameras), 68, 2),
        "confidence": (frames, len(cameras), 68),
        "dense": (frames, len(cameras), 478, 2),
    }
    for name, shape in expected.items():
        if name not in arrays:
            raise BadFile(path, f"{member} has no {name}", "run the landmarks stage again")
        if arrays[name].shape != shape:
            raise BadFile(path, f"{name} has shape {arrays[name].shape}, expected {shape}", "run the landmarks stage again")
    return Landmarks(cameras=cameras, points=arrays["points"], confidence=arrays["confidence"], dense=arrays["dense"])


def read_detections(path: Path) -> Landmarks:
    """What each view detected before the consensus."""
    return _read_landmarks(path, "detections.npz")


def write_head_params(
    path: Path, parameters: HeadParameters, facts: dict[str, Any], vertices: Float[np.ndarray, "F V 3"] | None = None
) -> None:
    """Write fitted parameters and, for the surface model, its vertices; a non-finite value is refused."""
    arrays = {
        field.name: getattr(parameters, field.name).detach().cpu().numpy().astype(np.float64) for field in fields(HeadParameters)
    }
    wrong = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if wrong:
        raise BadFile(path, f"{wrong[0]} would hold non-finite values", "the fit failed; look at the landmarks of this sequence")
    with write_product(path, "head_params") as writer:
        writer.facts |= facts
        writer.add_arrays("parameters.npz", **arrays)
        if vertices is not None:
            writer.add_arrays("surface.npz", vertices=vertices.astype(np.float32))


def read_head_params(path: Path) -> tuple[HeadParameters, dict[str, Any]]:
    """Read fitted parameters (float64 tensors) and the facts written with them."""
    product = read_product(path, "head_params")
    arrays = product.arrays("parameters.npz")
    missing = [field.name for field in fields(HeadParameters) if field.name not in arrays]
    if missing:
        raise BadFile(path, f"has no {missing[0]}", "run the fit_head stage again")
    return HeadParameters(**{field.name: torch.from_numpy(arrays[field.name]) for field in fields(HeadParameters)}), product.facts


def read_surface(path: Path) -> Float[np.ndarray, "F V 3"]:
    """The fitted surface of every frame (m, world)."""
    return read_product(path, "head_params").arrays("surface.npz")["vertices"]
