"""Colours and regions painted on the demo subject's skin: base colour, lips, scalp, face. Linear RGB, per vertex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from headcast.demo.curves import smooth_step
from headcast.demo.landmarks import LIP_BORDER
from headcast.demo.scalp import scalp_share

if TYPE_CHECKING:
    from jaxtyping import Float

    from headcast.demo.head import Subject

SKIN = np.array([0.58, 0.345, 0.245])
LIPS = np.array([0.46, 0.155, 0.15])
ROOTS = np.array([0.085, 0.045, 0.027])
FLUSH = np.array([0.05, -0.075, -0.065])


@dataclass(frozen=True)
class Paint:
    """``colour`` V 3 and the shares 0–1 ``lips``, ``scalp``, ``face`` (frontal face below the hairline, above the jaw's edge)."""

    colour: Float[np.ndarray, "V 3"]
    lips: Float[np.ndarray, "V"]
    scalp: Float[np.ndarray, "V"]
    face: Float[np.ndarray, "V"]


def _blob(points: np.ndarray, centre: np.ndarray, radii: tuple[float, float, float]) -> np.ndarray:
    return np.exp(-((np.linalg.norm((points - centre) / np.array(radii), axis=1)) ** 2))


def lip_share(subject: Subject) -> Float[np.ndarray, "V"]:
    """1 on the vermilion: inside its border as seen from the front, soft over 1.5 mm."""
    row_of = {int(vertex): row for row, vertex in enumerate(subject.skin.control)}
    left = [row_of[v] for v in LIP_BORDER]
    right = [row_of[int(subject.mirror[v])] for v in LIP_BORDER]
    outline = subject.rest[left + right[-2:0:-1]]
    dense = np.concatenate([np.linspace(a, b, 12) for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True)])
    distance = cKDTree(dense[:, :2]).query(subject.rest[:, :2])[0]
    inside = _in_polygon(subject.rest[:, :2], outline[:, :2])
    in_front = subject.rest[:, 2] > outline[:, 2].min() - 0.02
    return smooth_step(-0.0008, 0.0008, np.where(inside, distance, -distance)) * in_front


def _in_polygon(points: Float[np.ndarray, "n 2"], polygon: Float[np.ndarray, "k 2"]) -> np.ndarray:
    inside = np.zeros(len(points), bool)
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crosses = (a[1] > points[:, 1]) != (b[1] > points[:, 1])
        slope = (b[0] - a[0]) / (b[1] - a[1]) if b[1] != a[1] else 0.0
        inside ^= crosses & (points[:, 0] < a[0] + (points[:, 1] - a[1]) * slope)
    return inside


def face_share(subject: Subject, scalp: Float[np.ndarray, "V"]) -> Float[np.ndarray, "V"]:
    """1 on the frontal face: in front of the ears, above the jaw's edge, below the hairline."""
    points, marks = subject.rest, subject.landmark_points(subject.rest)
    front = smooth_step(-0.004, 0.002, points[:, 2] - (marks[[0, 16], 2].mean() - 0.002))
    depth = np.interp(points[:, 2], np.sort(marks[8:16, 2]), marks[8:16, 1][np.argsort(marks[8:16, 2])])
    above = smooth_step(-0.003, 0.001, points[:, 1] - depth)
    return front * above * (1 - scalp)


def paint(subject: Subject) -> Paint:
    """Cheeks, nose, chin and ears flushed, lids shaded, lips, and darker skin under the hair."""
    points, marks = subject.rest, subject.landmark_points(subject.rest)
    flush = 0.35 * _blob(points, marks[30], (0.013, 0.012, 0.02)) + 0.2 * _blob(points, marks[8], (0.02, 0.013, 0.02))
    for jaw, alar in ((slice(1, 4), 31), (slice(13, 16), 35)):
        cheek = 0.35 * marks[jaw].mean(axis=0) + 0.65 * marks[alar] + [0, 0.004, 0]
        flush = flush + 0.6 * _blob(points, cheek, (0.022, 0.018, 0.035))
    ears = smooth_step(0.071, 0.08, np.abs(points[:, 0])) * smooth_step(-0.05, -0.03, points[:, 1])
    ears = ears * smooth_step(0.06, 0.045, points[:, 1])
    colour = SKIN + np.clip(flush + 0.5 * ears, 0, 1)[:, None] * FLUSH
    for lids in (slice(36, 42), slice(42, 48)):
        shade = _blob(points, marks[lids].mean(axis=0), (0.021, 0.013, 0.02))
        colour = colour + shade[:, None] * np.array([-0.03, -0.045, -0.033])
    lips, scalp = lip_share(subject), scalp_share(points)
    colour = colour * (1 - lips[:, None]) + lips[:, None] * LIPS
    colour = colour * (1 - 0.85 * scalp[:, None]) + 0.85 * scalp[:, None] * ROOTS
    return Paint(np.clip(colour, 0, 1), lips, scalp, face_share(subject, scalp))
