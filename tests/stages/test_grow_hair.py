"""grow_hair on the finished run: training starts with its strands, it makes the same again, and its product is a strand file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from headcast.avatar.groom import DEEPEST
from headcast.formats.avatar_file import read_avatar
from headcast.formats.hair_file import read_hair, read_hair_surface
from headcast.geometry.meshes import at_barycentric
from headcast.process.command import execute
from headcast.stages.grow_hair import Inputs, run
from headcast.stages.train_mesh_head import canonical_head
from tests.workflow.tiny import AVATAR, FOLDER

pytestmark = pytest.mark.workflow
HAIR = f"{FOLDER}/hair_strands/manifest.json"
SINGLE = {"model": "../../models/open.npz", "mesh-head": "mesh_head.pth"}
PRODUCTS = {"orientation": "orientation_maps"} | {n: n for n in ("images", "cameras", "background", "mattes", "masks", "params")}


def grow(finished: Path, output: Path, *more: str, **settings: object) -> int:
    """The stage by its command, with the settings of the finished run unless told otherwise."""
    given = read_hair(finished / HAIR)[1].facts["settings"] | settings
    files = SINGLE | {name: f"{folder}/manifest.json" for name, folder in PRODUCTS.items()}
    named = [word for name, path in files.items() for word in (f"--{name}", str((finished / FOLDER / path).resolve()))]
    return execute(Inputs, run, [*named, *more, "--settings", json.dumps({"hair": given}), "--output", str(output)])


def test_training_starts_with_these_strands(finished: Path) -> None:
    avatar, (groom, product) = read_avatar(finished / AVATAR), read_hair(finished / HAIR)
    assert avatar.hair is not None
    assert torch.equal(avatar.hair.anchors, groom.points)
    assert avatar.metadata["inputs"]["hair"] == product.digest
    assert avatar.metadata["config"]["hair"] == product.facts["settings"]


def test_every_strand_is_rooted_in_the_fitted_scalp_and_none_is_inside_the_head(finished: Path) -> None:
    groom, product = read_hair(finished / HAIR)
    head = canonical_head(finished / FOLDER / "params/manifest.json", finished / "results/models/open.npz")
    assert torch.allclose(groom.roots, at_barycentric(head.vertices, head.faces, groom.face, groom.barycentric), atol=1e-6)
    assert bool((head.scalp[head.faces[groom.face]] > 0.5).all())
    assert float(head.skull_distance()(groom.points).min()) >= -DEEPEST
    assert product.facts["strands"] == len(groom.points) == product.facts["settings"]["strands"]
    surface = read_hair_surface(finished / HAIR)
    assert surface is not None and len(surface.points) == product.facts["surface_voxels"]


def test_it_makes_the_same_again(finished: Path, tmp_path: Path) -> None:
    """Bit for bit with as many threads; the job of the finished run may have had others."""
    places = [tmp_path / name / "manifest.json" for name in "ab"]
    assert [grow(finished, place) for place in places] == [0, 0]
    (again, product), (_, once_more), (_, before) = (read_hair(place) for place in (*places, finished / HAIR))
    assert product.digest == once_more.digest
    figures = [{k: v for k, v in p.facts.items() if k in ("views", "wanted", "settings", "initialiser")} for p in (product, before)]
    assert figures[0] == figures[1]
    assert len(again.points) == before.facts["strands"]


def test_its_strands_can_be_taken_from_a_file(finished: Path, tmp_path: Path) -> None:
    file = (finished / HAIR).with_name("strands.npz").resolve()
    settings = {"initialiser": "file", "file": str(file), "points_per_strand": 20, "strands": 150}
    assert grow(finished, tmp_path / "manifest.json", "--file", str(file), **settings) == 0
    (groom, product), (grown, _) = read_hair(tmp_path / "manifest.json"), read_hair(finished / HAIR)
    assert groom.points.shape == (150, 20, 3)
    assert float(torch.cdist(groom.roots.double(), grown.roots.double()).min(dim=1).values.max()) < 1e-5
    assert list(product.facts["file"].values()) == [read_hair(finished / HAIR)[1].members["strands.npz"]["sha256"]]
    assert read_hair_surface(tmp_path / "manifest.json") is None


def test_a_file_that_is_not_named_or_damaged_is_one_line(finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cut.hair"
    file.write_bytes(b"HAIR, but no more")
    settings = {"initialiser": "file", "file": str(file)}
    assert grow(finished, tmp_path / "manifest.json", **settings) == 2
    assert grow(finished, tmp_path / "manifest.json", "--file", str(file), **settings) == 4
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("headcast: ") and "wrote" not in line]
    assert "pass --file" in said[0] and "does not begin with the header" in said[1] and len(said) == 2
    assert not (tmp_path / "manifest.json").exists()
