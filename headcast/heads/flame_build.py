"""The arrays of a FLAME head from the user's files and what the embedded head knows about heads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headcast.heads.flame_files import (
    JAW_JOINT,
    LEFT_EYE_JOINT,
    RIGHT_EYE_JOINT,
    FlameArrays,
    read_dense,
    read_flame,
    read_landmarks,
    read_masks,
)
from headcast.heads.model import IRIS_CENTRES, Embedding
from headcast.heads.regions import nearest_mirror
from headcast.heads.transfer import Surface, carry

if TYPE_CHECKING:
    from headcast.heads.linear_head import LinearHead

RECIPE = "flame 1"
SOFTENING = 4  # rounds of averaging with the neighbours: masks end at triangles, hairlines do not


def build(files: Mapping[str, tuple[Path, ...]], reference: LinearHead) -> dict[str, np.ndarray]:
    """What `headcast.heads.flame_head.FlameHead.of` takes, from files by role; ``reference`` is the `open` head. ``BadFile``."""
    arrays = read_flame(files["model"][0])
    landmarks = read_landmarks(files["landmarks"], arrays.faces)
    eyes = tuple(np.flatnonzero(arrays.weights[:, joint] > 0.5) for joint in (LEFT_EYE_JOINT, RIGHT_EYE_JOINT))
    eyeballs = np.isin(np.arange(len(arrays.template)), np.concatenate(eyes))
    opening = arrays.weights[:, JAW_JOINT]
    carried = carry(reference, Surface(arrays.template, arrays.faces, landmarks.static.on(arrays.template), ~eyeballs, opening))
    scalp, face = carried.scalp, carried.face
    if "masks" in files:
        masks = read_masks(files["masks"][0], len(arrays.template))
        scalp, face = softened(masks["scalp"].astype(float), arrays.faces), masks["face"]
    dense = read_dense(files["dense"][0], arrays.faces) if "dense" in files else carried.dense
    found = {f"flame_{name}": value for name, value in vars(arrays).items()} | {
        "scalp": np.where(eyeballs, 0.0, scalp),
        "face": face | eyeballs,
        "skin": ~eyeballs & ~carried.mouth_interior,
        "mouth_interior": carried.mouth_interior & ~eyeballs,
        "head_weight": np.clip(1.0 - arrays.weights[:, 0], 0.0, 1.0),
        "mirror": nearest_mirror(arrays.template),
        "left_eye": eyes[0],
        "right_eye": eyes[1],
    }
    embeddings = {
        "landmark": landmarks.static,
        "contour": landmarks.contour,
        "dense": _with_irises(dense, arrays, landmarks.irises, eyes),
    }
    for name, embedding in embeddings.items():
        found |= {f"{name}_corners": embedding.corners, f"{name}_weights": embedding.weights}
    return found


def softened(values: np.ndarray, faces: np.ndarray, rounds: int = SOFTENING) -> np.ndarray:
    """A vertex mask averaged with its neighbours."""
    count = np.maximum(3 * np.bincount(faces.ravel(), minlength=len(values)), 1)
    for _ in range(rounds):
        values = np.bincount(faces.ravel(), np.repeat(values[faces].sum(axis=1), 3), len(values)) / count
    return values


def _with_irises(dense: Embedding, arrays: FlameArrays, irises: Embedding | None, eyes: tuple[np.ndarray, ...]) -> Embedding:
    """The dense points with the irises' centres: those of the file by their side, else the foremost vertex of each eyeball."""
    corners, weights = dense.corners.copy(), dense.weights.copy()
    for point, eye in zip(IRIS_CENTRES, eyes, strict=True):
        if not len(eye):
            continue
        corners[point], weights[point] = eye[arrays.template[eye, 2].argmax()], [1.0, 0.0, 0.0]
        if irises is not None:
            nearest = np.abs(irises.on(arrays.template)[:, 0] - arrays.template[eye, 0].mean()).argmin()
            corners[point], weights[point] = irises.corners[nearest], irises.weights[nearest]
    return Embedding(corners, weights)
