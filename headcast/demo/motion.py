"""Secondary motion of the guides: position-based dynamics with inextensible strands and collision with head and bust.

Position-based dynamics: Müller et al. 2007; following the leader with momentum correction: Müller, Kim, Chentanez 2012.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation, Slerp

from headcast.demo.curves import smooth_along, unit
from headcast.demo.guides import BUST_MARGIN, Guides, follow_neighbours
from headcast.demo.scalp import neighbourhood

if TYPE_CHECKING:
    from jaxtyping import Float

    from headcast.demo.distance import DistanceGrid

SUBSTEPS = 3
HEAD_MARGIN = 0.0035
DRAG = 1.6
FASTEST = 4.0
LEADER_CORRECTION = 0.85


def turn(points: Float[np.ndarray, "*n 3"], rotation: Float[np.ndarray, "3 3"], pivot: Float[np.ndarray, "3"]) -> np.ndarray:
    """Rest points → world for a head turned about ``pivot``."""
    return (points - pivot) @ rotation.T + pivot


class Swing:
    """The state of the guides while the head moves: positions and velocities in the world."""

    def __init__(self, guides: Guides, pivot: Float[np.ndarray, "3"], skull: DistanceGrid, bust: DistanceGrid) -> None:
        self.rest, self.pivot, self.skull, self.bust = guides.points, pivot, skull, bust
        self.points = guides.points.copy()
        self.velocity = np.zeros_like(self.points)
        size = self.points.shape[1]
        self.segment = (guides.length / (size - 1))[:, None]
        along = np.linspace(0, 1, size)[None, :, None] * guides.length[:, None, None]
        self.stiffness = 0.0075 + 0.30 * np.exp(-along / 0.035)
        place = neighbourhood(guides.roots, guides.side)
        self.around = cKDTree(place).query(place, k=11)[1][:, 1:]

    def step(self, rotation: Float[np.ndarray, "3 3"], seconds: float) -> None:
        """Advance by one substep to the head rotation ``rotation``."""
        target = turn(self.rest, rotation, self.pivot)
        points = self.points + seconds * self.velocity * (1 - DRAG * seconds)
        points[:, :2] = target[:, :2]
        points += self.stiffness * (target - points)
        correction = self._keep_lengths(points)
        self._collide(points, rotation)
        velocity = (points - self.points) / seconds
        velocity[:, :-1] -= LEADER_CORRECTION * correction[:, 1:] / seconds
        speed = np.linalg.norm(velocity, axis=2, keepdims=True)
        velocity *= np.minimum(1, FASTEST / (speed + 1e-9))
        self.velocity = 0.85 * velocity + 0.15 * velocity[self.around[:, :6]].mean(axis=1)
        self.points = points

    def _keep_lengths(self, points: np.ndarray) -> np.ndarray:
        correction = np.zeros_like(points)
        for j in range(2, points.shape[1]):
            placed = points[:, j - 1] + unit(points[:, j] - points[:, j - 1]) * self.segment
            correction[:, j] = placed - points[:, j]
            points[:, j] = placed
        return correction

    def _collide(self, points: np.ndarray, rotation: np.ndarray) -> None:
        local = (points[:, 2:].reshape(-1, 3) - self.pivot) @ rotation + self.pivot
        free = turn(self.skull.push_out(local, HEAD_MARGIN), rotation, self.pivot)
        points[:, 2:] = self.bust.push_out(free, BUST_MARGIN + 0.002).reshape(points[:, 2:].shape)

    def groomed(self) -> Float[np.ndarray, "S P 3"]:
        """The guides now, tangles brought back to their neighbours and smoothed along the strand."""
        offsets = self.points - self.points[:, :1]
        for _ in range(2):
            offsets = follow_neighbours(offsets, self.around, 0.018, 0.038)
        return smooth_along(offsets, 6) + self.points[:, :1]


def simulate(
    guides: Guides,
    rotations: list[Float[np.ndarray, "3 3"]],
    pivot: Float[np.ndarray, "3"],
    skull: DistanceGrid,
    bust: DistanceGrid,
    seconds: float,
) -> list[Float[np.ndarray, "S P 3"]]:
    """Groomed guides (m, world) at each of ``rotations``, ``seconds`` apart; at rest in the first."""
    swing = Swing(guides, pivot, skull, bust)
    frames = [swing.groomed()]
    for before, after in pairwise(rotations):
        between = Slerp([0, 1], Rotation.from_matrix(np.stack([before, after])))
        for k in range(SUBSTEPS):
            swing.step(between((k + 1) / SUBSTEPS).as_matrix(), seconds / SUBSTEPS)
        frames.append(swing.groomed())
    return frames
