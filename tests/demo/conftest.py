"""A toy subject: a ball with a few hairs in front of two small cameras, its bundle, pictures and ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headcast.demo import bundle, strands, truth, truth_cache
from headcast.demo.assemble import Sources
from headcast.demo.cameras import rig
from headcast.demo.distance import DistanceGrid
from headcast.demo.surfaces import catmull_clark

SERIALS = ("222200037", "222200040", "222200041", "222200046")
WIDTH, HEIGHT, FRAMES = 44, 64, 2
CUBE = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * 0.08
QUADS = np.array([(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])


def small_cameras() -> dict[str, dict]:
    """Four cameras of the rig at a tenth of its resolution."""
    cameras = {serial: rig()[serial].resize(WIDTH, HEIGHT) for serial in SERIALS}
    return {
        serial: {"K": camera.K.tolist(), "world_to_camera": camera.world_to_camera.tolist(), "width": WIDTH, "height": HEIGHT}
        for serial, camera in cameras.items()
    }


def small_recipe(monkeypatch: pytest.MonkeyPatch, count: int = 60) -> tuple[strands.Recipe, np.ndarray]:
    """Hairs on the top of the ball, and the guides they follow (G P 3, m)."""
    monkeypatch.setattr(strands, "LOCKS", 6)
    monkeypatch.setattr(strands, "CLUMPS", 15)
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(count, 3)) * [1, 0.3, 1] + [0, 1.2, 0]
    roots *= 0.07 / np.linalg.norm(roots, axis=1, keepdims=True)
    guide_roots = roots[:12]
    fall = np.linspace(0, 1, 32)[:, None]
    guides = guide_roots[:, None] + fall * (guide_roots[:, None] * [0.9, 0, 0.9] + [0, -0.09, 0])
    return strands.recipe(roots, guide_roots, np.sign(guide_roots[:, 0]), np.full(12, 0.1)), guides


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    """Bundle, pictures of a brown subject over a striped studio, and the cache for their ground truth (empty)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(truth, "ROOT_RADIUS", 4e-3)
        patch.setattr(truth, "TIP_RADIUS", 2e-3)
        yield make_toy(tmp_path_factory.mktemp("toy"), patch)


def make_toy(folder: Path, patch: pytest.MonkeyPatch) -> Sources:
    """Write the toy's bundle and pictures."""
    recipe, guides = small_recipe(patch)
    subdivision, finer = catmull_clark(QUADS, len(CUBE))
    ball = subdivision @ CUBE
    far = DistanceGrid(np.full((2, 2, 2), 1.0, np.float32), np.full(3, 50.0), 0.01)
    part = ball * 0.1 + [0, -0.03, 0.05]
    static = {
        "pivot": np.array([0, -0.05, 0.0]),
        "skin_rest": ball.astype(np.float32),
        "skin_quads": finer.astype(np.int32),
        "skin_regions": np.tile([0.0, 0.0, 1.0], (len(ball), 1)).astype(np.float32),
        "shirt_vertices": (ball * 1.2 - [0, 0.17, 0]).astype(np.float32),
        "shirt_triangles": np.concatenate([finer[:, [0, 1, 2]], finer[:, [0, 2, 3]]]).astype(np.int32),
        "root_triangle": np.zeros(len(recipe.roots), np.int32),
        "root_barycentric": np.tile([1.0, 0, 0], (len(recipe.roots), 1)),
        **{f"{name}_quads": finer.astype(np.int32) for name in ("eye", "teeth", "tongue")},
    }
    root = folder / "geometry"
    about = {"frames": {"EXP-1-head": FRAMES, "HAIR": FRAMES}, "cameras": small_cameras()}
    bundle.save_static(root, static, recipe, {"skull": far, "bust": far}, about)
    for sequence in about["frames"]:
        for frame in range(FRAMES):
            shift = np.array([0.01 * frame, 0, 0])
            moving = dict.fromkeys(("teeth", "tongue", "eye_l", "eye_r"), part + shift)
            arrays = {"skin": ball + shift, "guides": guides + shift, "rotation": np.eye(3), "angles": np.zeros(3), **moving}
            arrays |= {"expression": np.zeros(52), "landmarks": ball[np.arange(68) % len(ball)] + shift}
            arrays |= {name: np.full((1, 5, 3), -0.01) for name in ("brows", "lashes")}
            bundle.save_frame(root, sequence, frame, arrays)
    pictures = folder / "pictures"
    pictures.mkdir()
    for serial in SERIALS:
        studio = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
        studio[:, ::4, :3] = 90
        Image.fromarray(studio).save(pictures / f"plate_{serial}.webp", lossless=True)
        for sequence in about["frames"]:
            for frame in range(FRAMES):
                subject = np.full((HEIGHT, WIDTH, 4), (140, 110, 90, 255), np.uint8)
                Image.fromarray(subject).save(pictures / f"{sequence}_{frame:04d}_{serial}.webp", lossless=True)
    return Sources(root, pictures, truth_cache.TruthCache(folder / "truth"))
