"""Files in the formats of FLAME, BFM and ICT whose heads have the shape of the embedded one: real enough to fit."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse

from headcast.heads.linear_head import LinearHead
from tests.heads.flame_files import random_embeddings
from tests.heads.loaded import loaded_head

CENTIMETRE, DECIMETRE = 0.01, 0.1
RANGES = {"skin": 0, "mouth": 14_062, "socket": 13_294, "left": 21_451, "right": 23_021}
MATERIALS = {"skin": "M_Face", "mouth": "M_GumsTongue", "socket": "M_BackHead", "left": "M_ScleraLeft", "right": "M_ScleraRight"}
OTHER_MATERIALS = ("M_Teeth", "M_IrisLeft", "M_IrisRight")
ICT_VERTICES = 26_719


def flame(folder: Path) -> LinearHead:
    """Write FLAME files under ``folder``/assets/FLAME; returns the embedded head that they have the shape of."""
    head = loaded_head()
    static, dynamic = _flame_embeddings(head)
    target = folder / "assets/FLAME"
    target.mkdir(parents=True, exist_ok=True)
    (target / "generic_model.pkl").write_bytes(pickle.dumps(_flame_model(head), 4))
    (target / "flame_static_embedding.pkl").write_bytes(pickle.dumps(static, 2))
    np.save(target / "flame_dynamic_embedding.npy", np.array(dynamic, dtype=object), allow_pickle=True)
    return head


def _flame_model(head: LinearHead) -> dict[str, Any]:
    count, names = len(head.mean), head.expression_names
    shapes = np.zeros((count, 3, 400), dtype=np.float32)
    shapes[:, :, :100] = head.identity_basis.transpose(1, 2, 0)
    units = [row for row, name in enumerate(names) if name != "jawOpen"][:50]
    shapes[:, :, 300:350] = 0.4 * head.expression_basis[units].transpose(1, 2, 0)
    opening = np.linalg.norm(head.expression_basis[names.index("jawOpen")], axis=1)
    weights = np.zeros((count, 5))
    weights[:, 2] = np.clip(opening / opening.max() * 1.5, 0, 1) * head.head_weight
    for joint, eye in zip((3, 4), head.eyes, strict=True):
        weights[eye] = np.eye(5)[joint]
    weights[:, 0] = 1 - head.head_weight
    weights[:, 1] = 1 - weights[:, [0, 2, 3, 4]].sum(axis=1)
    return {
        "v_template": head.mean,
        "shapedirs": shapes,
        "posedirs": np.zeros((count, 3, 36), dtype=np.float32),
        "J_regressor": scipy.sparse.csc_matrix(_regressor(head)),
        "weights": weights,
        "f": head.faces.astype(np.uint32),
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], dtype=np.uint32),
    }


def _regressor(head: LinearHead) -> np.ndarray:
    hinges = np.array([[0.06, -0.01, 0.01], [-0.06, -0.01, 0.01]])
    near = np.argsort(np.linalg.norm(head.mean[:, None] - hinges, axis=-1).min(axis=1))[:40]
    neck = np.argsort(np.linalg.norm(head.mean - head.neck_pivot, axis=1))[:40]
    rows = np.zeros((5, len(head.mean)))
    for joint, members in enumerate((np.flatnonzero(head.head_weight == 0), neck, near, *head.eyes)):
        rows[joint, members] = 1 / len(members)
    return rows


def _flame_embeddings(head: LinearHead) -> tuple[dict[str, Any], dict[str, Any]]:
    row = {tuple(sorted(corners)): k for k, corners in enumerate(head.faces.tolist())}
    faces = np.array([row[tuple(sorted(corners))] for corners in head.landmark_embedding.corners.tolist()])
    pairs = zip(head.landmark_embedding.corners.tolist(), faces, strict=True)
    order = [[corners.index(corner) for corner in head.faces[k]] for corners, k in pairs]
    weights = np.take_along_axis(head.landmark_embedding.weights, np.array(order), axis=1)
    _, dynamic = random_embeddings(triangles=len(head.faces))
    dynamic["lmk_face_idx"][0], dynamic["lmk_b_coords"][0] = faces[:17], weights[:17]
    return {"lmk_face_idx": faces[17:], "lmk_b_coords": weights[17:]}, dynamic


def _nearest_corners(head: LinearHead) -> np.ndarray:
    embedding = head.landmark_embedding
    return np.take_along_axis(embedding.corners, embedding.weights.argmax(axis=1)[:, None], axis=1)[:, 0]


def bfm(folder: Path) -> LinearHead:
    """Write ``folder``/assets/BFM/BFM09_model_info.mat with the embedded head's face; returns that head."""
    head = loaded_head()
    points = _nearest_corners(head)
    used = head.face & head.skin
    used[points] = True
    faces = head.faces[used[head.faces].all(axis=1)]
    kept = np.union1d(np.unique(faces), points)
    place = np.full(len(head.mean), -1)
    place[kept] = np.arange(len(kept))
    expression = np.zeros((64, len(kept), 3))
    expression[:52] = 0.4 * head.expression_basis[:, kept]
    target = folder / "assets/BFM/BFM09_model_info.mat"
    target.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "meanshape": head.mean[kept].reshape(1, -1) / DECIMETRE,
        "idBase": head.identity_basis[:80, kept].reshape(80, -1).T / DECIMETRE,
        "exBase": expression.reshape(64, -1).T / DECIMETRE,
        "tri": place[faces] + 1,
        "keypoints": place[points][None] + 1,
    }
    scipy.io.savemat(target, content)
    return head


def ict(folder: Path) -> LinearHead:
    """Write ICT-FaceKit's npz and table under ``folder``/assets/ICT-FaceKit with the embedded head's shape; returns that head."""
    head = loaded_head()
    eyeball = [np.isin(np.arange(len(head.mean)), eye) for eye in head.eyes]
    parts = {"left": eyeball[0], "right": eyeball[1], "mouth": head.mouth_interior, "skin": head.skin}
    parts["socket"] = ~np.any(list(parts.values()), axis=0)
    place = np.full(len(head.mean), -1)
    for name, members in parts.items():
        place[members] = RANGES[name] + np.arange(members.sum())
    owner = {name: members[head.faces[:, 0]] for name, members in parts.items()}
    names = [*MATERIALS.values(), *OTHER_MATERIALS]
    material = np.zeros(len(head.faces), dtype=np.uint8)
    for name, rows in owner.items():
        material[rows] = names.index(MATERIALS[name])
    expression = head.expression_basis.copy()
    for side, eye in enumerate(head.eyes):
        expression[:, eye] = np.cross(head.gaze[:, None, 3 * side : 3 * side + 3], head.mean[eye] - head.mean[eye].mean(axis=0))
    target = folder / "assets/ICT-FaceKit"
    target.mkdir(parents=True, exist_ok=True)
    np.savez(
        target / "ict_facekit_light_f32.npz",
        vertices=_spread(head.mean[None], place)[0],
        faces=np.concatenate([place[head.faces], np.full((len(head.faces), 1), -1)], axis=1).astype(np.int32),
        material_of_face=material,
        material_names=np.array(names),
        identity_deltas=_spread(head.identity_basis, place),
        expression_deltas=_spread(expression, place),
        expression_names=np.array([_ict_name(name) for name in head.expression_names]),
    )
    points = _nearest_corners(head)
    (target / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": place[points].tolist()}))
    return head


def _spread(rows: np.ndarray, place: np.ndarray) -> np.ndarray:
    whole = np.zeros((len(rows), ICT_VERTICES, 3), dtype=np.float32)
    whole[:, place] = rows / CENTIMETRE
    return whole


def _ict_name(name: str) -> str:
    for suffix, short in (("Left", "_L"), ("Right", "_R")):
        if name.endswith(suffix) and name not in ("mouthLeft", "mouthRight", "jawLeft", "jawRight"):
            return name.removesuffix(suffix) + short
    return name
