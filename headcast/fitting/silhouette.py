"""The outline of the head against the mattes: where nothing but skin can be the border of the subject, and where hair covers it.

Vertices of the face that a view sees edge-on, with nothing of the head beyond them, are drawn along their normal to the nearest
place where the matte ends. A head can never reach beyond the matte, so that always counts; where the matte goes on by more than a
little there is hair over the outline, and nothing is known. The scalp is only kept inside. This shapes the identity, from a few
frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy.spatial import cKDTree

from headcast.capture.camera import Camera
from headcast.fitting.normal import State, Weights
from headcast.fitting.observations import Observations, Skin
from headcast.fitting.solver import minimise
from headcast.geometry.meshes import vertex_normals
from headcast.heads.model import Embedding, HeadModel, HeadParameters

Mattes = Callable[[int], Sequence[UInt8[np.ndarray, "H W"]]]
"""The mattes of a frame (255 = subject), in the order of the landmarks' cameras."""

FRAMES, ROUNDS, ITERATIONS = 5, 2, 8
EDGE_ON = 0.35  # cosine between normal and line of sight
BEYOND, CLEAR = 0.006, 0.005  # m: nothing of the head within the second of a point that lies the first outside
REACH, STEP = 0.008, 0.0005  # m: how far along the normal the border is looked for, in which steps
HAIR = 0.003  # m: a border further outside is that of hair
INSIDE, OUTSIDE = 0.006, 0.0015  # m, widths of the kernel: the model beyond the matte, the matte beyond the model
TRUST = 1.0  # of one view of a vertex beside a landmark


def shape(
    state: State,
    observations: Observations,
    weights: Weights,
    mattes: Mattes,
    cameras: Sequence[Camera],
    model: HeadModel,
    at: Callable[[State], HeadParameters],
) -> State:
    """Identity and size from landmarks and outlines of a few frames; placements and expressions are as they came, for who goes on.

    ``at`` gives the head parameters of a state.
    """
    there = np.flatnonzero(observations.weights.any(axis=(1, 2)))  # a frame without a face lies where its neighbours do
    keys = there[np.unique(np.linspace(0, len(there) - 1, min(len(there), FRAMES)).round().astype(int))]
    shown, seen, some = {k: list(mattes(int(k))) for k in keys}, observations.at_frames(keys), state.at_frames(keys)
    apart = replace(weights, expression_smooth=0.0, motion_smooth=0.0)
    bare = model.face & model.skin & ~model.mouth_interior
    vertices = np.flatnonzero((bare | (model.scalp > 0.5)) & (model.head_weight > 0.5))
    place = Embedding(np.repeat(vertices[:, None], 3, axis=1), np.tile([1.0, 0.0, 0.0], (len(vertices), 1)))
    basis = model.surface_points(place)
    for _ in range(ROUNDS):
        meshes = model.vertices(at(some)).numpy()
        outlines = [outline(mesh, vertices, model, shown[k], cameras, weights) for mesh, k in zip(meshes, keys, strict=True)]
        curvature, pull, floor = (np.stack(parts) for parts in zip(*outlines, strict=True))
        skin = Skin(basis, meshes[:, vertices], curvature, pull, floor)
        some = minimise(some, replace(seen, skin=skin), apart, True, ITERATIONS, lambda *_: None)
    rest = observations.basis.rest
    moved = state.scale * rest(state.identity).mean(axis=0) - some.scale * rest(some.identity).mean(axis=0)
    return replace(state, identity=some.identity, scale=some.scale, translation=state.translation + state.rotation @ moved)


def outline(
    mesh: Float[np.ndarray, "V 3"],
    vertices: np.ndarray,
    model: HeadModel,
    mattes: Sequence[UInt8[np.ndarray, "H W"]],
    cameras: Sequence[Camera],
    weights: Weights,
) -> tuple[Float[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3"], Float[np.ndarray, "n"]]:
    """Curvature, pull and cost of the outlines of all views, for ``vertices`` of a mesh (m, world)."""
    faces = torch.from_numpy(np.asarray(model.faces, np.int64))
    normals = vertex_normals(torch.from_numpy(mesh), faces).numpy()[vertices]
    curvature, pull, cost = np.zeros((len(vertices), 3, 3)), np.zeros((len(vertices), 3)), np.zeros(len(vertices))
    for matte, camera in zip(mattes, cameras, strict=True):
        rows, across, off, share = border(mesh, vertices, normals, model.scalp[vertices] > 0.5, matte, camera)
        share = TRUST * share / weights.noise**2
        curvature[rows] += share[:, None, None] * across[:, :, None] * across[:, None]
        pull[rows] += (share * off)[:, None] * across
        cost[rows] += 0.5 * share * off**2
    return curvature, pull, cost


def border(
    mesh: Float[np.ndarray, "V 3"],
    vertices: np.ndarray,
    normals: Float[np.ndarray, "n 3"],
    covered: Bool[np.ndarray, "n"],
    matte: UInt8[np.ndarray, "H W"],
    camera: Camera,
) -> tuple[np.ndarray, Float[np.ndarray, "k 3"], Float[np.ndarray, "k"], Float[np.ndarray, "k"]]:
    """Where the head's outline meets the matte's in a view: rows of ``vertices``; the direction (world) across the border; how far
    (m) the vertex should go along it, and how much that counts. What is ``covered`` by hair only ever goes inwards.
    """
    turn, points = camera.world_to_camera[:3, :3], mesh[vertices]
    rays = (points - camera.center) / np.linalg.norm(points - camera.center, axis=1, keepdims=True)
    rows = np.flatnonzero(np.abs((normals * rays).sum(axis=1)) < EDGE_ON)
    pixels, projected = camera.project(points[rows]), camera.project(mesh)
    per_metre = camera.K[0, 0] / ((points[rows] - camera.center) @ camera.viewing_direction)
    outwards = (normals[rows] @ turn.T)[:, :2]
    outwards /= np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-9)
    nearest = cKDTree(projected[np.isfinite(projected).all(axis=1)]).query(pixels + BEYOND * per_metre[:, None] * outwards)[0]
    free = nearest > CLEAR * per_metre
    rows, pixels, per_metre, outwards = rows[free], pixels[free], per_metre[free], outwards[free]
    off = _end(matte, pixels, outwards * per_metre[:, None])
    share = np.where(off < 0, 1.0 / (1.0 + (off / INSIDE) ** 2) ** 2, 1.0 / (1.0 + (off / OUTSIDE) ** 2) ** 2)
    known = np.isfinite(off) & (off < np.where(covered[rows], 0.0, HAIR))
    sight = np.column_stack([(pixels - camera.K[:2, 2]) / np.diag(camera.K)[:2], np.ones(len(pixels))])
    across = np.column_stack([outwards, -(outwards * sight[:, :2]).sum(axis=1)]) @ turn
    return rows[known], across[known], off[known], share[known]


def _end(
    matte: UInt8[np.ndarray, "H W"], pixels: Float[np.ndarray, "k 2"], per_metre: Float[np.ndarray, "k 2"]
) -> Float[np.ndarray, "k"]:
    """How far (m) along the direction the matte ends that is nearest to the pixel; NaN where it does not within `REACH`."""
    steps = np.arange(-REACH, REACH + STEP / 2, STEP)
    where = (pixels[:, None] + per_metre[:, None] * steps[:, None] - 0.5).astype(np.float32)
    source = matte.astype(np.float32) / 255
    alpha = np.asarray(cv2.remap(source, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    ends = (alpha[:, :-1] > 0.5) & (alpha[:, 1:] <= 0.5)
    part = (alpha[:, :-1] - 0.5) / np.maximum(alpha[:, :-1] - alpha[:, 1:], 1e-6)
    place = np.where(ends, steps[:-1] + STEP * part, np.inf)
    found = place[np.arange(len(place)), np.abs(place).argmin(axis=1)] if len(place) else np.zeros(0)
    return np.where(np.isfinite(found), found, np.nan)
