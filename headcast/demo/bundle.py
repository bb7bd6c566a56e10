"""The demo subject's geometry as a folder of npz files: all that rendering and ground truth need.

``static.npz`` holds what never changes (meshes, attributes, the strands' recipe, distance grids, cameras),
``{sequence}_{frame}.npz`` what moves. Strands are stored as their guides; `Geometry.strands` builds them with NumPy alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from headcast.demo.distance import DistanceGrid
from headcast.demo.strands import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float

FRAME_FILE = "{sequence}_{frame:04d}.npz"


@dataclass(frozen=True)
class Geometry:
    """An opened bundle. ``static`` maps names to arrays; ``cameras`` serial → K, world_to_camera, width, height."""

    root: Path
    static: dict[str, np.ndarray]
    cameras: dict[str, dict[str, Any]]
    frames: dict[str, int]
    recipe: Recipe
    skull: DistanceGrid
    bust: DistanceGrid

    def frame(self, sequence: str, frame: int) -> dict[str, np.ndarray]:
        """Arrays of one frame: posed vertices by part, guides, brows, lashes, rotation."""
        with np.load(self.root / FRAME_FILE.format(sequence=sequence, frame=frame)) as archive:
            return {name: archive[name].astype(np.float64) for name in archive.files}

    def strands(self, frame: dict[str, np.ndarray]) -> Float[np.ndarray, "S P 3"]:
        """All hair of a frame (m, world), root first."""
        return self.recipe.build(frame["guides"], frame["rotation"], self.static["pivot"], self.skull, self.bust)


def save_static(
    root: Path, arrays: dict[str, np.ndarray], recipe: Recipe, grids: dict[str, DistanceGrid], about: dict[str, Any]
) -> None:
    """Write ``static.npz``; ``about`` holds cameras and frame counts."""
    packed = dict(arrays)
    packed |= {f"recipe_{name}": _small(value) for name, value in asdict(recipe).items()}
    for name, grid in grids.items():
        packed |= {
            f"{name}_values": grid.values.astype(np.float16),
            f"{name}_lower": grid.lower,
            f"{name}_spacing": np.array(grid.spacing),
        }
    root.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(root / "static.npz", about=np.array(json.dumps(about)), **packed)


def save_frame(root: Path, sequence: str, frame: int, arrays: dict[str, np.ndarray]) -> None:
    """Write one frame's arrays as float32 (rotations as float64)."""
    packed = {name: value if name == "rotation" else value.astype(np.float32) for name, value in arrays.items()}
    np.savez_compressed(root / FRAME_FILE.format(sequence=sequence, frame=frame), **packed)


def open_bundle(root: Path) -> Geometry:
    """Open a folder written by `save_static` and `save_frame`."""
    with np.load(root / "static.npz") as archive:
        static = {name: archive[name] for name in archive.files}
    about = json.loads(str(static.pop("about")))
    recipe = Recipe(**{field.name: _full(static.pop(f"recipe_{field.name}")) for field in fields(Recipe)})
    grids = [
        DistanceGrid(static.pop(f"{n}_values").astype(np.float32), static.pop(f"{n}_lower"), float(static.pop(f"{n}_spacing")))
        for n in ("skull", "bust")
    ]
    return Geometry(root, static, about["cameras"], about["frames"], recipe, *grids)


def _small(value: np.ndarray) -> np.ndarray:
    return value.astype(np.int32) if np.issubdtype(value.dtype, np.integer) else value.astype(np.float32)


def _full(value: np.ndarray) -> np.ndarray:
    return value.astype(np.int64) if np.issubdtype(value.dtype, np.integer) else value.astype(np.float64)
