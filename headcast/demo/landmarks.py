"""Where the 68 iBUG landmarks sit on the MakeHuman base mesh, chosen by eye on its edge loops.

Only the subject's left half and the midline are listed; the right half is the mirror image. A landmark is a mix of two vertices.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from headcast.demo.curves import resample

if TYPE_CHECKING:
    from jaxtyping import Float, Int

# from in front of the ear along the edge of the jaw to the chin
JAW = (12010, 7573, 11713, 7574, 7614, 7597, 7596, 7595, 7594, 10366, 7619, 11900, 11832, 11781, 5171)
# landmark → (vertex, vertex, weight of the second)
LEFT: dict[int, tuple[int, int, float]] = {
    22: (6983, 7006, 0.3),
    23: (6980, 6997, 0.4),
    24: (6979, 6996, 0.5),
    25: (6981, 6998, 0.6),
    26: (6982, 6999, 0.4),
    34: (7077, 7077, 0.0),
    35: (7119, 7119, 0.0),
    42: (11487, 11487, 0.0),
    43: (11483, 11483, 0.0),
    44: (11466, 11467, 0.3),
    45: (11472, 11472, 0.0),
    46: (11478, 11478, 0.0),
    47: (11480, 11480, 0.0),
    52: (7220, 7217, 0.3),
    53: (11954, 11954, 0.0),
    54: (7185, 7185, 0.0),
    55: (7239, 7233, 0.5),
    56: (7245, 7245, 0.0),
    63: (7264, 7264, 0.0),
    64: (7249, 7249, 0.0),
    65: (7242, 7242, 0.0),
}
MIDDLE: dict[int, tuple[int, int, float]] = {
    27: (133, 133, 0.0),
    28: (131, 131, 0.0),
    29: (201, 201, 0.0),
    30: (5054, 5054, 0.0),
    33: (343, 343, 0.0),
    51: (467, 467, 0.0),
    57: (496, 496, 0.0),
    62: (523, 523, 0.0),
    66: (493, 493, 0.0),
}
# left landmark → its mirror image
PAIRS = {22: 21, 23: 20, 24: 19, 25: 18, 26: 17, 34: 32, 35: 31, 42: 39, 43: 38, 44: 37, 45: 36, 46: 41, 47: 40}
PAIRS |= {52: 50, 53: 49, 54: 48, 55: 59, 56: 58, 63: 61, 64: 60, 65: 67} | {16 - k: k for k in range(8)}

# the border of the vermilion, subject's left: from the middle of the upper lip to the corner and back along the lower lip
LIP_BORDER = (467, 7223, 7220, 7217, 7212, 11954, 7208, 7175, 7247, 7185, 7163, 7164, 7165, 7233, 7239, 7245, 496)
UPPER_LID = (11487, 11486, 11485, 11484, 11483, 11465, 11466, 11467, 11468, 11469, 11470, 11472)
LOWER_LID = (11488, 11482, 11481, 11480, 11479, 11478, 11477, 11476, 11475, 11473)


def _along_jaw(rest: Float[np.ndarray, "V 3"], rows: Int[np.ndarray, "n"]) -> dict[int, tuple[int, int, float]]:
    """Landmarks 8–16 at equal arc length along the jaw's edge, each between two neighbouring vertices of it."""
    line = rest[rows]
    places, _ = resample(line, 9)
    found = {}
    for number, place in zip(range(16, 7, -1), places, strict=True):
        shares = []
        for k, (a, b) in enumerate(pairwise(line)):
            share = float(np.clip((place - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1))
            shares.append((float(np.linalg.norm(a + share * (b - a) - place)), k, share))
        _, k, share = min(shares)
        found[number] = (int(rows[k]), int(rows[k + 1]), share)
    return found


def landmark_weights(
    control: Int[np.ndarray, "n"], rest: Float[np.ndarray, "V 3"], mirror: Int[np.ndarray, "B"]
) -> tuple[Int[np.ndarray, "68 2"], Float[np.ndarray, "68 2"]]:
    """Rows of the skin and weights of the landmarks; ``control`` are base-mesh vertices by row, ``mirror`` their counterparts."""
    row_of = {int(vertex): row for row, vertex in enumerate(control)}
    chosen = {k: (row_of[a], row_of[b], w) for k, (a, b, w) in {**LEFT, **MIDDLE}.items()}
    chosen |= _along_jaw(rest, np.array([row_of[v] for v in JAW]))
    for left, right in PAIRS.items():
        a, b, weight = chosen[left]
        chosen[right] = (row_of[int(mirror[control[a]])], row_of[int(mirror[control[b]])], weight)
    rows = np.array([chosen[k][:2] for k in range(68)])
    second = np.array([chosen[k][2] for k in range(68)])
    return rows, np.stack([1 - second, second], axis=1)
