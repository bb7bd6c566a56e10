"""Strands seen from three sides, coloured by their direction: one row a set of strands, the head beneath them in grey.

The colour is the undirected one of diffusion imaging: red is how much of a direction runs along x (across the face), green along y
(up or down), blue along z (forwards or back). A strand and its reverse look the same, and a place looks the same from every side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from headcast.evaluation.pictures import BACKGROUND, MARGIN, labelled
from headcast.geometry.meshes import vertex_normals
from headcast.rendering.mesh import interpolate, rasterize

SIDES = {"front": (0.0, 0.0, 1.0), "side": (1.0, 0.0, 0.0), "back": (0.0, 0.0, -1.0)}
"""Where the viewer stands, in the skull's frame; the side is the subject's left."""
UP = np.array([0.0, 1.0, 0.0])
AWAY = 12.0
"""How many sizes of the picture the viewer is away: nearly parallel rays."""
FIELD = 1.08
FINER = 2
MOST = 2500
BEHIND = 0.004
"""A strand this far (m) behind the head's surface is hidden by it."""
FAINTEST = 0.4


@dataclass(frozen=True)
class Side:
    """A viewer: rows right, down, forward of its axes, its place (m), its focal length and the picture's side (px)."""

    axes: Float[np.ndarray, "3 3"]
    place: Float[np.ndarray, "3"]
    focal: float
    size: int

    @property
    def pose(self) -> Float[np.ndarray, "4 4"]:
        """World to viewer."""
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = self.axes, -self.axes @ self.place
        return pose

    @property
    def K(self) -> Float[np.ndarray, "3 3"]:
        """Intrinsics of the picture."""
        return np.array([[self.focal, 0, self.size / 2], [0, self.focal, self.size / 2], [0, 0, 1.0]])

    def seen(self, points: Float[np.ndarray, "*n 3"]) -> tuple[Float[np.ndarray, "*n 2"], Float[np.ndarray, "*n"]]:
        """Pixels and depth (m) of points."""
        local = (points - self.place) @ self.axes.T
        return self.focal * local[..., :2] / local[..., 2:] + self.size / 2, local[..., 2]


def direction_colors(directions: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Undirected unit directions as colours in [0, 1], the strongest channel full."""
    shade = np.abs(directions)
    return shade / np.maximum(shade.max(-1, keepdims=True), 1e-9)


def strand_sheet(
    rows: Sequence[tuple[str, Float[np.ndarray, "S P 3"]]],
    vertices: Float[np.ndarray, "V 3"],
    faces: np.ndarray,
    size: int = 300,
    most: int = MOST,
) -> UInt8[np.ndarray, "H W 3"]:
    """Labelled sets of strands (m, skull frame) below each other, `SIDES` beside each other, all at one scale.

    Of more than ``most`` strands every n-th is drawn.
    """
    shown = [(name, strands[:: max(1, -(-len(strands) // most))]) for name, strands in rows]
    everything = np.concatenate([strands.reshape(-1, 3) for _, strands in shown])
    everything = everything[np.isfinite(everything).all(-1)]
    low, high = everything.min(0), everything.max(0)
    middle, extent = (low + high) / 2, FIELD * float((high - low).max())
    lines = []
    for name, strands in shown:
        panels: list[np.ndarray] = []
        for side, towards in SIDES.items():
            view = viewer(np.array(towards), middle, extent, size * FINER)
            drawn = Image.fromarray(draw(strands, vertices, faces, view)).resize((size, size), Image.Resampling.LANCZOS)
            panels.append(labelled(np.asarray(drawn), f"{name}: {side}" if panels else f"{name}: {side} (x red, y green, z blue)"))
        lines.append(_joined(panels, axis=1))
    return _joined(lines, axis=0)


def viewer(towards: Float[np.ndarray, "3"], middle: Float[np.ndarray, "3"], extent: float, size: int) -> Side:
    """A viewer that stands in direction ``towards`` of ``middle`` and sees ``extent`` (m) there."""
    right = np.cross(-towards, UP)
    return Side(np.stack([right, np.cross(-towards, right), -towards]), middle + AWAY * extent * towards, AWAY * size, size)


def draw(
    strands: Float[np.ndarray, "S P 3"], vertices: Float[np.ndarray, "V 3"], faces: np.ndarray, view: Side
) -> UInt8[np.ndarray, "s s 3"]:
    """Strands over the head, far ones first and darker; what the head hides is left out."""
    picture, head = _head(vertices, faces, view)
    start, stop = strands[:, :-1].reshape(-1, 3), strands[:, 1:].reshape(-1, 3)
    length = np.linalg.norm(stop - start, axis=-1)
    usable = np.isfinite(length) & (length > 1e-9)
    start, stop, length = start[usable], stop[usable], length[usable]
    pixels, depth = view.seen((start + stop) / 2)
    column, row = np.clip(pixels, 0, view.size - 1).astype(int).T
    ahead = depth <= head[row, column] + BEHIND
    start, stop, depth = start[ahead], stop[ahead], depth[ahead]
    colors = direction_colors((stop - start) / length[ahead][:, None])
    if len(depth):
        nearness = (depth.max() - depth) / max(float(np.ptp(depth)), 1e-9)
        colors = colors * (FAINTEST + (1 - FAINTEST) * nearness)[:, None]
    canvas = Image.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    ends = np.concatenate([view.seen(start)[0], view.seen(stop)[0]], axis=1)
    shades = np.rint(255 * colors).astype(int)
    for index in np.argsort(-depth, kind="stable"):
        pen.line(ends[index].tolist(), fill=tuple(shades[index].tolist()))
    return np.asarray(canvas)


def _head(
    vertices: Float[np.ndarray, "V 3"], faces: np.ndarray, view: Side
) -> tuple[UInt8[np.ndarray, "s s 3"], Float[np.ndarray, "s s"]]:
    """The head in grey, lit from the viewer, and its depth (m), infinite where it is not."""
    points, triangles = torch.from_numpy(np.asarray(vertices, np.float64)), torch.from_numpy(np.asarray(faces, np.int64))
    seen = rasterize(points, triangles, torch.from_numpy(view.pose), torch.from_numpy(view.K), view.size, view.size)
    normals = interpolate(vertex_normals(points, triangles), triangles, seen).numpy()
    covered = seen.face_id.numpy() >= 0
    shade = np.abs(normals @ view.axes[2]) / np.maximum(np.linalg.norm(normals, axis=-1), 1e-9)
    grey = np.rint(45 + 65 * shade)[..., None]
    return np.where(covered[..., None], grey, BACKGROUND).astype(np.uint8), np.where(covered, seen.depth.numpy(), np.inf)


def _joined(pictures: Sequence[UInt8[np.ndarray, "h w 3"]], axis: int) -> UInt8[np.ndarray, "H W 3"]:
    """Pictures of one size with margins between."""
    shape = list(pictures[0].shape)
    shape[axis] = MARGIN
    gap = np.broadcast_to(np.array(BACKGROUND, np.uint8), shape)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis=axis)
