"""`ict`: the light ICT-FaceKit head (Li et al., CVPR 2020), MIT licence, from one npz and the original index table.

Topology: 24,591 vertices (face, head and neck, mouth and eye sockets, gums, tongue, teeth, eyeballs; the thin meshes over the eyes
and the lashes are left out), quads split in two. File units centimetres, ours metres; axes are ours already. 100 identity
components (standard deviations), 55 expressions in [0, 1]; ``_L`` and ``_R`` become ``Left`` and ``Right`` as in the `open` head,
so that tracks move between the two. Landmarks: the file's own 68; FaceMesh's points, scalp, face and neck are carried over from
`open`. Teeth, gums and mouth socket are the mouth's interior; the eyeballs turn by the look units.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from headcast.errors import BadFile
from headcast.heads.asset_files import OBTAIN, indices, read_bytes, read_npz
from headcast.heads.linear_head import LinearHead
from headcast.heads.model import IRIS_CENTRES, Embedding
from headcast.heads.open_build import gaze_rotations
from headcast.heads.regions import nearest_mirror
from headcast.heads.transfer import Surface, carry, jaw_share
from headcast.heads.user_files import built

RECIPE = "ict 1"
CENTIMETRE = 0.01
SKIN_END, MOUTH_SOCKET_END, SOCKETS_END = 11_248, 13_294, 14_062  # vertex ranges of the file, in its order
EYES = {"left": ("M_ScleraLeft", "M_IrisLeft"), "right": ("M_ScleraRight", "M_IrisRight")}
KEPT = ("M_Face", "M_BackHead", "M_GumsTongue", "M_Teeth", *EYES["left"], *EYES["right"])
WITHOUT_SHAPE = ("PupilDilate_L", "PupilDilate_R")
ARRAYS = ("vertices", "faces", "material_of_face", "material_names", "identity_deltas", "expression_deltas", "expression_names")


def load(cache: Path | None = None, root: Path = Path()) -> LinearHead:
    """The model from its cache, or from the user's file under ``root``. Raises ``AssetMissing``, ``BadFile``."""
    head = built("ict", RECIPE, lambda files, reference: build(files["model"], reference), cache, root)
    return LinearHead.of(head.arrays, "ict", head.licence, head.redistributable, head.sources)


def build(files: tuple[Path, ...], reference: LinearHead) -> dict[str, np.ndarray]:
    """The arrays of a `LinearHead` from the npz and the index table; ``reference`` is the `open` head. Raises ``BadFile``."""
    model, table = files
    raw = _read(model)
    faces, parts = _triangles(raw)
    kept = np.unique(faces)
    place = np.full(len(raw["vertices"]), -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    mean = raw["vertices"][kept] * CENTIMETRE
    names = [str(name) for name in raw["expression_names"]]
    rows = [row for row, name in enumerate(names) if name not in WITHOUT_SHAPE]
    expression = raw["expression_deltas"][rows][:, kept] * CENTIMETRE
    eyes = tuple(place[np.unique(np.concatenate([parts[name] for name in side]))] for side in EYES.values())
    landmarks = place[_landmarks(table, len(place))]
    skin = kept < SKIN_END
    opening = jaw_share(expression[[names[row] for row in rows].index("jawOpen")])
    carried = carry(reference, Surface(mean, place[faces], mean[landmarks], skin, opening))
    mouth = np.isin(kept, np.concatenate([parts["M_GumsTongue"], parts["M_Teeth"]]))
    mouth |= (kept >= SKIN_END) & (kept < MOUTH_SOCKET_END)
    eyeballs, sockets = np.isin(np.arange(len(kept)), np.concatenate(eyes)), (kept >= MOUTH_SOCKET_END) & (kept < SOCKETS_END)
    gaze = gaze_rotations(expression, mean, (eyes[0], eyes[1]))
    expression[:, eyeballs] = 0.0
    return {
        "mean": mean,
        "identity_basis": raw["identity_deltas"][:, kept] * CENTIMETRE,
        "expression_basis": expression,
        "expression_names": np.array([_arkit(names[row]) for row in rows]),
        "gaze": gaze,
        "faces": place[faces],
        "base_index": kept,
        "scalp": carried.scalp,
        "face": (carried.face & skin) | eyeballs | mouth | sockets,
        "skin": skin,
        "mouth_interior": mouth,
        "head_weight": np.where(skin, carried.head_weight, 1.0),
        "mirror": nearest_mirror(mean),
        "left_eye": eyes[0],
        "right_eye": eyes[1],
        "neck_pivot": carried.neck_pivot,
        "landmark_corners": np.repeat(landmarks[:, None], 3, axis=1),
        "landmark_weights": np.tile([1.0, 0.0, 0.0], (len(landmarks), 1)),
        **_dense(carried.dense, mean, eyes),
    }


def _read(model: Path) -> dict[str, np.ndarray]:
    raw = read_npz(model, ARRAYS)
    vertices = raw["vertices"].shape
    for name in ("identity_deltas", "expression_deltas"):
        if raw[name].shape[1:] != vertices or not np.isfinite(raw[name]).all():
            raise BadFile(model, f"{name} has shape {raw[name].shape} for vertices {vertices}, or is not finite", OBTAIN)
    if vertices[0] <= SOCKETS_END or len(raw["expression_names"]) != len(raw["expression_deltas"]):
        raise BadFile(model, "is not the ICT-FaceKit head", OBTAIN)
    return {name: value.astype(np.float64) if value.dtype.kind == "f" else value for name, value in raw.items()}


def _triangles(raw: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Triangles of the kept parts, and the vertices of each part."""
    quads, material = raw["faces"].astype(np.int64), raw["material_of_face"]
    names = [str(name) for name in raw["material_names"]]
    parts = {name: np.unique(quads[material == names.index(name)]) for name in KEPT}
    quads = quads[np.isin(material, [names.index(name) for name in KEPT])]
    second = quads[quads[:, 3] >= 0]
    triangles = np.concatenate([quads[:, [0, 1, 2]], second[:, [0, 2, 3]]])
    return triangles, {name: members[members >= 0] for name, members in parts.items()}


def _landmarks(table: Path, count: int) -> np.ndarray:
    try:
        content: Any = json.loads(read_bytes(table))
        found = np.array(content["idx_to_landmark_verts"], dtype=np.int64)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise BadFile(table, f"is not ICT-FaceKit's index table ({type(error).__name__})", OBTAIN) from error
    if found.shape != (68,):
        raise BadFile(table, f"has {found.size} landmarks, expected 68", OBTAIN)
    return indices(table, found, "idx_to_landmark_verts", count)


def _arkit(name: str) -> str:
    for suffix, side in (("_L", "Left"), ("_R", "Right")):
        if name.endswith(suffix):
            return name.removesuffix(suffix) + side
    return name


def _dense(dense: Embedding, mean: np.ndarray, eyes: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    """The carried points with the irises' centres: the foremost vertex of each eyeball."""
    corners, weights = dense.corners.copy(), dense.weights.copy()
    for point, eye in zip(IRIS_CENTRES, eyes, strict=True):
        corners[point], weights[point] = eye[mean[eye, 2].argmax()], [1.0, 0.0, 0.0]
    return {"dense_corners": corners, "dense_weights": weights}
