"""The product of grow_hair: what is written is read, what contradicts itself is one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from headcast.avatar.groom import Groom, Surface
from headcast.errors import BadFile
from headcast.formats.hair_file import KIND, read_hair, read_hair_surface, write_hair
from headcast.formats.manifest import read_product, write_product

RANDOM = torch.Generator().manual_seed(0)
SHARES = torch.rand(6, 3, generator=RANDOM)
GROOM = Groom(
    points=torch.randn(6, 5, 3, generator=RANDOM),
    face=torch.arange(6),
    barycentric=SHARES / SHARES.sum(1, keepdim=True),
    color=torch.rand(6, 3, generator=RANDOM),
    width=4e-4,
)
SURFACE = Surface(torch.randn(9, 3), torch.nn.functional.normalize(torch.randn(9, 3), dim=-1), torch.rand(9))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = write_hair(tmp_path / "hair_strands/manifest.json", GROOM, {"initialiser": "grow", "inside_head": 0.0}, SURFACE)
    groom, product = read_hair(path)
    for name in ("points", "face", "barycentric", "color"):
        assert torch.equal(getattr(groom, name), getattr(GROOM, name)), name
    assert groom.width == pytest.approx(GROOM.width)
    assert torch.equal(groom.roots, GROOM.points[:, 0])
    assert product.facts == {"initialiser": "grow", "inside_head": 0.0}
    surface = read_hair_surface(path)
    assert surface is not None
    assert torch.equal(surface.points, SURFACE.points)
    assert torch.allclose(surface.directions, SURFACE.directions, atol=1e-3)


def test_the_same_strands_are_the_same_bytes(tmp_path: Path) -> None:
    paths = [write_hair(tmp_path / name / "manifest.json", GROOM, {}, SURFACE) for name in "ab"]
    assert paths[0].with_name("strands.npz").read_bytes() == paths[1].with_name("strands.npz").read_bytes()
    assert read_product(paths[0], KIND).digest == read_product(paths[1], KIND).digest


def test_strands_of_a_file_have_no_surface(tmp_path: Path) -> None:
    assert read_hair_surface(write_hair(tmp_path / "manifest.json", GROOM, {})) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"points": torch.full((6, 5, 3), torch.nan)}, "points holds values that are not finite"),
        ({"points": torch.zeros(6, 1, 3)}, "no strand of two points"),
        ({"points": torch.zeros(5, 5, 3)}, "face has shape"),
        ({"points": torch.zeros(6, 5, 2)}, "points has shape"),
        ({"face": torch.arange(6) - 1}, "negative faces"),
        ({"barycentric": torch.full((6, 3), 0.5)}, "barycentrics outside"),
        ({"barycentric": torch.tensor([[-0.5, 1.0, 0.5]] * 6)}, "barycentrics outside"),
        ({"color": torch.full((6, 3), 1.5)}, "colours outside"),
        ({"width": 0.0}, "a width that is not positive"),
    ],
)
def test_strands_that_contradict_themselves_are_refused(changes: dict, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=says) as caught:
        write_hair(tmp_path / "manifest.json", replace(GROOM, **changes), {})
    assert "run grow_hair again" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "manifest.json").exists()


def test_a_product_without_an_array_and_a_cut_one_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with write_product(path, KIND) as writer:
        writer.add_arrays("strands.npz", points=GROOM.points.numpy())
    with pytest.raises(BadFile, match="has no face"):
        read_hair(path)
    write_hair(path, GROOM, {})
    member = path.with_name("strands.npz")
    member.write_bytes(member.read_bytes()[:-20])
    with pytest.raises(BadFile, match="differs from its manifest"):
        read_hair(path)
