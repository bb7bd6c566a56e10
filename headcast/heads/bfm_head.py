"""`bfm`: the Basel Face Model 2009 with expressions (Paysan et al. 2009; Guo et al. 2018), from `BFM09_model_info.mat`.

Topology: 35,709 vertices and 70,789 triangles of the face alone: no scalp, no neck, no eyeballs, no mouth cavity, so it drives but
grows no hair. File units decimetres, ours metres, origin at the mean of the mean face; axes are ours already. 80 identity and 64
expression components in standard deviations. Landmarks: the file's own 68; FaceMesh's points and the face are carried over from
`open`. The licence is non-commercial and forbids passing the basis on: avatars name it by hash.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headcast.errors import BadFile
from headcast.heads.asset_files import OBTAIN, indices, numbers, read_mat
from headcast.heads.linear_head import LinearHead
from headcast.heads.regions import nearest_mirror
from headcast.heads.transfer import Surface, carry
from headcast.heads.user_files import built

RECIPE = "bfm 1"
DECIMETRE = 0.1
IDENTITIES, EXPRESSIONS = 80, 64
ARRAYS = ("meanshape", "idBase", "exBase", "tri", "keypoints")
BOUND, SPREAD = 3.0, 2.0**0.5  # standard deviations: how far a component goes; the prior of a component is a unit normal


def load(cache: Path | None = None, root: Path = Path()) -> LinearHead:
    """The model from its cache, or from the user's file under ``root``. Raises ``AssetMissing``, ``BadFile``."""
    head = built("bfm", RECIPE, lambda files, reference: build(files["model"][0], reference), cache, root)
    return LinearHead.of(head.arrays, "bfm", head.licence, head.redistributable, head.sources)


def build(path: Path, reference: LinearHead) -> dict[str, np.ndarray]:
    """The arrays of a `LinearHead`; ``reference`` is the `open` head. Raises ``BadFile``."""
    raw = read_mat(path, ARRAYS)
    mean = numbers(path, raw, "meanshape", (1, None)).astype(np.float64).reshape(-1)
    if len(mean) % 3:
        raise BadFile(path, f"meanshape has {len(mean)} numbers, not three a vertex", OBTAIN)
    mean = mean.reshape(-1, 3) * DECIMETRE
    count = len(mean)
    faces = indices(path, numbers(path, raw, "tri", (None, 3)) - 1.0, "tri", count)
    landmarks = indices(path, numbers(path, raw, "keypoints", (1, 68))[0] - 1.0, "keypoints", count)
    mean = mean - mean.mean(axis=0)
    faces = faces if _outward(mean, faces) else faces[:, ::-1]
    everywhere, nothing = np.ones(count, dtype=bool), np.zeros(count, dtype=bool)
    carried = carry(reference, Surface(mean, faces, mean[landmarks], everywhere))
    return {
        "mean": mean,
        "identity_basis": _basis(path, raw, "idBase", count, IDENTITIES),
        "expression_basis": _basis(path, raw, "exBase", count, EXPRESSIONS),
        "expression_names": np.array([f"expression{k:02d}" for k in range(EXPRESSIONS)]),
        "expression_bounds": np.tile([-BOUND, BOUND], (EXPRESSIONS, 1)),
        "expression_spread": np.full(EXPRESSIONS, SPREAD),
        "gaze": np.zeros((EXPRESSIONS, 6)),
        "faces": np.ascontiguousarray(faces),
        "base_index": np.arange(count),
        "scalp": np.zeros(count),
        "face": carried.face,
        "skin": everywhere,
        "mouth_interior": nothing,
        "head_weight": np.ones(count),
        "mirror": nearest_mirror(mean),
        "left_eye": np.zeros(0, dtype=np.int64),
        "right_eye": np.zeros(0, dtype=np.int64),
        "neck_pivot": carried.neck_pivot,
        "landmark_corners": np.repeat(landmarks[:, None], 3, axis=1),
        "landmark_weights": np.tile([1.0, 0.0, 0.0], (68, 1)),
        "dense_corners": carried.dense.corners,
        "dense_weights": carried.dense.weights,
    }


def _basis(path: Path, raw: dict[str, np.ndarray], name: str, count: int, components: int) -> np.ndarray:
    columns = numbers(path, raw, name, (3 * count, components)).astype(np.float64)
    return np.ascontiguousarray(columns.T).reshape(components, count, 3) * DECIMETRE


def _outward(vertices: np.ndarray, faces: np.ndarray) -> bool:
    """Whether the triangles of a face that looks along +z are counter-clockwise from outside."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.cross(b - a, c - a)[:, 2].sum()) > 0
