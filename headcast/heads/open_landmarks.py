"""Landmarks of the embedded CC0 head: where iBUG's 68 and FaceMesh's 478 points lie on the base mesh.

The table beside this module (`open_landmarks.csv`: set, number, three base vertices, three barycentric weights) was made by
`headcast.fitting.embedding` from renders of heads of the model itself, and corrected by eye at the corners of eyes and lips.
"""

from __future__ import annotations

import csv
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from headcast.errors import BadFile
from headcast.heads.model import Embedding

if TYPE_CHECKING:
    from jaxtyping import Int

TABLE = "open_landmarks.csv"
WEIGHT_TOLERANCE = 1e-3


def embedding(name: str, place: Int[np.ndarray, "n"]) -> Embedding:
    """The embedding ``name`` ("ibug68" or "facemesh478"); ``place`` maps base vertices to the model's. Raises ``BadFile``."""
    text = (resources.files("headcast.heads") / TABLE).read_text()
    rows = [row for row in csv.DictReader(text.splitlines()) if row["set"] == name]
    if [int(row["number"]) for row in rows] != list(range(len(rows))) or not rows:
        raise BadFile(TABLE, f"the points of {name} are not numbered from 0")
    corners = place[np.array([[int(row[key]) for key in ("v0", "v1", "v2")] for row in rows])]
    weights = np.array([[float(row[key]) for key in ("w0", "w1", "w2")] for row in rows])
    if corners.min() < 0 or np.abs(weights.sum(axis=1) - 1.0).max() > WEIGHT_TOLERANCE:
        raise BadFile(TABLE, f"the points of {name} do not lie on the head")
    return Embedding(corners, weights / weights.sum(axis=1, keepdims=True))
