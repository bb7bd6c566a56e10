"""Three-dimensional ground truth of the demo: landmarks, head motion, expression, surface, strands.

The surface is that of the control mesh's vertices after one level of Catmull–Clark subdivision, so they lie on what is rendered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headcast.demo.head import rigid_share
from headcast.demo.truth_files import strand_codes, write_archive
from headcast.heads import makehuman

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Int

    from headcast.demo.bundle import Geometry

STRANDS, STRAND_SEED = 2000, 11


def control_quads(finer: Int[np.ndarray, "R 4"]) -> Int[np.ndarray, "Q 4"]:
    """The quads that Catmull–Clark subdivided: a finer quad's first corner is the coarse vertex, in four blocks of Q."""
    return finer[:, 0].reshape(4, -1).T


def chosen_strands(geometry: Geometry) -> Int[np.ndarray, "n"]:
    """The strands that are kept, the same ones everywhere."""
    count = len(geometry.recipe.roots)
    return np.sort(np.random.default_rng(STRAND_SEED).choice(count, min(STRANDS, count), replace=False))


def write_head(geometry: Geometry, root: Path) -> None:
    """``head.npz``: the neutral mesh, its topology, what the expression weights mean, where the strands sit."""
    path, static = root / "head.npz", geometry.static
    if path.exists():
        return
    quads = control_quads(static["skin_quads"])
    rest = static["skin_rest"][: quads.max() + 1].astype(np.float64)
    chosen = chosen_strands(geometry)
    arrays = {
        "rest_vertices": rest.astype(np.float32),
        "faces": quads.astype(np.int32),
        "skin_triangles": np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32),
        "head_weight": rigid_share(rest).astype(np.float32),
        "pivot": static["pivot"],
        "expression_names": np.array(tuple(makehuman.face_units())),
        "strand_root_triangle": static["root_triangle"][chosen],
        "strand_root_barycentric": static["root_barycentric"][chosen].astype(np.float32),
    }
    write_archive(path, arrays)


def write_geometry(geometry: Geometry, root: Path, sequence: str) -> None:
    """``geometry.npz`` of a sequence, the keys of `capture-synth-1`."""
    path = root / sequence / "geometry.npz"
    if path.exists():
        return
    frames = [geometry.frame(sequence, frame) for frame in range(geometry.frames[sequence])]
    rotation, pivot = np.stack([frame["rotation"] for frame in frames]), geometry.static["pivot"]
    count = int(geometry.static["skin_quads"][:, 0].max()) + 1
    arrays = {
        "landmarks_3d": np.stack([frame["landmarks"] for frame in frames]).astype(np.float32),
        "head_rotation": rotation,
        "head_translation": pivot - rotation @ pivot,
        "yaw_pitch_roll_deg": np.stack([frame["angles"] for frame in frames]),
        "expression": np.stack([frame["expression"] for frame in frames]).astype(np.float32),
        "vertices": np.stack([np.rint(frame["skin"][:count] * 1e5) / 1e5 for frame in frames]).astype(np.float32),
    }
    write_archive(path, arrays)


def write_strands(geometry: Geometry, root: Path, sequence: str) -> None:
    """``strands.npz`` of a sequence: the chosen strands in every frame."""
    path = root / sequence / "strands.npz"
    if path.exists():
        return
    chosen, count = chosen_strands(geometry), geometry.frames[sequence]
    strands = np.stack([geometry.strands(geometry.frame(sequence, frame))[chosen] for frame in range(count)])
    write_archive(path, strand_codes(strands))
