"""Small patches of skin about points of the fitted head: how they look in every view, and by how much each is out of place.

Brightness and contrast of a patch are taken out, and what changes only slowly over the face, too: shade stays where it is while the
skin moves. Hair over the skin, highlights and closed lids do not look like a point's mean patch and drop out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8

from headcast.capture.camera import Camera
from headcast.fitting.normal import State
from headcast.fitting.observations import Skin
from headcast.geometry.meshes import vertex_normals
from headcast.heads.model import Embedding, HeadModel
from headcast.heads.surface_points import SurfacePoints

Pictures = Callable[[int, int], UInt8[np.ndarray, "H W 3"]]
"""The RGB image of a frame and a view (in the order of the landmarks' cameras); asked for from several threads."""

SPACING = 0.012  # m between patches
STEP, SIDE = 0.0015, 9  # m between a patch's samples; samples along its side, the outermost for slopes alone
INNER = (SIDE - 2) ** 2
GRID = STEP * np.stack(np.divmod(np.arange(SIDE**2), SIDE)) - STEP * (SIDE // 2)  # m along both axes
PX_PER_METRE = 1000.0  # finer pictures are reduced to this
MARGIN = 0.02  # m about the points that is kept of a picture
SHADE = 0.003  # m, standard deviation of the blur that is taken off
GAIN, MIDDLE = 4.0, 128.0  # how what remains is kept in eight bits
MIN_COSINE = 0.35  # of the angle between normal and line of sight
MIN_CONTRAST = 2.0  # grey levels, standard deviation of a patch
PIXEL_NOISE = 1.0  # grey levels
MIN_CORRELATION = 0.5  # with the mean patch; below a patch shows something else
LEAST_VARIANCE = 0.02  # of a patch of unit variance: what two pictures of the same skin differ by in any case
SWEEPS = 3  # of the mean patches over the views that look like them
TRUST = 0.1  # of a patch beside the landmarks
FAR = 0.003  # m: a patch that seems to be out of place by more counts little
RIDGE = 1e4  # 1/m², of that estimate
THREADS = 2


@dataclass(frozen=True)
class Patches:
    """``N`` points of the skin, surface points like those of ``basis``, which they are ``off`` from (m, model frame). ``axes``
    N 3 3 are two tangents and the normal (columns)."""

    basis: SurfacePoints
    off: Float[np.ndarray, "N 3"]
    axes: Float[np.ndarray, "N 3 3"]

    @property
    def known(self) -> Bool[np.ndarray, "N"]:
        """All of them."""
        return self.basis.known

    def rest(self, identity: Float[np.ndarray, "I"]) -> Float[np.ndarray, "N 3"]:
        """The points of a neutral head."""
        return self.basis.rest(identity) + self.off

    def points(self, identity: Float[np.ndarray, "I"], expression: Float[np.ndarray, "F E"]) -> Float[np.ndarray, "F N 3"]:
        """The points of an identity in the expressions of ``F`` frames."""
        return self.basis.points(identity, expression) + self.off

    def slopes(self, identity: Float[np.ndarray, "I"], expression: Float[np.ndarray, "E"]) -> Float[np.ndarray, "N 3 n"]:
        """Derivatives by identity, then expression."""
        return self.basis.slopes(identity, expression)

    def placed(self, state: State) -> tuple[Float[np.ndarray, "F N 3"], Float[np.ndarray, "F N 3 3"]]:
        """The points (m) and axes in the world."""
        local = self.points(state.identity, state.expression)
        places = state.scale * local @ state.rotation.transpose(0, 2, 1) + state.translation[:, None]
        return places, state.rotation[:, None] @ self.axes


def choose(model: HeadModel, identity: Float[np.ndarray, "I"]) -> Patches:
    """Vertices of the outer face that follow the skull, evenly spread."""
    neutral = model.neutral(torch.from_numpy(identity))
    eligible = np.flatnonzero(model.face & model.skin & ~model.mouth_interior & (model.head_weight > 0.5))
    cells = np.floor(neutral[torch.from_numpy(eligible)].numpy() / SPACING).astype(np.int64)
    chosen = eligible[np.sort(np.unique(cells, axis=0, return_index=True)[1])]
    normals = vertex_normals(neutral, torch.from_numpy(np.asarray(model.faces, np.int64))).numpy()[chosen]
    place = Embedding(np.repeat(chosen[:, None], 3, axis=1), np.tile([1.0, 0.0, 0.0], (len(chosen), 1)))
    across = np.cross([0.0, 1.0, 0.0], normals)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    return Patches(
        model.surface_points(place), np.zeros((len(chosen), 3)), np.stack([across, np.cross(normals, across), normals], -1)
    )


@dataclass(frozen=True)
class Grey:
    """What is needed of a picture, reduced and without its slow changes, and its camera (``pose``: world to camera)."""

    pixels: UInt8[np.ndarray, "h w"]
    K: Float[np.ndarray, "3 3"]
    pose: Float[np.ndarray, "4 4"]


def reduced(
    pictures: Pictures, cameras: Sequence[Camera], points: Mapping[int, Float[np.ndarray, "N 3"]], views: Sequence[int]
) -> dict[int, list[Grey]]:
    """The surroundings of the points (m, world) of some frames in some views, frame by frame."""
    wanted = [(frame, view) for frame in points for view in views]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda of: _reduced(pictures(*of), cameras[of[1]], points[of[0]]), wanted))
    return {frame: found[i * len(views) : (i + 1) * len(views)] for i, frame in enumerate(points)}


def _reduced(image: UInt8[np.ndarray, "H W 3"], camera: Camera, points: Float[np.ndarray, "N 3"]) -> Grey:
    depth = float((points @ camera.world_to_camera[2, :3] + camera.world_to_camera[2, 3]).mean())
    zoom = min(1.0, PX_PER_METRE * depth / camera.K[0, 0])
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if zoom < 1.0:
        grey = cv2.resize(grey, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    height, width = grey.shape
    smaller = camera.resize(width, height)
    px_per_metre = smaller.K[0, 0] / depth
    pixels = smaller.project(points)
    left, top = np.clip(np.floor(pixels.min(axis=0) - MARGIN * px_per_metre), 0, [width - 1, height - 1]).astype(int)
    right, bottom = np.clip(np.ceil(pixels.max(axis=0) + MARGIN * px_per_metre), [left + 1, top + 1], [width, height]).astype(int)
    cut = smaller.crop(int(left), int(top), int(right - left), int(bottom - top))
    part = grey[top:bottom, left:right].astype(np.float32)
    fine = part - cv2.GaussianBlur(part, (0, 0), SHADE * px_per_metre)
    return Grey(np.rint(np.clip(GAIN * fine + MIDDLE, 0, 255)).astype(np.uint8), cut.K, cut.world_to_camera)


@dataclass(frozen=True)
class Seen:
    """Patches of one view: ``index`` n of those that face it, by ``cosine`` n; their ``looks`` n k, of mean 0 and variance 1, the
    slopes n k 3 of these by a shift along the patch's axes (1/m), and the variance n that comes from the pixels' noise."""

    index: Int[np.ndarray, "n"]
    cosine: Float[np.ndarray, "n"]
    looks: Float[np.ndarray, "n k"]
    slopes: Float[np.ndarray, "n k 3"]
    noise: Float[np.ndarray, "n"]


def sample(grey: Grey, points: Float[np.ndarray, "N 3"], axes: Float[np.ndarray, "N 3 3"]) -> Seen:
    """The patches about world points (m) with the given axes (world), where they face the camera and show something."""
    local, turned = points @ grey.pose[:3, :3].T + grey.pose[:3, 3], grey.pose[:3, :3] @ axes
    sight = np.einsum("nik,ni->nk", turned, local / np.linalg.norm(local, axis=1, keepdims=True))
    index = np.flatnonzero(-sight[:, 2] > MIN_COSINE)
    local, turned, sight = local[index], turned[index], sight[index]
    homogeneous = local @ grey.K.T
    pixels = homogeneous[:, :2] / homogeneous[:, 2:]
    by_axis = (grey.K[:2] @ turned[..., :2] - pixels[..., None] * turned[:, 2:, :2]) / homogeneous[:, 2:, None]
    x, y = ((by_axis[:, i] @ GRID + pixels[:, i, None] - 0.5).astype(np.float32) for i in range(2))
    raw = cv2.remap(grey.pixels.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _normalised(np.asarray(raw, np.float32).reshape(-1, SIDE, SIDE), index, sight)


def _normalised(raw: Float32[np.ndarray, "n s s"], index: Int[np.ndarray, "n"], sight: Float[np.ndarray, "n 3"]) -> Seen:
    """A shift along the normal looks like one along the tangents, as the line of ``sight`` (patch axes) runs."""
    inner = raw[:, 1:-1, 1:-1].reshape(len(raw), INNER)
    contrast = inner.std(axis=1)
    kept = contrast > GAIN * MIN_CONTRAST
    raw, inner, sight, contrast = raw[kept], inner[kept], sight[kept].astype(np.float32), contrast[kept, None]
    first = (raw[:, 2:, 1:-1] - raw[:, :-2, 1:-1]).reshape(len(raw), INNER) / (2 * STEP * contrast)
    second = (raw[:, 1:-1, 2:] - raw[:, 1:-1, :-2]).reshape(len(raw), INNER) / (2 * STEP * contrast)
    slopes = np.stack([first, second, -(first * sight[:, :1] + second * sight[:, 1:2]) / sight[:, 2:]], axis=-1)
    return Seen(
        index[kept],
        -sight[:, 2],
        (inner - inner.mean(axis=1, keepdims=True)) / contrast,
        slopes - slopes.mean(axis=1, keepdims=True),
        (GAIN * PIXEL_NOISE / contrast[:, 0]) ** 2,
    )


def mean_looks(state: State, patches: Patches, greys: Sequence[Sequence[Grey]]) -> Float[np.ndarray, "N k"]:
    """The mean of each patch over frames and views, of unit variance; views that do not look like it drop out."""
    places, axes = patches.placed(state)
    views = [sample(grey, places[f], axes[f]) for f, shown in enumerate(greys) for grey in shown]
    mean = np.zeros((places.shape[1], INNER), np.float32)
    for sweep in range(SWEEPS):
        total = np.zeros_like(mean)
        for seen in views:
            share = _share(seen, mean[seen.index]) if sweep else seen.cosine
            total[seen.index] += share[:, None] * seen.looks
        mean = total / np.maximum(total.std(axis=1, keepdims=True), 1e-6)
    return mean


def look(state: State, patches: Patches, greys: Sequence[Sequence[Grey]], mean: Float[np.ndarray, "N k"]) -> Skin:
    """By how much each point of each frame misses the place where its patch looks like its ``mean``."""
    places, axes = patches.placed(state)
    curvature, pull = np.zeros((*places.shape, 3)), np.zeros(places.shape)

    def add(f: int) -> None:
        for grey in greys[f]:
            seen = sample(grey, places[f], axes[f])
            bend, slope = _missed(seen, mean[seen.index])
            curvature[f, seen.index] += bend
            pull[f, seen.index] += slope

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(add, range(len(places))))
    curvature, pull = axes @ curvature @ axes.transpose(0, 1, 3, 2), np.einsum("fnij,fnj->fni", axes, pull)
    off = np.linalg.solve(curvature + RIDGE * np.eye(3), pull[..., None])[..., 0]
    share = 1.0 / (1.0 + (off**2).sum(axis=-1) / FAR**2) ** 2
    curvature, pull = curvature * share[..., None, None], pull * share[..., None]
    return Skin(patches, places, curvature, pull, 0.5 * np.einsum("fni,fni->fn", pull, off))


def _share(seen: Seen, mean: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n"]:
    """How much a view says of each patch: nothing where it looks like something else."""
    alike = (mean * seen.looks).mean(axis=1)
    return seen.cosine * np.clip((alike - MIN_CORRELATION) / (1.0 - MIN_CORRELATION), 0.0, 1.0)


def _missed(seen: Seen, mean: Float[np.ndarray, "n k"]) -> tuple[Float[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3"]]:
    """Curvature and pull (patch axes) of the squared difference to the mean look, in units of what remains of it."""
    residual = (mean * seen.looks).mean(axis=1, keepdims=True) * mean - seen.looks
    share = TRUST * _share(seen, mean) / np.maximum((residual**2).mean(axis=1), LEAST_VARIANCE + seen.noise)
    weighted = (seen.slopes * share[:, None, None]).transpose(0, 2, 1)
    return weighted @ seen.slopes, (weighted @ residual[..., None])[..., 0]
