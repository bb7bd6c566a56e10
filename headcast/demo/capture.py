"""From identity to bundle: pose every frame, move the hair, and write the geometry that rendering and ground truth start from."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from headcast.demo import bundle, cameras, guides, motion, performance, strands
from headcast.demo.distance import DistanceGrid, distance_grid
from headcast.demo.features import Brows, Eyes, Lashes, brows
from headcast.demo.garment import shirt
from headcast.demo.head import Subject, rigid_share
from headcast.demo.paint import paint
from headcast.demo.surfaces import at_barycentric, triangulate

if TYPE_CHECKING:
    from pathlib import Path

    from headcast.demo.guides import Guides

logger = logging.getLogger(__name__)
SUBSTEPS = 8
SKULL_LOW, BUST_LOW, BUST_WIDE, BUST_SHARE = -0.11, -0.30, 0.22, 0.5


def collision_grids(subject: Subject) -> dict[str, DistanceGrid]:
    """Signed distances to the head (moves rigidly) and to the bust (stays), both at rest."""
    middle = subject.rest[subject.triangles].mean(axis=1)
    narrow = np.abs(middle[:, 0]) < BUST_WIDE
    head = subject.triangles[(middle[:, 1] > SKULL_LOW) & narrow]
    still = rigid_share(middle) < BUST_SHARE
    body = subject.triangles[still & (middle[:, 1] > BUST_LOW) & narrow]
    return {"skull": distance_grid(subject.rest, head), "bust": distance_grid(subject.rest, body, margin=0.08, spacing=0.006)}


def write_bundle(root: Path) -> None:
    """Compute all geometry of the capture into ``root`` (about a minute)."""
    subject = Subject()
    grids = collision_grids(subject)
    grown = guides.grow(subject.rest, subject.normals, subject.triangles, grids["skull"], grids["bust"])
    rng = np.random.default_rng(3)
    rows, weights = guides.scalp_roots(subject.rest, subject.control_triangles, strands.STRANDS, rng)
    roots = at_barycentric(subject.rest, subject.control_triangles[rows], weights)
    recipe = strands.recipe(roots, grown.roots, grown.side, grown.length)
    about = {
        "frames": dict.fromkeys(performance.SEQUENCES, performance.FRAMES),
        "cameras": {
            serial: {"K": c.K.tolist(), "world_to_camera": c.world_to_camera.tolist(), "width": c.width, "height": c.height}
            for serial, c in cameras.rig().items()
        },
    }
    arrays = {**_static_arrays(subject), "root_triangle": rows.astype(np.int32), "root_barycentric": weights}
    bundle.save_static(root, arrays, recipe, grids, about)
    fittings = (brows(subject), Lashes(subject), Eyes(subject))
    for sequence in performance.SEQUENCES:
        _write_sequence(root, subject, grown, grids, fittings, sequence)


def _static_arrays(subject: Subject) -> dict[str, np.ndarray]:
    colours = paint(subject)
    cloth, cloth_triangles = shirt(subject)
    eyes = Eyes(subject)
    arrays = {
        "pivot": subject.pivot,
        "skin_rest": subject.rest.astype(np.float32),
        "skin_quads": subject.skin.quads.astype(np.int32),
        "skin_colour": colours.colour.astype(np.float32),
        "skin_regions": np.stack([colours.lips, colours.scalp, colours.face], axis=1).astype(np.float32),
        "shirt_vertices": cloth.astype(np.float32),
        "shirt_triangles": cloth_triangles.astype(np.int32),
        "eye_quads": eyes.sphere[1].astype(np.int32),
        "eye_points": eyes.sphere[0].astype(np.float32),
        "eye_polar": eyes.sphere[2].astype(np.float32),
        "eye_radius": np.array([eyes.radius["l"], eyes.radius["r"]]),
    }
    for name, part in subject.parts.items():
        arrays[f"{name}_quads"] = part.quads.astype(np.int32)
        arrays[f"{name}_rest"] = part.surface(subject.neutral).astype(np.float32)
    return arrays


def _write_sequence(
    root: Path,
    subject: Subject,
    grown: Guides,
    grids: dict[str, DistanceGrid],
    fittings: tuple[Brows, Lashes, Eyes],
    sequence: str,
) -> None:
    angles = performance.head_angles(sequence, SUBSTEPS)
    rotations = [performance.rotation(a) for a in angles]
    seconds = 1 / performance.SCENE_RATE / SUBSTEPS
    moved = motion.simulate(grown, rotations, subject.pivot, grids["skull"], grids["bust"], seconds)[::SUBSTEPS]
    for frame in range(performance.FRAMES):
        weights = performance.expression(sequence, frame, subject.names)
        arrays = _frame_arrays(subject, fittings, weights, rotations[frame * SUBSTEPS])
        arrays |= {"guides": moved[frame], "angles": angles[frame * SUBSTEPS], "expression": weights}
        bundle.save_frame(root, sequence, frame, arrays)
        logger.info("%s frame %d written", sequence, frame)


def _frame_arrays(
    subject: Subject, fittings: tuple[Brows, Lashes, Eyes], weights: np.ndarray, rotation: np.ndarray
) -> dict[str, np.ndarray]:
    brow_hairs, lashes, eyes = fittings
    base = subject.posed(weights, rotation)
    surface = subject.skin.surface(base)
    balls = {side: eyes.placed(side, base) for side in "lr"}
    return {
        "rotation": rotation,
        "skin": surface,
        **{name: part.surface(base) for name, part in subject.parts.items()},
        "eye_l": balls["l"][0],
        "eye_r": balls["r"][0],
        "brows": brow_hairs.points(surface, rotation),
        "lashes": lashes.points(surface, {side: balls[side][1] for side in "lr"}, rotation),
        "landmarks": subject.landmark_points(surface),
    }


def triangles_of(static: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Triangles of a part of the bundle."""
    key = "eye" if name.startswith("eye") else name
    return static["shirt_triangles"] if key == "shirt" else triangulate(static[f"{key}_quads"])
