"""Landmarks of the embedded CC0 head: where iBUG's 68 and FaceMesh's 478 points lie on the base mesh.

The table beside this module (`open_landmarks.json`: per set one row a point, three base vertices and three barycentric weights)
was made by `headcast.fitting.embedding` from renders of the rest head; iBUG's points follow by `headcast.imaging.facemesh_table`.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from headcast.errors import BadFile
from headcast.heads.model import Embedding

if TYPE_CHECKING:
    from jaxtyping import Int

TABLE = "open_landmarks.json"
WEIGHT_TOLERANCE = 1e-3


def embedding(name: str, place: Int[np.ndarray, "n"]) -> Embedding:
    """The embedding ``name`` ("ibug68" or "facemesh478"); ``place`` maps base vertices to the model's. Raises ``BadFile``."""
    text = (resources.files("headcast.heads") / TABLE).read_text()
    rows = np.array(json.loads(text)[name], dtype=np.float64)
    corners, weights = place[rows[:, :3].astype(np.int64)], rows[:, 3:]
    if corners.min() < 0 or np.abs(weights.sum(axis=1) - 1.0).max() > WEIGHT_TOLERANCE:
        raise BadFile(TABLE, f"the points of {name} do not lie on the head")
    return Embedding(corners, weights / weights.sum(axis=1, keepdims=True))
