"""Where iBUG's 68 points lie among FaceMesh's 478: convex combinations of neighbours.

iBUG spaces its points evenly along brows, nose bridge, lips and jaw; FaceMesh does not. The weights put each point at its share
of the arc length of the FaceMesh chain, measured on the neutral `open` head. Brows run midway between FaceMesh's upper and
lower brow line; the upper jaw contour lies between FaceMesh's oval and the ring inside it: iBUG's is the outline from the front.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

POINTS = 68
DENSE = 478

# Point → ((FaceMesh point, weight), …) for the subject's right half and the middle of the jaw, brows and nose.
JAW_RIGHT = (
    ((127, 1.0),),
    ((234, 0.5), (227, 0.5)),
    ((93, 0.4), (137, 0.6)),
    ((132, 0.3), (58, 0.2), (177, 0.3), (215, 0.2)),
    ((172, 0.7), (215, 0.3)),
    ((136, 0.5), (150, 0.5)),
    ((149, 1.0),),
    ((176, 0.4), (148, 0.6)),
)
CHIN = (((152, 1.0),),)
BROW_RIGHT = (  # from the temple inwards; upper and lower brow line in equal parts
    ((70, 0.5), (46, 0.5)),
    ((63, 0.43), (53, 0.43), (105, 0.07), (52, 0.07)),
    ((105, 0.35), (52, 0.35), (66, 0.15), (65, 0.15)),
    ((66, 0.4), (65, 0.4), (107, 0.1), (55, 0.1)),
    ((107, 0.5), (55, 0.5)),
)
NOSE_BRIDGE = (((168, 1.0),), ((6, 0.5), (197, 0.5)), ((195, 0.9), (5, 0.1)), ((4, 1.0),))
NOSTRIL_RIGHT = (((98, 0.75), (97, 0.25)), ((97, 0.85), (2, 0.15)))
SEPTUM = (((2, 1.0),),)
EYE_RIGHT = (((33, 1.0),), ((160, 1.0),), ((158, 1.0),), ((133, 1.0),), ((153, 1.0),), ((144, 1.0),))
EYE_LEFT = (((362, 1.0),), ((385, 1.0),), ((387, 1.0),), ((263, 1.0),), ((373, 1.0),), ((380, 1.0),))
LIP_UPPER_RIGHT = (((61, 1.0),), ((40, 0.5), (39, 0.5)), ((37, 1.0),))
LIP_LOWER_RIGHT = (((84, 0.75), (181, 0.25)), ((181, 0.15), (91, 0.85)))  # from the middle outwards
INNER_LIPS = (
    *(((78, 1.0),), ((81, 0.8), (82, 0.2)), ((13, 1.0),), ((312, 0.2), (311, 0.8))),
    *(((308, 1.0),), ((402, 0.8), (317, 0.2)), ((14, 1.0),), ((87, 0.2), (178, 0.8))),
)
# FaceMesh point on the subject's right → its mirror image, for the points used above.
MIRROR = {
    **{127: 356, 234: 454, 227: 447, 93: 323, 137: 366, 132: 361, 58: 288, 177: 401, 215: 435, 172: 397, 136: 365, 150: 379},
    **{149: 378, 176: 400, 148: 377, 70: 300, 46: 276, 63: 293, 53: 283, 105: 334, 52: 282, 66: 296, 65: 295, 107: 336, 55: 285},
    **{98: 327, 97: 326, 2: 2, 61: 291, 40: 270, 39: 269, 37: 267, 84: 314, 181: 405, 91: 321},
}

Row = tuple[tuple[int, float], ...]


def _mirrored(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows of the subject's left half, in the opposite order."""
    return tuple(tuple((MIRROR[point], weight) for point, weight in row) for row in reversed(rows))


TABLE: tuple[Row, ...] = (
    *(*JAW_RIGHT, *CHIN, *_mirrored(JAW_RIGHT)),
    *(*BROW_RIGHT, *_mirrored(BROW_RIGHT)),
    *(*NOSE_BRIDGE, *NOSTRIL_RIGHT, *SEPTUM, *_mirrored(NOSTRIL_RIGHT)),
    *(*EYE_RIGHT, *EYE_LEFT),
    *(*LIP_UPPER_RIGHT, ((0, 1.0),), *_mirrored(LIP_UPPER_RIGHT)),
    *(*_mirrored(LIP_LOWER_RIGHT), ((17, 1.0),), *LIP_LOWER_RIGHT),
    *INNER_LIPS,
)


def table_matrix() -> Float[np.ndarray, "68 478"]:
    """The table as a matrix whose rows sum to one."""
    matrix = np.zeros((POINTS, DENSE))
    for row, terms in enumerate(TABLE):
        for point, weight in terms:
            matrix[row, point] += weight
    return matrix
