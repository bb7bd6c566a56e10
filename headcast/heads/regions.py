"""Regions that follow from a head's landmarks, whatever its topology."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

LEFT_EYE, RIGHT_EYE = (42, 43, 44, 45, 46, 47), (36, 37, 38, 39, 40, 41)
LID_WIDTH = 0.35  # of the eye's width: skin nearer to its contour is a lid


def eyelids(
    vertices: Float[np.ndarray, "V 3"], skin: Bool[np.ndarray, "V"], landmarks: Float[np.ndarray, "68 3"]
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """The skin around the contours of the left and the right eye, by vertex."""
    found = []
    for contour in (landmarks[list(LEFT_EYE)], landmarks[list(RIGHT_EYE)]):
        width = np.linalg.norm(contour[0] - contour[3])
        found.append(np.flatnonzero(skin & (_to_loop(vertices, contour) < LID_WIDTH * width)))
    return found[0], found[1]


def _to_loop(points: Float[np.ndarray, "V 3"], loop: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "V"]:
    """Distance of points from a closed polyline."""
    steps = np.roll(loop, -1, axis=0) - loop
    arms = points[:, None] - loop
    share = np.clip((arms * steps).sum(-1) / np.maximum((steps**2).sum(-1), 1e-12), 0.0, 1.0)
    return np.linalg.norm(arms - share[..., None] * steps, axis=-1).min(axis=1)


def nearest_mirror(vertices: Float[np.ndarray, "V 3"]) -> Int[np.ndarray, "V"]:
    """The vertex nearest to the mirrored place (x → -x) of each vertex; exact where the topology is symmetric."""
    return cKDTree(vertices).query(vertices * np.array([-1.0, 1.0, 1.0]))[1].astype(np.int64)
