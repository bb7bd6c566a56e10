"""Where hair grows on the demo subject, and where its guides go: parting, layers, comb."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headcast.demo.curves import smooth_step

if TYPE_CHECKING:
    from jaxtyping import Float

PARTING_X = 0.020
# azimuth about the vertical (degrees, 0 = nose, either side) → height of the hairline (m)
AZIMUTH_DEG = (0, 14, 28, 38, 48, 56, 64, 70, 76, 84, 100, 110, 120, 134, 152, 180)
HAIRLINE_M = (0.083, 0.084, 0.081, 0.073, 0.060, 0.050, 0.040, 0.024, 0.024, 0.048, 0.046, 0.026, 0.000, -0.030, -0.052, -0.056)


def scalp_share(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """1 inside the hairline, 0 outside, soft over 6 mm; rest points in metres."""
    azimuth = np.abs(np.rad2deg(np.arctan2(points[:, 0], points[:, 2])))
    line = np.interp(azimuth, AZIMUTH_DEG, HAIRLINE_M)
    on_skull = smooth_step(0.5, 0.4, np.abs(points[:, 0]) / 0.2)
    return smooth_step(-0.003, 0.003, points[:, 1] - line) * on_skull


def side_of_parting(roots: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """+1 on the subject's left of the parting, -1 on the right; behind the crown the parting dissolves."""
    line = PARTING_X * smooth_step(-0.07, -0.01, roots[:, 2])
    return np.where(roots[:, 0] >= line, 1.0, -1.0)


def neighbourhood(roots: Float[np.ndarray, "n 3"], side: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 4"]:
    """Coordinates in which hair on the two sides of the parting is far apart (m); behind the crown it is not."""
    apart = 0.03 * smooth_step(-0.05, 0.0, roots[:, 2])
    return np.concatenate([roots, (apart * side)[:, None]], axis=1)
