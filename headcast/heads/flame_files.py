"""FLAME's files as checked arrays: the model pickles of 2017 to 2023, landmark embeddings, vertex masks.

Model pickles hold ``v_template`` V 3 (m), ``f`` T 3, ``shapedirs`` V 3 400 (300 identity, 100 expression; standard deviations),
``posedirs`` V 3 36, ``J_regressor`` 5 V (sparse), ``weights`` V 5, ``kintree_table`` 2 5: joints root, neck, jaw, left eye, right
eye. Some values are chumpy objects. Embeddings give points as triangle and barycentric weights: 51 static ones without the jaw, 17
on the jaw's contour for each of 79 yaw angles, or all 68 (70 with the irises) at once; FaceMesh's come with their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from headcast.errors import AssetMissing, BadFile
from headcast.head_files import FLAME_2020_SHA256
from headcast.heads.asset_files import OBTAIN, indices, numbers, read_npy_dict, read_npz, read_pickle, sha256
from headcast.heads.model import DENSE_LANDMARKS, Embedding

IDENTITIES, EXPRESSIONS = 100, 50
FIRST_EXPRESSION = 300
JOINTS = 5
JAW_JOINT, LEFT_EYE_JOINT, RIGHT_EYE_JOINT = 2, 3, 4
YAWS = 79  # 0 … 39 degrees to one side, then 1 … 39 to the other
PARENTS = (-1, 0, 1, 1, 1)
FLAME_2020 = "generic_model.pkl"


@dataclass(frozen=True)
class FlameArrays:
    """What skinning needs; see the module. ``identity`` 100 V 3, ``expression`` 50 V 3 (m), ``pose`` 36 V 3 (m)."""

    template: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "T 3"]
    identity: Float[np.ndarray, "100 V 3"]
    expression: Float[np.ndarray, "50 V 3"]
    pose: Float[np.ndarray, "36 V 3"]
    joints: Float[np.ndarray, "5 V"]
    weights: Float[np.ndarray, "V 5"]


def read_flame(path: Path) -> FlameArrays:
    """The model of a pickle; nothing in it runs. ``BadFile`` when it is no FLAME, ``AssetMissing`` when it is another version."""
    if sha256(path) == FLAME_2020_SHA256 and path.name != FLAME_2020:
        raise AssetMissing(
            path, "these are the bytes of FLAME 2020", f"name it {FLAME_2020}, or obtain the version that this name says"
        )
    raw = read_pickle(path)
    template = numbers(path, raw, "v_template", (None, 3)).astype(np.float64)
    count = len(template)
    shapes = numbers(path, raw, "shapedirs", (count, 3, None)).astype(np.float64)
    if shapes.shape[2] < FIRST_EXPRESSION + EXPRESSIONS:
        raise BadFile(path, f"shapedirs has {shapes.shape[2]} components, FLAME 400: it is another file than its name says", OBTAIN)
    parents = numbers(path, raw, "kintree_table", (2, JOINTS))[0].astype(np.int64)
    if tuple(parents[1:]) != PARENTS[1:]:
        raise BadFile(path, f"its joints hang on {parents[1:].tolist()}, FLAME's on {list(PARENTS[1:])}", OBTAIN)
    expression = shapes[:, :, FIRST_EXPRESSION : FIRST_EXPRESSION + EXPRESSIONS]
    return FlameArrays(
        template=template,
        faces=indices(path, numbers(path, raw, "f", (None, 3)), "f", count),
        identity=np.ascontiguousarray(shapes[:, :, :IDENTITIES].transpose(2, 0, 1)),
        expression=np.ascontiguousarray(expression.transpose(2, 0, 1)),
        pose=np.ascontiguousarray(
            numbers(path, raw, "posedirs", (count, 3, 9 * (JOINTS - 1))).astype(np.float64).transpose(2, 0, 1)
        ),
        joints=numbers(path, raw, "J_regressor", (JOINTS, count)).astype(np.float64),
        weights=numbers(path, raw, "weights", (count, JOINTS)).astype(np.float64),
    )


@dataclass(frozen=True)
class FlameLandmarks:
    """iBUG's points on FLAME: all 68 (the jaw as seen from the front), the jaw's contour by yaw, the irises where given.

    ``contour`` 79 × 17 rows, flattened; without a contour file every yaw has the static jaw.
    """

    static: Embedding
    contour: Embedding
    irises: Embedding | None


def read_landmarks(paths: tuple[Path, ...], faces: Int[np.ndarray, "T 3"]) -> FlameLandmarks:
    """The landmarks of ``landmark_embedding_with_eyes.npy``, or of the static pickle and the dynamic npy."""
    if len(paths) == 1:
        raw = read_npy_dict(paths[0])
        full = _embedding(paths[0], raw, ("full_lmk_faces_idx", "full_lmk_bary_coords"), faces)
        if len(full.corners) not in (68, 70):
            raise BadFile(paths[0], f"has {len(full.corners)} points, expected 68 or 70", OBTAIN)
        jaw = _embedding(paths[0], raw, ("dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords"), faces)
        irises = Embedding(full.corners[68:], full.weights[68:]) if len(full.corners) == 70 else None
        return FlameLandmarks(Embedding(full.corners[:68], full.weights[:68]), _contour(paths[0], jaw), irises)
    static = _embedding(paths[0], read_pickle(paths[0]), ("lmk_face_idx", "lmk_b_coords"), faces)
    if len(static.corners) != 51:
        raise BadFile(paths[0], f"has {len(static.corners)} points, expected 51", OBTAIN)
    contour = _contour(paths[1], _embedding(paths[1], read_npy_dict(paths[1]), ("lmk_face_idx", "lmk_b_coords"), faces))
    front = slice(0, 17)
    corners = np.concatenate([contour.corners[front], static.corners])
    return FlameLandmarks(Embedding(corners, np.concatenate([contour.weights[front], static.weights])), contour, None)


def _contour(path: Path, jaw: Embedding) -> Embedding:
    if len(jaw.corners) != YAWS * 17:
        raise BadFile(path, f"has {len(jaw.corners)} contour points, expected {YAWS} x 17", OBTAIN)
    return jaw


def _embedding(path: Path, raw: dict[str, Any], keys: tuple[str, str], faces: Int[np.ndarray, "T 3"]) -> Embedding:
    """Triangles and barycentric weights under two keys, whatever leading axes they have."""
    triangle, weights = (numbers(path, raw, key, None) for key in keys)
    if weights.shape != (*triangle.shape, 3):
        raise BadFile(path, f"{keys[1]} has shape {weights.shape} for {keys[0]} of shape {triangle.shape}", OBTAIN)
    rows = indices(path, triangle.reshape(-1), keys[0], len(faces))
    return Embedding(faces[rows], weights.reshape(-1, 3).astype(np.float64))


def read_dense(path: Path, faces: Int[np.ndarray, "T 3"]) -> Embedding:
    """FaceMesh's points that `mediapipe_landmark_embedding.npz` places (105 of 478); the others are NaN."""
    raw = read_npz(path, ("lmk_face_idx", "lmk_b_coords", "landmark_indices"))
    placed = _embedding(path, raw, ("lmk_face_idx", "lmk_b_coords"), faces)
    rows = indices(path, numbers(path, raw, "landmark_indices", (len(placed.corners),)), "landmark_indices", DENSE_LANDMARKS)
    corners, weights = np.zeros((DENSE_LANDMARKS, 3), dtype=np.int64), np.full((DENSE_LANDMARKS, 3), np.nan)
    corners[rows], weights[rows] = placed.corners, placed.weights
    return Embedding(corners, weights)


def read_masks(path: Path, count: int) -> dict[str, Bool[np.ndarray, "V"]]:
    """The vertex masks ``face`` and ``scalp`` of `FLAME_masks.pkl`."""
    raw = read_pickle(path)
    masks = {}
    for name in ("face", "scalp"):
        masks[name] = np.zeros(count, dtype=bool)
        masks[name][indices(path, numbers(path, raw, name, (None,)), name, count)] = True
    return masks
