"""Fix a landmark set to a head model: from detections in renders of the model to points on its triangles.

How `headcast/heads/open_landmarks.json` was made: the rest head is rendered from 21 directions (±40° azimuth, ±12° elevation), the
detector runs on each picture, `headcast.imaging.landmarks.triangulate` gives world points, `symmetric` removes the difference of
the two sides, `embed` drops them onto the skin (points of the lower lip onto faces that `jawOpen` moves, those of the upper lip
onto others). The embedding so takes up the detector's own idea of where a point is.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from headcast.errors import HeadcastError
from headcast.geometry.queries import closest_point
from headcast.heads.model import Embedding

FLIP = np.array([-1.0, 1.0, 1.0])


def mirror_pairs(points: Float[np.ndarray, "L 3"]) -> Int[np.ndarray, "L"]:
    """For each point the one nearest to its mirror image (x → -x), pairwise: the cheapest assignment, made mutual.

    Raises ``HeadcastError`` for points that are not finite.
    """
    if not np.isfinite(points).all():
        raise HeadcastError("landmark embedding", "points are not finite", "triangulate them from at least two views")
    distance = np.linalg.norm((points * FLIP)[:, None] - points[None], axis=-1)
    return linear_sum_assignment(distance + distance.T)[1].astype(np.int64)


def symmetric(points: Float[np.ndarray, "L 3"], pairs: Int[np.ndarray, "L"]) -> Float[np.ndarray, "L 3"]:
    """The mean of each point and its partner's mirror image."""
    return (points + points[pairs] * FLIP) / 2.0


def embed(points: Float[np.ndarray, "L 3"], vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "T 3"]) -> Embedding:
    """The nearest place of each point (m) on the triangles."""
    surface = torch.from_numpy(np.asarray(vertices, dtype=np.float64))
    found = closest_point(torch.from_numpy(np.asarray(points, dtype=np.float64)), surface, torch.from_numpy(faces))
    weights = np.clip(found.barycentric.double().numpy(), 0.0, 1.0)
    return Embedding(faces[found.face.numpy()], weights / weights.sum(axis=1, keepdims=True))
