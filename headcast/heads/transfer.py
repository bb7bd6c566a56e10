"""What the embedded CC0 head knows, carried to another topology: scalp, face, neck, mouth and FaceMesh's points.

The `open` head is brought onto the other model's mean by similarity and identity, first by the 68 landmarks, then by closest points
of the surfaces (a statistical model as the regulariser of a registration: Blanz & Vetter 1999, Amberg et al. 2007). Attributes
are then read off at closest points, and FaceMesh's points of the placed head are dropped onto the other skin. Nothing of the other
model is needed but its mean, its triangles and its landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from headcast.geometry.alignment import similarity
from headcast.geometry.queries import closest_point
from headcast.heads.model import DENSE_LANDMARKS, IRISES, Embedding

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from headcast.heads.linear_head import LinearHead

NOISE = 0.0015  # m, of a correspondence against one standard deviation of identity
JAW = slice(0, 17)
JAW_WEIGHT = 0.2
LANDMARK_ROUNDS, SURFACE_ROUNDS = 6, 10
SURFACE_POINTS = 1500
CAPTURE = 0.010  # m, scale of the kernel that closest points are trusted by
REACH = 0.025  # m from the placed head: vertices beyond it are neither face nor scalp
DENSE_REACH = 0.012  # m: a dense point further off has no place on this topology
LINED = 0.006  # m: how near to the mouth's lining a vertex is part of it
MOUTH = slice(48, 68)
LIP_REACH = 0.006  # m from a landmark of the mouth: a dense point of the lips
LOWER, BETWEEN, UPPER = 0.5, 0.35, 0.2  # shares of the jaw's motion: more is lower lip, less is upper lip, between are the corners


@dataclass(frozen=True)
class Surface:
    """Another topology at rest: vertices (m, our axes), triangles, its 68 landmarks, and which vertices are outer skin.

    ``opening`` is how far vertices follow the jaw, in [0, 1], where that is known: it keeps the two lips apart.
    """

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "T 3"]
    landmarks: Float[np.ndarray, "68 3"]
    skin: Bool[np.ndarray, "V"]
    opening: Float[np.ndarray, "V"] | None = None


@dataclass(frozen=True)
class Carried:
    """The regions of another topology (see `headcast.heads.model.HeadModel`), its dense points, and the neck joint (m)."""

    scalp: Float[np.ndarray, "V"]
    face: Bool[np.ndarray, "V"]
    mouth_interior: Bool[np.ndarray, "V"]
    head_weight: Float[np.ndarray, "V"]
    dense: Embedding
    neck_pivot: Float[np.ndarray, "3"]


def carry(head: LinearHead, surface: Surface) -> Carried:
    """Regions and dense landmarks of ``surface`` from the `open` model ``head``."""
    placed, pivot = register(head, surface)
    outer = head.faces[head.skin[head.faces].all(axis=1)]
    corners, weights, distance = _closest(surface.vertices, placed, outer)
    near = distance < REACH
    read = {name: (getattr(head, name).astype(float)[corners] * weights).sum(axis=1) for name in ("scalp", "face", "head_weight")}
    return Carried(
        scalp=np.where(near & surface.skin, read["scalp"], 0.0),
        face=near & (read["face"] > 0.5),
        mouth_interior=_lining(head, placed, surface.vertices),
        head_weight=np.clip(read["head_weight"], 0.0, 1.0),
        dense=dense_points(head, placed, surface),
        neck_pivot=pivot,
    )


def register(head: LinearHead, surface: Surface) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "3"]]:
    """The vertices of ``head`` placed on ``surface`` (m), and its neck joint there."""
    inner = head.landmark_embedding
    index = np.flatnonzero(head.skin & (head.head_weight > 0.5))
    index = index[:: max(1, len(index) // SURFACE_POINTS)]
    trust = np.ones(len(surface.landmarks))
    trust[JAW] = JAW_WEIGHT
    identity, placement = np.zeros(head.identity_size), similarity(inner.on(head.mean)[17:], surface.landmarks[17:])
    skin = surface.faces[surface.skin[surface.faces].all(axis=1)]
    for step in range(LANDMARK_ROUNDS + SURFACE_ROUNDS):
        shape = _shape(head, identity)
        source, target, weights = inner.on(shape), surface.landmarks, trust
        basis = inner.on(head.identity_basis)
        if step >= LANDMARK_ROUNDS:
            corners, inside, distance = _closest(_moved(shape[index], placement), surface.vertices, skin)
            found = (surface.vertices[corners] * inside[..., None]).sum(axis=1)
            source, target = np.concatenate([source, shape[index]]), np.concatenate([target, found])
            kernel = 68 / len(index) * 2.0 / (1.0 + (distance / CAPTURE) ** 2) ** 2
            weights, basis = np.concatenate([trust, kernel]), np.concatenate([basis, head.identity_basis[:, index]], axis=1)
        placement = _weighted_similarity(source, target, weights)
        identity = _identity(source - np.einsum("i,inc->nc", identity, basis), basis, _back(target, placement), weights)
    return _moved(_shape(head, identity), placement), _moved(head.neck_pivot[None], placement)[0]


Placement = tuple[float, "Float[np.ndarray, '3 3']", "Float[np.ndarray, '3']"]


def _shape(head: LinearHead, identity: Float[np.ndarray, "I"]) -> Float[np.ndarray, "V 3"]:
    return head.mean + np.einsum("i,ivc->vc", identity, head.identity_basis)


def _moved(points: Float[np.ndarray, "n 3"], placement: Placement) -> Float[np.ndarray, "n 3"]:
    scale, rotation, translation = placement
    return scale * points @ rotation.T + translation


def _back(points: Float[np.ndarray, "n 3"], placement: Placement) -> Float[np.ndarray, "n 3"]:
    scale, rotation, translation = placement
    return (points - translation) @ rotation / scale


def _weighted_similarity(
    source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, "n"]
) -> Placement:
    """The similarity of weighted correspondences: each drawn as often as it weighs."""
    share = np.maximum(np.round(weights / weights.max() * 10).astype(int), 0)
    return similarity(np.repeat(source, share, axis=0), np.repeat(target, share, axis=0))


def _identity(
    rest: Float[np.ndarray, "n 3"],
    basis: Float[np.ndarray, "I n 3"],
    target: Float[np.ndarray, "n 3"],
    weights: Float[np.ndarray, "n"],
) -> Float[np.ndarray, "I"]:
    """The identity that brings the points closest to their targets, one standard deviation costing `NOISE`."""
    rows = basis.reshape(len(basis), -1)
    weighted = rows * np.repeat(weights, 3) / NOISE**2
    return np.linalg.solve(weighted @ rows.T + np.eye(len(rows)), weighted @ (target - rest).reshape(-1))


def _closest(
    points: Float[np.ndarray, "n 3"], vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "T 3"]
) -> tuple[Int[np.ndarray, "n 3"], Float[np.ndarray, "n 3"], Float[np.ndarray, "n"]]:
    """Corners and barycentric weights of the nearest place of each point on the triangles, and how far it is (m)."""
    found = closest_point(torch.from_numpy(points.astype(np.float64)), torch.from_numpy(vertices), torch.from_numpy(faces))
    weights = np.clip(found.barycentric.double().numpy(), 0.0, 1.0)
    return faces[found.face.numpy()], weights / weights.sum(axis=1, keepdims=True), found.distance.numpy()


def _lining(head: LinearHead, placed: Float[np.ndarray, "V 3"], vertices: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, "n"]:
    """Vertices at the lining of the placed head's mouth, nearer to it than to any skin."""
    corners, _, distance = _closest(vertices, placed, head.faces)
    return head.mouth_interior[corners].all(axis=1) & (distance < LINED)


def dense_points(head: LinearHead, placed: Float[np.ndarray, "V 3"], surface: Surface) -> Embedding:
    """FaceMesh's points (irises left out) on the skin of ``surface``; rows that would land too far off are NaN."""
    points = head.dense_embedding.on(placed)[: IRISES.start]
    corners = np.zeros((DENSE_LANDMARKS, 3), dtype=np.int64)
    weights = np.full((DENSE_LANDMARKS, 3), np.nan)
    skin = surface.faces[surface.skin[surface.faces].all(axis=1)]
    for rows, faces in _lips(head, surface, skin, head.landmark_embedding.on(placed)[MOUTH], points):
        if len(rows) and len(faces):
            corners[rows], found, distance = _closest(points[rows], surface.vertices, faces)
            weights[rows] = np.where(distance[:, None] < DENSE_REACH, found, np.nan)
    return Embedding(corners, weights)


def _lips(
    head: LinearHead,
    surface: Surface,
    skin: Int[np.ndarray, "T 3"],
    mouth: Float[np.ndarray, "m 3"],
    points: Float[np.ndarray, "n 3"],
) -> list[tuple[Int[np.ndarray, "n"], Int[np.ndarray, "t 3"]]]:
    """Points with the faces that they may land on: those of the lower lip onto what follows the jaw, of the upper onto the rest."""
    every = np.arange(len(points))
    if surface.opening is None or "jawOpen" not in head.expression_names:
        return [(every, skin)]
    moves = head.dense_embedding.on(head.expression_basis[head.expression_names.index("jawOpen")])[: len(points)]
    lip = np.linalg.norm(points[:, None] - mouth, axis=-1).min(axis=1) < LIP_REACH
    share = jaw_share(moves)
    lower, upper = lip & (share > LOWER), lip & (share < UPPER)
    opening = surface.opening[skin].mean(axis=1) > BETWEEN
    return [(every[~(lower | upper)], skin), (every[lower], skin[opening]), (every[upper], skin[~opening])]


def jaw_share(moves: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """How far vertices follow the jaw, in [0, 1], by what opening it does to them (m)."""
    size = np.linalg.norm(moves, axis=1)
    return size / max(float(size.max()), 1e-9)
