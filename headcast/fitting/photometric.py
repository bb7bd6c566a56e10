"""Photometric refinement: a spot of skin looks the same in all frames and views, so that is where it is.

Landmarks place a face well on average, but what they say of it follows its turning and its expressions. Here small patches of skin
about vertices of the fitted head are compared with their mean over views and frames (Lucas & Kanade 1981; local brightness and
contrast taken out), which tells by how far each point missed. A point may lie off the model by a shift that is the same in all
frames: without that a shape that is a little wrong would look like motion whenever the head turns (bundle adjustment, Triggs et
al. 2000, the points eliminated). Hair over the skin, highlights and closed lids do not match the mean and are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from scipy.linalg import block_diag

from headcast.capture.camera import Camera
from headcast.fitting.normal import State, Weights, data_terms
from headcast.fitting.observations import Observations, Skin
from headcast.fitting.solver import minimise
from headcast.geometry.meshes import vertex_normals
from headcast.heads.model import Embedding, HeadModel
from headcast.heads.surface_points import SurfacePoints

logger = logging.getLogger(__name__)

Pictures = Callable[[int], Sequence[UInt8[np.ndarray, "H W 3"]]]
"""The RGB images of a frame, in the order of the landmarks' cameras."""

SPACING = 0.012  # m between patches
STEP, SIDE = 0.0015, 9  # m between a patch's samples; samples along its side, the outermost for slopes alone
PX_PER_METRE = 1000.0  # finer pictures are reduced to this
MARGIN = 0.02  # m about the points that is kept of a picture
TEMPLATE_FRAMES = 24
ROUNDS = 3
MIN_CAMERAS = 4
MIN_FRAMES = 3
MIN_COSINE = 0.35  # of the angle between normal and line of sight
MIN_CONTRAST = 2.0  # grey levels, standard deviation of a patch
MIN_CORRELATION = 0.75  # with the mean patch; below a patch shows something else
LEAST_VARIANCE = 0.02  # of a patch of unit variance: what two pictures of the same skin differ by in any case
TRUST = 0.05  # of a patch beside the landmarks
FAR = 0.003  # m: a patch that seems to be off by more counts little
OFF_MODEL = 0.002  # m: how far skin usually lies off the model
MOBILE = 0.004  # m, root of the sum of squares over expressions: skin that expressions move by more says less
ITERATIONS = 15


@dataclass(frozen=True)
class Patches:
    """Points of the skin in the model frame: ``basis`` of N points, shifted by ``off`` (m); ``axes`` N 3 3, columns two tangents and
    the normal; ``weight`` N."""

    basis: SurfacePoints
    off: Float[np.ndarray, "N 3"]
    axes: Float[np.ndarray, "N 3 3"]
    weight: Float[np.ndarray, "N"]

    @property
    def known(self) -> np.ndarray:
        """All of them."""
        return np.ones(len(self.off), dtype=bool)

    def rest(self, identity: Float[np.ndarray, "I"]) -> Float[np.ndarray, "N 3"]:
        """The points of a neutral head."""
        return self.basis.rest(identity) + self.off

    def points(self, identity: Float[np.ndarray, "I"], expression: Float[np.ndarray, "F E"]) -> Float[np.ndarray, "F N 3"]:
        """The points of an identity in the expressions of ``F`` frames."""
        return self.basis.points(identity, expression) + self.off

    def slopes(self, identity: Float[np.ndarray, "I"], expression: Float[np.ndarray, "E"]) -> Float[np.ndarray, "N 3 n"]:
        """Derivatives by identity, then expression."""
        return self.basis.slopes(identity, expression)


@dataclass(frozen=True)
class Grey:
    """A part of a reduced picture (float32 grey levels) with its camera."""

    pixels: UInt8[np.ndarray, "h w"]
    K: Float[np.ndarray, "3 3"]
    pose: Float[np.ndarray, "4 4"]


def refine(
    state: State, observations: Observations, weights: Weights, pictures: Pictures, cameras: Sequence[Camera], model: HeadModel
) -> State:
    """Expression and placement of every frame so that skin keeps its looks; identity and size stay.

    Fewer than `MIN_CAMERAS` views or `MIN_FRAMES` frames cannot tell shape from motion: the state is returned as it came.
    """
    if len(cameras) < MIN_CAMERAS or len(state.expression) < MIN_FRAMES:
        return state
    patches = choose(model, state.identity)
    greys = reduced(pictures, cameras, placed(state, patches))
    for _ in range(ROUNDS):
        skin = look(state, patches, greys)
        state, patches = together(state, patches, skin, observations, weights)
        state = minimise(state, replace(observations, skin=replace(skin, basis=patches)), weights, False, ITERATIONS, _silent)
    logger.info("photometric: points lie %.2f mm off the model", 1e3 * float(np.median(np.linalg.norm(patches.off, axis=1))))
    return state


def _silent(done: int, total: int) -> None:
    """Report nothing."""


def choose(model: HeadModel, identity: Float[np.ndarray, "I"]) -> Patches:
    """Vertices of the outer face that follow the skull, evenly spread."""
    neutral = model.neutral(torch.from_numpy(identity))
    eligible = np.flatnonzero(model.face & model.skin & ~model.mouth_interior & (model.head_weight > 0.5))
    cells = np.floor(neutral[torch.from_numpy(eligible)].numpy() / SPACING).astype(np.int64)
    chosen = eligible[np.sort(np.unique(cells, axis=0, return_index=True)[1])]
    normals = vertex_normals(neutral, torch.from_numpy(np.asarray(model.faces, np.int64))).numpy()[chosen]
    mobile = np.sqrt((model.expression_basis[:, chosen] ** 2).sum(axis=(0, 2)))
    place = Embedding(np.repeat(chosen[:, None], 3, axis=1), np.tile([1.0, 0.0, 0.0], (len(chosen), 1)))
    weight = 1.0 / (1.0 + (mobile / MOBILE) ** 2)
    return Patches(model.surface_points(place), np.zeros((len(chosen), 3)), _axes(normals), weight)


def _axes(normals: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3 3"]:
    across = np.cross([0.0, 1.0, 0.0], normals)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    return np.stack([across, np.cross(normals, across), normals], axis=-1)


def placed(state: State, patches: Patches) -> Float[np.ndarray, "F N 3"]:
    """The points in the world (m)."""
    local = patches.points(state.identity, state.expression)
    return state.scale * local @ state.rotation.transpose(0, 2, 1) + state.translation[:, None]


def reduced(pictures: Pictures, cameras: Sequence[Camera], points: Float[np.ndarray, "F N 3"]) -> list[list[Grey]]:
    """What is needed of every picture, frame by frame."""

    def part(job: tuple[UInt8[np.ndarray, "H W 3"], Camera, Float[np.ndarray, "N 3"]]) -> Grey:
        return _part(*job)

    with ThreadPoolExecutor(2) as pool:
        return [
            list(pool.map(part, [(image, camera, seen) for image, camera in zip(pictures(f), cameras, strict=True)]))
            for f, seen in enumerate(points)
        ]


def _part(image: UInt8[np.ndarray, "H W 3"], camera: Camera, points: Float[np.ndarray, "N 3"]) -> Grey:
    depth = float((points @ camera.world_to_camera[2, :3] + camera.world_to_camera[2, 3]).mean())
    zoom = min(1.0, PX_PER_METRE * depth / camera.K[0, 0])
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if zoom < 1.0:
        grey = cv2.resize(grey, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    height, width = grey.shape
    smaller = camera.resize(width, height)
    pixels, margin = smaller.project(points), MARGIN * smaller.K[0, 0] / depth
    left, top = np.clip(np.floor(pixels.min(axis=0) - margin), 0, [width - 1, height - 1]).astype(int)
    right, bottom = np.clip(np.ceil(pixels.max(axis=0) + margin), [left + 1, top + 1], [width, height]).astype(int)
    cut = smaller.crop(int(left), int(top), int(right - left), int(bottom - top))
    return Grey(np.ascontiguousarray(grey[top:bottom, left:right]), cut.K, cut.world_to_camera)


@dataclass(frozen=True)
class Seen:
    """Patches of one view: ``index`` n of those that face it, ``cosine`` n; brightness ``looks`` n k of mean 0 and variance 1, and its
    slopes n k 3 by a shift along the patch's axes (1/m)."""

    index: Int[np.ndarray, "n"]
    cosine: Float[np.ndarray, "n"]
    looks: Float[np.ndarray, "n k"]
    slopes: Float[np.ndarray, "n k 3"]


def sample(grey: Grey, points: Float[np.ndarray, "N 3"], axes: Float[np.ndarray, "N 3 3"]) -> Seen:
    """The patches about world points (m) with the given axes (world), where they face the camera and show something."""
    turn, local = grey.pose[:3, :3], points @ grey.pose[:3, :3].T + grey.pose[:3, 3]
    turned = turn @ axes
    sight = np.einsum("nik,ni->nk", turned, local / np.linalg.norm(local, axis=1, keepdims=True))
    index = np.flatnonzero(-sight[:, 2] > MIN_COSINE)
    local, turned, sight = local[index], turned[index], sight[index]
    homogeneous = local @ grey.K.T
    pixels = homogeneous[:, :2] / homogeneous[:, 2:]
    by_axis = (grey.K[:2] @ turned[..., :2] - pixels[..., None] * turned[:, 2:, :2]) / homogeneous[:, 2:, None]
    offsets = (np.arange(SIDE) - SIDE // 2) * STEP
    grid = np.stack(np.meshgrid(offsets, offsets, indexing="ij"), axis=-1).reshape(-1, 2)
    where = (pixels[:, None] + grid @ by_axis.transpose(0, 2, 1) - 0.5).astype(np.float32)
    raw = cv2.remap(grey.pixels.astype(np.float32), where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _normalised(raw.reshape(-1, SIDE, SIDE), index, sight)


def _normalised(raw: Float[np.ndarray, "n s s"], index: Int[np.ndarray, "n"], sight: Float[np.ndarray, "n 3"]) -> Seen:
    inner = raw[:, 1:-1, 1:-1].reshape(len(raw), -1)
    contrast = inner.std(axis=1)
    kept = contrast > MIN_CONTRAST
    raw, inner, sight, contrast = raw[kept], inner[kept], sight[kept].astype(np.float32), contrast[kept, None]
    first = (raw[:, 2:, 1:-1] - raw[:, :-2, 1:-1]).reshape(len(raw), -1) / (2 * STEP * contrast)
    second = (raw[:, 1:-1, 2:] - raw[:, 1:-1, :-2]).reshape(len(raw), -1) / (2 * STEP * contrast)
    along = -(first * sight[:, :1] + second * sight[:, 1:2]) / sight[:, 2:]
    slopes = np.stack([first, second, along], axis=-1)
    looks = (inner - inner.mean(axis=1, keepdims=True)) / contrast
    return Seen(index[kept], -sight[:, 2], looks, slopes - slopes.mean(axis=1, keepdims=True))


def look(state: State, patches: Patches, greys: list[list[Grey]]) -> Skin:
    """By how much each point of each frame misses the place where its patch looks like the mean of its patches."""
    places, axes = placed(state, patches), state.rotation[:, None] @ patches.axes
    frames, count = places.shape[:2]
    some = np.unique(np.linspace(0, frames - 1, min(frames, TEMPLATE_FRAMES)).round().astype(int))
    templates = _templates([sample(grey, places[f], axes[f]) for f in some for grey in greys[f]], count)
    curvature, pull = np.zeros((frames, count, 3, 3)), np.zeros((frames, count, 3))

    def add(f: int) -> None:
        for grey in greys[f]:
            seen = sample(grey, places[f], axes[f])
            bend, slope = _missed(seen, templates[seen.index])
            curvature[f, seen.index] += bend
            pull[f, seen.index] += slope

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add, range(frames)))
    curvature, pull = axes @ curvature @ axes.transpose(0, 1, 3, 2), np.einsum("fnij,fnj->fni", axes, pull)
    off = np.linalg.solve(curvature + 1e4 * np.eye(3), pull[..., None])[..., 0]
    share = patches.weight / (1.0 + (off**2).sum(axis=-1) / FAR**2) ** 2
    curvature, pull = curvature * share[..., None, None], pull * share[..., None]
    return Skin(patches, places, curvature, pull, 0.5 * np.einsum("fni,fni->fn", pull, off))


def _templates(views: Sequence[Seen], count: int) -> Float[np.ndarray, "N k"]:
    """The mean look of each patch, of unit variance; views that do not look like it drop out."""
    inner = (SIDE - 2) ** 2
    mean = np.zeros((count, inner), np.float32)
    for sweep in range(3):
        total = np.zeros((count, inner), np.float32)
        for seen in views:
            share = _share(seen, mean[seen.index]) if sweep else seen.cosine
            total[seen.index] += share[:, None] * seen.looks
        mean = total / np.maximum(total.std(axis=1, keepdims=True), 1e-6)
    return mean


def _share(seen: Seen, mean: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n"]:
    alike = (mean * seen.looks).mean(axis=1)
    return seen.cosine * np.clip((alike - MIN_CORRELATION) / (1.0 - MIN_CORRELATION), 0.0, 1.0)


def _missed(seen: Seen, mean: Float[np.ndarray, "n k"]) -> tuple[Float[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3"]]:
    """Curvature and pull (patch axes) of the squared difference to the mean look, in units of what remains of it."""
    residual = (mean * seen.looks).mean(axis=1, keepdims=True) * mean - seen.looks
    share = TRUST * _share(seen, mean) / np.maximum((residual**2).mean(axis=1), LEAST_VARIANCE)
    weighted = (seen.slopes * share[:, None, None]).transpose(0, 2, 1)
    return weighted @ seen.slopes, (weighted @ residual[..., None])[..., 0]


def together(state: State, patches: Patches, skin: Skin, observations: Observations, weights: Weights) -> tuple[State, Patches]:
    """One Gauss-Newton step of all placements and of what the points lie off the model, the points eliminated first."""
    frames, count = skin.places.shape[:2]
    turn = state.scale * state.rotation
    moves = _moves(skin.places - state.translation[:, None])
    framed = np.einsum("fnia,fnij,fnjb->fab", moves, skin.curvature, moves, optimize=True) + np.eye(6)
    right = np.einsum("fnia,fni->fa", moves, skin.pull, optimize=True)
    for f, local in enumerate(observations.basis.points(state.identity, state.expression)):
        arms = local @ turn[f].T
        curvature, gradient, _ = data_terms(arms + state.translation[f], observations, f, weights)
        framed[f] += np.einsum("nia,nij,njb->ab", _moves(arms), curvature, _moves(arms), optimize=True)
        right[f] -= np.einsum("nia,ni->a", _moves(arms), gradient)
    points = np.einsum("fji,fnjk,fkl->nil", turn, skin.curvature, turn, optimize=True) + np.eye(3) / OFF_MODEL**2
    inverse = np.linalg.inv(points)
    mixed = np.einsum("fnia,fnij,fjk->fank", moves, skin.curvature, turn, optimize=True).reshape(6 * frames, count, 3)
    eliminated = np.einsum("mnj,njk->mnk", mixed, inverse).reshape(6 * frames, -1)
    mixed = mixed.reshape(6 * frames, -1)
    own = np.einsum("fji,fnj->ni", turn, skin.pull, optimize=True) - patches.off / OFF_MODEL**2
    step = np.linalg.solve(block_diag(*framed) - eliminated @ mixed.T, right.reshape(-1) - eliminated @ own.reshape(-1))
    off = np.einsum("nij,nj->ni", inverse, own - (step @ mixed).reshape(count, 3))
    still = np.zeros(state.expression.shape)
    moved = state.moved(np.zeros(0), np.concatenate([still, step.reshape(frames, 6)], axis=1))
    return moved, replace(patches, off=patches.off + off)


def _moves(arms: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3 6"]:
    """Derivatives of points by a turn (rad) about the origin that ``arms`` (m) start from, and by a shift."""
    x, y, z = np.moveaxis(arms, -1, 0)
    zero, one = np.zeros_like(x), np.ones_like(x)
    rows = [(zero, z, -y, one, zero, zero), (-z, zero, x, zero, one, zero), (y, -x, zero, zero, zero, one)]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
