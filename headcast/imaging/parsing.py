"""Hair, face and body of every view from its matte, the fitted head and one appearance model of the subject.

The fitted head says what can be where: skin of the face, scalp, ears, neck, and whatever the matte holds beyond the head.
Its confident parts, pooled over many views and frames, teach what this subject's hair, skin and clothes look like
(``headcast.imaging.appearance``); that model, retrained once on its own answers, then labels each view, and each vertex of
the head remembers how often it was seen covered by hair, in all views together. Probabilities are smoothed along the edges
of the picture. Memory: one view at a time and ``SAMPLES`` feature vectors a class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float, Int, UInt8

from headcast.capture.camera import Camera
from headcast.errors import CaptureError
from headcast.imaging.appearance import FEATURES, Mixture, features, fit_mixture, in_any_shade
from headcast.imaging.guided import guided_filter, guided_upsample
from headcast.imaging.labels import Labels, compose
from headcast.imaging.unmixing import gaussian

CLASSES = ("hair", "skin", "cloth")
REFERENCE_SIDE = 416
WORKING_SIDE = 512
TEACHING_VIEWS = 32
SAMPLES = 12_000
LEAST_PRIOR = 1e-4
LEARNED_SHARE = 0.6  # of the head's own statistics against an even prior
FACE_SHARE = 0.65  # of the face mask, whose edge follows triangles and is soft
HAIR_MIDDLE, HAIR_RAMP = 0.8, 0.4  # probabilities around 0.8 become the soft edge: skin shaded by hair looks like hair
SMOOTHING_RADIUS, SMOOTHING_EDGE = 4, 1e-3
TEMPER = 0.7  # neighbouring pixels are no independent witnesses


@dataclass(frozen=True)
class HeadRegions:
    """The fitted head's topology and its vertex masks (see ``headcast.heads.model.HeadModel``)."""

    faces: Int[np.ndarray, "T 3"]
    scalp: Float[np.ndarray, "V"]
    face: Bool[np.ndarray, "V"]
    skin: Bool[np.ndarray, "V"]
    head_weight: Float[np.ndarray, "V"]


@dataclass(frozen=True)
class LabelView:
    """One view: sRGB image, its matte in [0, 1], its camera and the fitted head of its frame (world, m)."""

    image: UInt8[np.ndarray, "H W 3"]
    alpha: Float[np.ndarray, "H W"]
    camera: Camera
    vertices: Float[np.ndarray, "V 3"]


@dataclass(frozen=True)
class Subject:
    """What was learned from the teaching views: a mixture per class and how often each vertex is covered by hair."""

    mixtures: tuple[Mixture, ...]
    covered: Float[np.ndarray, "V"]


class Projected(NamedTuple):
    """The head in a view, continued beyond its outline: face, scalp, head weight, nearest vertex, px outside, height."""

    face: Float[np.ndarray, "H W"]
    scalp: Float[np.ndarray, "H W"]
    head: Float[np.ndarray, "H W"]
    vertex: Int[np.ndarray, "H W"]
    outside: Float[np.ndarray, "H W"]
    height: Float[np.ndarray, "H W"]


def _unit(view: LabelView) -> float:
    """Pixels of this picture per pixel of the size that radii are given for."""
    return max(view.alpha.shape) / REFERENCE_SIDE


def _working(view: LabelView) -> LabelView:
    """The view at the size that labels are solved at; larger pictures are reduced."""
    height, width = view.alpha.shape
    scale = WORKING_SIDE / max(height, width)
    if scale >= 1:
        return view
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image, alpha = (cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (view.image, view.alpha.astype(np.float32)))
    return LabelView(image, alpha, view.camera.resize(*size), view.vertices)


def paint_faces(
    pixels: Float[np.ndarray, "V 2"], depth: Float[np.ndarray, "V"], faces: Int[np.ndarray, "T 3"], shape: tuple[int, int]
) -> Int[np.ndarray, "H W"]:
    """Index of the front-most triangle per pixel (−1 none), painted from back to front by mean depth."""
    corners = pixels[faces]
    usable = np.isfinite(corners).all((1, 2)) & (depth[faces].min(1) > 0)
    order = np.nonzero(usable)[0]
    order = order[np.argsort(-depth[faces[order]].mean(1), kind="stable")]
    canvas = np.full(shape, -1, np.int32)
    fixed = np.rint((corners - 0.5) * 16).astype(np.int32)
    for index in order:
        cv2.fillConvexPoly(canvas, fixed[index], (float(index),), shift=4)
    return canvas


def project_head(view: LabelView, head: HeadRegions) -> Projected:
    """Paint the head's regions into the view; pixels beside it take those of the nearest pixel of the head."""
    camera = view.camera
    local = view.vertices @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
    pixels = camera.project(view.vertices)
    shape = (view.alpha.shape[0], view.alpha.shape[1])
    front = paint_faces(pixels, local[:, 2], head.faces, shape)
    if not (front >= 0).any():
        raise CaptureError(f"camera {camera.serial}", "the fitted head is not in the picture")
    distance, nearest = scipy.ndimage.distance_transform_edt(front < 0, return_indices=True)
    corner = head.faces[front[tuple(nearest)]]
    weight = _barycentric(pixels[corner], nearest)
    fields = [smoothed(head.face.astype(np.float64), head.faces), smoothed(head.scalp, head.faces), head.head_weight]
    face, scalp, rigid = (np.einsum("hwk,hwk->hw", values[corner], weight).astype(np.float32) for values in fields)
    closest = np.take_along_axis(corner, weight.argmax(-1)[..., None], -1)[..., 0]
    face = gaussian(face, max(3 * _unit(view), 0.5))
    return Projected(face, scalp, rigid, closest, distance.astype(np.float32), _height(pixels, head, shape))


def smoothed(values: Float[np.ndarray, "V"], faces: Int[np.ndarray, "T 3"], rounds: int = 6) -> Float[np.ndarray, "V"]:
    """Average a vertex mask with its neighbours: masks cut along triangles have teeth."""
    for _ in range(rounds):
        total = np.bincount(faces.ravel(), np.repeat(values[faces].sum(1), 3), len(values))
        values = total / np.maximum(3 * np.bincount(faces.ravel(), minlength=len(values)), 1)
    return values


def _barycentric(corners: Float[np.ndarray, "H W 3 2"], nearest: Int[np.ndarray, "2 H W"]) -> Float[np.ndarray, "H W 3"]:
    """Weights of a triangle's corners at the head pixel that stands for each pixel (in the picture plane, clipped inside)."""
    point = np.stack([nearest[1], nearest[0]], -1) + 0.5
    edges = [corners[..., k - 2, :] - corners[..., k - 1, :] for k in range(3)]
    areas = [
        edges[k][..., 0] * (point - corners[..., k - 1, :])[..., 1] - edges[k][..., 1] * (point - corners[..., k - 1, :])[..., 0]
        for k in range(3)
    ]
    total = sum(areas)
    weight = np.clip(np.stack(areas, -1) / np.where(np.abs(total) > 1e-9, total, 1)[..., None], 0, 1)
    return weight / weight.sum(-1, keepdims=True).clip(1e-9)


def _height(pixels: Float[np.ndarray, "V 2"], head: HeadRegions, shape: tuple[int, int]) -> Float[np.ndarray, "H W"]:
    """Position along the axis of the head in the picture: 0 at the base of the neck, 1 at the middle of the face."""
    neck = np.nanmean(pixels[(head.head_weight > 0.3) & (head.head_weight < 0.7)], axis=0)
    axis = np.nanmean(pixels[head.face], axis=0) - neck
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    return (((x - neck[0]) * axis[0] + (y - neck[1]) * axis[1]) / (axis @ axis)).astype(np.float32)


def prior(place: Projected, covered: Float[np.ndarray, "V"] | None, unit: float) -> Float[np.ndarray, "H W 3"]:
    """Probability of hair, skin and cloth by place alone; ``covered`` replaces the guess where the head itself is seen."""
    on_head = np.clip(1 - place.outside / (4 * unit), 0, 1)[..., None]
    above = np.clip((place.height - 0.25) / 0.3, 0, 1)[..., None]
    table = np.array([[0.12, 0.87, 0.01], [0.92, 0.08, 0.0], [0.45, 0.53, 0.02], [0.2, 0.35, 0.45]])
    rest = np.clip(1 - place.face - place.scalp, 0, 1)
    weights = np.stack([place.face, place.scalp, rest * place.head, rest * (1 - place.head)], -1)
    surface = weights / weights.sum(-1, keepdims=True).clip(1e-6) @ table
    if covered is not None:
        hair = covered[place.vertex][..., None] * LEARNED_SHARE + (1 - LEARNED_SHARE) / 2
        learned = np.concatenate([hair, (1 - hair) * surface[..., 1:] / surface[..., 1:].sum(-1, keepdims=True)], -1)
        surface = np.where(place.head[..., None] > 0.5, learned, surface)
    beside = above * np.array([0.96, 0.035, 0.005]) + (1 - above) * np.array([0.3, 0.1, 0.6])
    blurred = gaussian((on_head * surface + (1 - on_head) * beside).astype(np.float32), 1.5 * unit)
    return np.clip(blurred, LEAST_PRIOR, 1)


def _seeds(view: LabelView, place: Projected, unit: float) -> tuple[Bool[np.ndarray, "H W"], ...]:
    """Pixels whose class follows from where they are: hair beyond the head and on the scalp, mid-face skin, cloth at the rim."""
    opaque = cv2.erode((view.alpha > 0.98).astype(np.uint8), np.ones((3, 3))) > 0
    beyond = (place.outside > 4 * unit) & (place.height > 0.55)
    inner_face = cv2.erode((place.face > 0.99).astype(np.uint8), np.ones((round(24 * unit) | 1,) * 2)) > 0
    cloth = opaque & (place.height < -0.15) & (place.head < 0.02)
    return opaque & (beyond | (place.scalp > 0.95)), opaque & inner_face & (place.outside == 0), cloth


def _teaching(count: int) -> list[int]:
    """Indices of views spread over all frames and cameras."""
    if count <= TEACHING_VIEWS:
        return list(range(count))
    step = next(s for s in range(round(count * 0.618), count * 2) if np.gcd(s, count) == 1)
    return sorted((i * step) % count for i in range(TEACHING_VIEWS))


def learn(views: Sequence[LabelView], head: HeadRegions, seed: int = 0) -> Subject:
    """Learn the subject's appearance and how hair covers the head from views spread over the sequence.

    Raises ``CaptureError`` when no view shows enough of the head to start from.
    """
    chosen = _teaching(len(views))
    rng = np.random.default_rng(seed)
    pools: list[list[np.ndarray]] = [[] for _ in CLASSES]
    for index in chosen:
        view = _working(views[index])
        unit = _unit(view)
        values = features(view.image, unit)
        for pool, mask in zip(pools, _seeds(view, project_head(view, head), unit), strict=True):
            found = values[mask]
            pool.append(found[rng.permutation(len(found))[: SAMPLES // len(chosen)]])
    hair, skin, cloth = (np.concatenate(pool).astype(np.float64) for pool in pools)
    mixtures = tuple(_trimmed(samples, seed) for samples in (hair, in_any_shade(skin, rng), cloth))
    subject = Subject(mixtures, np.full(len(head.scalp), np.nan))
    return _refine(views, chosen, head, subject, rng, seed)


def _trimmed(samples: Float[np.ndarray, "n d"], seed: int) -> Mixture:
    """A mixture of the bulk of the samples: the least likely fifth (strands over skin, gaps) is dropped once."""
    if len(samples) < 20:
        raise CaptureError("hair masks", "too little of the head is seen in the mattes", "check the mattes and the head fit")
    mixture = fit_mixture(samples, np.ones(len(samples)), seed)
    likely = mixture.log_likelihood(samples)
    kept = samples[likely > np.quantile(likely, 0.2)]
    return fit_mixture(kept, np.ones(len(kept)), seed)


def _refine(
    views: Sequence[LabelView], chosen: list[int], head: HeadRegions, subject: Subject, rng: np.random.Generator, seed: int
) -> Subject:
    """Retrain on the model's own answers and count how often each vertex is covered by hair."""
    pools: list[list[np.ndarray]] = [[] for _ in CLASSES]
    covered, seen = np.zeros(len(head.scalp)), np.zeros(len(head.scalp))
    for index in chosen:
        view = _working(views[index])
        unit = _unit(view)
        place, values = project_head(view, head), features(view.image, unit)
        share = posterior(values, prior(place, None, unit), subject.mixtures)
        opaque = view.alpha > 0.98
        for k, pool in enumerate(pools):
            found = values[opaque & (share[..., k] > 0.9)]
            pool.append(found[rng.permutation(len(found))[: SAMPLES // len(chosen)]])
        on_head = opaque & (place.outside == 0)
        covered += np.bincount(place.vertex[on_head], share[on_head][:, 0], len(covered))
        seen += np.bincount(place.vertex[on_head], minlength=len(covered))
    mixtures = tuple(fit_mixture(np.concatenate(pool).astype(np.float64), np.ones(sum(map(len, pool))), seed) for pool in pools)
    guess = np.where(head.face, 0.1, np.where(head.scalp > 0.5, 0.9, 0.45))
    return Subject(mixtures, (covered + 3 * guess) / (seen + 3))


def posterior(
    values: Float[np.ndarray, "H W 4"], by_place: Float[np.ndarray, "H W 3"], mixtures: tuple[Mixture, ...]
) -> Float[np.ndarray, "H W 3"]:
    """Probability of each class from appearance and place."""
    flat = values.reshape(-1, FEATURES).astype(np.float64)
    score = TEMPER * np.stack([m.log_likelihood(flat) for m in mixtures], -1).reshape(by_place.shape) + np.log(by_place)
    score -= score.max(-1, keepdims=True)
    share = np.exp(score)
    return (share / share.sum(-1, keepdims=True)).astype(np.float32)


def witnessed(values: Float[np.ndarray, "H W 4"], alpha: Float[np.ndarray, "H W"], unit: float) -> Float[np.ndarray, "H W 4"]:
    """Features that the plate has no share in: pixels at and near the rim take those of the nearest opaque pixel."""
    opaque = cv2.erode((alpha > 0.95).astype(np.uint8), np.ones((2 * round(2 * unit) + 1,) * 2)) > 0
    if not opaque.any():
        return values
    nearest = scipy.ndimage.distance_transform_edt(~opaque, return_distances=False, return_indices=True)
    return values[tuple(nearest)]


def label_view(view: LabelView, head: HeadRegions, subject: Subject) -> Labels:
    """Label one view of a subject that was learned."""
    if view.image.shape[:2] != view.alpha.shape:
        raise CaptureError(f"camera {view.camera.serial}", "image and matte differ in size")
    hair, face = _solve(_working(view), head, subject, view)
    return compose(hair, face > FACE_SHARE, view.alpha)


def _solve(
    view: LabelView, head: HeadRegions, subject: Subject, full: LabelView
) -> tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
    """Share of hair and of the face region, solved at the working size, at the size of ``full``."""
    unit = _unit(view)
    place = project_head(view, head)
    values = witnessed(features(view.image, unit), view.alpha, unit)
    share = posterior(values, prior(place, subject.covered, unit), subject.mixtures)[..., 0]
    guide, radius = view.image.astype(np.float32) / 255, max(2, round(SMOOTHING_RADIUS * unit))
    hair = _without_islands(np.clip(guided_filter(guide, share, radius, SMOOTHING_EDGE), 0, 1), place, unit)
    bare = np.clip(place.face + place.scalp, 0, 1)  # hair that covers it takes its pixels later
    face = np.where(place.outside < 8 * unit, bare, 0).astype(np.float32)
    if full is not view:
        large = full.image.astype(np.float32) / 255
        hair = guided_upsample(large, guide, hair, 2, SMOOTHING_EDGE)
        face = cv2.resize(face, full.alpha.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return np.clip((hair - HAIR_MIDDLE) / HAIR_RAMP + 0.5, 0, 1), face


def _without_islands(hair: Float[np.ndarray, "H W"], place: Projected, unit: float) -> Float[np.ndarray, "H W"]:
    """Brows, lashes, nostrils, the open mouth, a shaded collar: small dark islands on the head that touch no other hair."""
    parts, count = scipy.ndimage.label(hair > HAIR_MIDDLE)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    inside = scipy.ndimage.binary_fill_holes((place.face > 0.5) & (place.outside == 0))  # with the open mouth
    within, skin = (np.bincount(parts.ravel(), mask.ravel(), count + 1) / sizes.clip(1) for mask in (inside, place.outside == 0))
    island = ((within > 0.6) & (sizes < (40 * unit) ** 2)) | ((skin > 0.6) & (sizes < (20 * unit) ** 2))
    island[0] = False
    near = cv2.dilate(island[parts].astype(np.uint8), np.ones((round(6 * unit) | 1,) * 2)) > 0
    return np.where(near & (place.outside == 0), np.minimum(hair, 0.2), hair)


def label_views(views: Sequence[LabelView], head: HeadRegions, seed: int = 0) -> Iterator[Labels]:
    """Learn from the views (any sequence that loads a view when it is indexed), then yield the labels of each in order."""
    subject = learn(views, head, seed)
    for index in range(len(views)):
        yield label_view(views[index], head, subject)
