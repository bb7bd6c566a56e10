"""How near strands are to true strands, and whether they stay outside the head.

Points carry the undirected direction of their segment. A point is right when a point of the other set lies within a distance and
its direction within an angle: precision over the predicted points, recall over the true ones. This is the protocol of Nam et al.
(CVPR 2019) and NeuralHaircut (Sklyarova et al., ICCV 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from headcast.errors import HeadcastError

THRESHOLDS = ((0.002, 20.0), (0.003, 30.0), (0.004, 40.0))
"""Distance (m) and angle (degrees) pairs that the literature reports."""
NEIGHBOURS = 32


@dataclass(frozen=True)
class StrandScore:
    """Precision, recall and their harmonic mean at one pair of thresholds."""

    distance: float
    angle_deg: float
    precision: float
    recall: float

    @property
    def f_score(self) -> float:
        """The harmonic mean of precision and recall; 0 when both are 0."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total > 0 else 0.0


def directed_points(
    strands: Float[np.ndarray, "S P 3"], spacing: float | None = None
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Midpoints (m) and unit directions of all segments; with ``spacing`` (m) segments are cut into pieces of at most that length.

    Cutting makes long and short segments weigh by their length. Strands with NaN and segments of length zero are left out.
    """
    strands = np.asarray(strands, dtype=np.float64)
    if strands.ndim != 3 or strands.shape[-1] != 3 or strands.shape[1] < 2:
        raise HeadcastError("strand metrics", f"strands must be S × P × 3 with P ≥ 2, not {strands.shape}")
    start, step = strands[:, :-1].reshape(-1, 3), np.diff(strands, axis=1).reshape(-1, 3)
    length = np.linalg.norm(step, axis=-1)
    usable = np.isfinite(length) & (length > 1e-9) & np.isfinite(start).all(-1)
    start, step, length = start[usable], step[usable], length[usable]
    pieces = np.ones(len(length), int) if spacing is None else np.maximum(1, np.ceil(length / spacing)).astype(int)
    owner = np.repeat(np.arange(len(length)), pieces)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    fraction = (place + 0.5) / pieces[owner]
    return start[owner] + fraction[:, None] * step[owner], (step / length[:, None])[owner]


def agreement(
    points: Float[np.ndarray, "n 3"],
    directions: Float[np.ndarray, "n 3"],
    other_points: Float[np.ndarray, "m 3"],
    other_directions: Float[np.ndarray, "m 3"],
    reach: float,
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """Distance (m; infinite beyond ``reach``) and undirected angle (degrees) to the at most 32 nearest other points."""
    count = min(NEIGHBOURS, len(other_points))
    if len(points) == 0 or count == 0:
        return np.full((len(points), 1), np.inf), np.full((len(points), 1), 90.0)
    away, index = cKDTree(other_points).query(points, k=[*range(1, count + 1)], distance_upper_bound=reach)
    cosine = np.abs(np.einsum("nd,nkd->nk", directions, other_directions[np.where(np.isfinite(away), index, 0)]))
    return away, np.rad2deg(np.arccos(np.minimum(cosine, 1)))


def strand_scores(
    strands: Float[np.ndarray, "S P 3"],
    truth: Float[np.ndarray, "R Q 3"],
    thresholds: tuple[tuple[float, float], ...] = THRESHOLDS,
    spacing: float | None = 0.004,
) -> list[StrandScore]:
    """Precision and recall of strands against true strands, both in the same frame (m), at every pair of thresholds.

    Segments are cut to at most ``spacing`` (m) first. Without any strand the score is 0.
    """
    predicted, true = directed_points(strands, spacing), directed_points(truth, spacing)
    reach = max(distance for distance, _ in thresholds)
    both = (agreement(*predicted, *true, reach), agreement(*true, *predicted, reach))
    scores = []
    for distance, angle_deg in thresholds:
        hits = [((away <= distance) & (angle <= angle_deg)).any(1) for away, angle in both]
        scores.append(StrandScore(distance, angle_deg, *(float(hit.mean()) if len(hit) else 0.0 for hit in hits)))
    return scores


def inside_ratio(distances: Float[np.ndarray, "S P"], tolerance: float = 0.002) -> float:
    """Share of points deeper than ``tolerance`` (m) inside the head, from their signed distances (m, positive outside)."""
    values = np.asarray(distances)
    values = values[np.isfinite(values)]
    return float((values < -tolerance).mean()) if values.size else 0.0


def line_angles_deg(
    directions: Float[np.ndarray, "n 3"], points: Float[np.ndarray, "n 3"], truth: Float[np.ndarray, "R Q 3"], reach: float = 0.004
) -> Float[np.ndarray, "n"]:
    """Undirected angle (degrees) between lines and the mean true line within ``reach`` (m); NaN where no true strand is near."""
    true_points, true_directions = directed_points(truth, reach / 2)
    tree = cKDTree(true_points)
    angles = np.full(len(points), np.nan)
    for row, near in enumerate(tree.query_ball_point(points, reach)):
        if near:
            lines = true_directions[near]
            mean = np.linalg.eigh(lines.T @ lines)[1][:, -1]
            angles[row] = np.rad2deg(np.arccos(min(1.0, abs(float(mean @ directions[row])))))
    return angles
