"""Where things are on the embedded CC0 head: parts, soft regions, hairline. Everything in the base mesh's rest shape.

Points are metres relative to the skull joint, +x the subject's left, +y up, +z out of the face. Azimuth is 0° in front and 180° at
the nape, elevation is seen from `CRANIUM`, a point inside the skull.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from headcast.heads.makehuman import BaseMesh

PARTS = {
    "skin": ("body",),
    "left_eye": ("helper-l-eye",),
    "right_eye": ("helper-r-eye",),
    "teeth": ("helper-upper-teeth", "helper-lower-teeth"),
    "tongue": ("helper-tongue",),
}
BUST_BELOW = 0.50  # base mesh height (m) under which nothing is kept
BUST_WIDTH = 0.17  # half width (m) of the kept shoulders
CRANIUM = np.array([0.0, 0.048, 0.045])
SOCKET_RADIUS = 1.085  # eyeball radii: body vertices closer to the eye's centre line the socket behind the lids
MIRROR_TOLERANCE = 1e-4

# Body vertices of one half of the oral cavity (first and last of each run): those that no ray from outside reaches.
ORAL_CAVITY = (
    *((526, 526), (534, 534), (537, 543), (545, 560), (562, 565), (567, 577), (579, 581), (584, 594), (596, 645), (647, 649)),
    *((653, 662), (664, 666), (670, 674), (676, 710), (3713, 3714), (3718, 3729), (5347, 5350), (5357, 5358), (5365, 5366)),
)

# Hairline: elevation (deg) above which hair grows, by azimuth (deg): forehead, temple, sideburn, over the ear, behind it, nape.
HAIRLINE = (
    *((0, 35.0), (30, 35.0), (50, 30.0), (62, 20.0), (72, 2.0), (80, -18.0), (86, -26.0)),
    *((91, -22.0), (97, -4.0), (110, -4.0), (119, -22.0), (131, -44.0), (180, -50.0)),
)
HAIRLINE_SOFTNESS = 4.0  # deg
FACE_HAIRLINE_MARGIN = 1.0  # deg below the hairline where the face begins
FACE_AZIMUTH = 84.0  # deg: in front of the ears

# The neck blends between two tilted planes y = height + slope * z: bust below the first, skull above the second.
NECK_LOW = (-0.135, -0.30)
NECK_HIGH = (-0.055, -0.45)
FACE_FLOOR = (-0.110, 0.95)  # y = height + slope * |x|: the face ends under the chin, where the throat begins


def keep_faces(base: BaseMesh) -> tuple[Int[np.ndarray, "T 3"], dict[str, Int[np.ndarray, "n"]]]:
    """Triangles of head, neck and upper bust with the inner parts, and the base vertices of each part."""
    usable = (base.vertices[:, 1] > BUST_BELOW) & (np.abs(base.vertices[:, 0]) < BUST_WIDTH)
    quads = base.faces[np.concatenate([base.groups[group] for groups in PARTS.values() for group in groups])]
    quads = quads[usable[quads].all(axis=1)]
    kept = np.unique(quads)
    parts = {name: np.intersect1d(base.vertices_of(*groups), kept) for name, groups in PARTS.items()}
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]), parts


def mirror_map(vertices: Float[np.ndarray, "V 3"]) -> Int[np.ndarray, "V"]:
    """The vertex at the mirrored place (x → -x) of each vertex of the symmetric rest shape."""
    distance, index = cKDTree(vertices).query(vertices * np.array([-1.0, 1.0, 1.0]))
    if distance.max() > MIRROR_TOLERANCE:
        raise ValueError("the rest shape is not symmetric")
    return index.astype(np.int64)


def cavity(base_index: Int[np.ndarray, "V"], mirror: Int[np.ndarray, "V"]) -> Bool[np.ndarray, "V"]:
    """The lining of the mouth, by its base vertices of one side and their mirror images."""
    half = np.concatenate([np.arange(first, last + 1) for first, last in ORAL_CAVITY])
    inside = np.isin(base_index, half)
    return inside | inside[mirror]


def sockets(vertices: Float[np.ndarray, "V 3"], eyes: tuple[Int[np.ndarray, "n"], ...]) -> Bool[np.ndarray, "V"]:
    """Vertices no further from an eye's centre than the ball and the lining behind the lids."""
    lining = np.zeros(len(vertices), dtype=bool)
    for eye in eyes:
        centre = vertices[eye].mean(axis=0)
        distance = np.linalg.norm(vertices - centre, axis=1)
        lining |= distance < SOCKET_RADIUS * distance[eye].max()
    return lining


def azimuth_elevation(points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Unsigned azimuth (0 front, 180 nape) and elevation of points seen from `CRANIUM`, degrees."""
    x, y, z = (points - CRANIUM).T
    return np.degrees(np.arctan2(np.abs(x), z)), np.degrees(np.arctan2(y, np.hypot(x, z)))


def above_hairline(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """Degrees of elevation above the hairline (negative on the face and the neck)."""
    azimuth, elevation = azimuth_elevation(points)
    return elevation - PchipInterpolator(*np.array(HAIRLINE).T)(azimuth)


def smoothstep(x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Cubic ramp from 0 at x ≤ 0 to 1 at x ≥ 1."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def scalp(points: Float[np.ndarray, "n 3"], ears: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Where hair grows, in [0, 1], with a soft hairline; never on the ears."""
    return np.where(ears, 0.0, smoothstep(0.5 + above_hairline(points) / (2 * HAIRLINE_SOFTNESS)))


def face(points: Float[np.ndarray, "n 3"], ears: Bool[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    """The frontal face: below the hairline, above the throat, in front of the ears."""
    azimuth, _ = azimuth_elevation(points)
    height, slope = FACE_FLOOR
    over_throat = points[:, 1] > height + slope * np.abs(points[:, 0])
    return (above_hairline(points) < -FACE_HAIRLINE_MARGIN) & (azimuth < FACE_AZIMUTH) & over_throat & ~ears


def head_weight(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """How far a point follows the skull: 1 on the head, 0 on the bust, a smooth ramp along the neck."""
    low, high = (points[:, 1] - height - slope * points[:, 2] for height, slope in (NECK_LOW, NECK_HIGH))
    return smoothstep(low / np.maximum(low - high, 1e-9))
