"""Hair is a layer: recoloured, thinned, lengthened, and put on another head, where every strand is rooted and none is inside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from headcast.avatar.groom import DEEPEST
from headcast.avatar.hairstyles import lengthened, recolored, thinned, with_hair_of
from headcast.errors import CaptureError, HeadcastError
from headcast.formats.avatar_file import read_avatar, write_avatar
from headcast.geometry.meshes import closest_point
from headcast.stages.swap_hair import Inputs, run
from tests.ball import ball_avatar, tuft


def test_a_colour_is_the_mean_and_differences_stay() -> None:
    hair = tuft((0.4, 0.4, 0.4))
    with torch.no_grad():
        hair.color[::2] += 0.1
    changed = recolored(hair, torch.tensor([0.7, 0.2, 0.3]))
    assert torch.allclose(changed.color.mean(0), torch.tensor([0.7, 0.2, 0.3]), atol=1e-6)
    assert torch.allclose(changed.color - changed.color.mean(0), hair.color - hair.color.mean(0), atol=1e-6)
    assert torch.equal(changed.points, hair.points) and torch.equal(changed.log_width, hair.log_width)


def test_thinning_keeps_whole_strands() -> None:
    hair = tuft()
    fewer = thinned(hair, 0.25)
    assert len(fewer.roots) == round(0.25 * len(hair.roots))
    rows = (fewer.points[:, None] == hair.points[None]).all(-1).all(-1)
    assert (rows.sum(1) == 1).all()
    with pytest.raises(HeadcastError, match=r"\(0, 1\]"):
        thinned(hair, 0.0)


def test_longer_strands_have_the_same_directions() -> None:
    hair = tuft()
    longer = lengthened(hair, 1.5)
    assert torch.allclose(longer.rest_lengths, 1.5 * hair.rest_lengths, atol=1e-6)
    assert torch.equal(longer.roots, hair.roots)
    with pytest.raises(HeadcastError):
        lengthened(hair, -1)


def test_hair_of_a_smaller_head_elsewhere_fits_this_one() -> None:
    avatar, other = ball_avatar(), ball_avatar()
    shift = torch.tensor([0.01, -0.02, 0.03])
    other.canonical = replace(other.canonical, vertices=0.8 * other.canonical.vertices + shift)
    assert other.hair is not None and avatar.hair is not None
    other.hair = lengthened(other.hair, 1.0)
    with torch.no_grad():
        other.hair.roots.mul_(0.8).add_(shift)
        other.hair.free_points.mul_(0.8).add_(shift)
        other.hair.color.fill_(0.3)
    swapped = with_hair_of(avatar, other)
    assert swapped.hair is not None and swapped.head is avatar.head
    assert len(swapped.hair.roots) > 0.9 * len(other.hair.roots)
    _, _, distance = closest_point(swapped.hair.roots, avatar.canonical.vertices, avatar.canonical.faces)
    assert distance.max() < 1e-4
    assert (avatar.canonical.skull_distance()(swapped.hair.points) > -DEEPEST).all()
    assert torch.allclose(swapped.hair.points.mean((0, 1)), avatar.hair.points.mean((0, 1)), atol=5e-3)
    assert torch.allclose(swapped.hair.color, torch.full((1,), 0.3))


def test_the_stage_names_the_hairs_origin_and_joins_the_bills(tmp_path: Path) -> None:
    bills = [{"name": "demo"}, {"name": "torch"}], [{"name": "own"}, {"name": "torch"}]
    for name, bill in zip("ab", bills, strict=True):
        write_avatar(tmp_path / f"{name}.pth", ball_avatar(), {"subject": name, "sequences": ["S"], "bill": bill})
    run(Inputs(tmp_path / "a.pth", tmp_path / "b.pth", tmp_path / "c.pth"), lambda *_: None)
    found = read_avatar(tmp_path / "c.pth")
    assert found.metadata["subject"] == "a" and found.metadata["hair_of"]["subject"] == "b"
    assert [entry["name"] for entry in found.metadata["bill"]] == ["demo", "torch", "own"]


def test_what_cannot_be_swapped_is_said() -> None:
    with pytest.raises(HeadcastError, match="no hair"):
        with_hair_of(ball_avatar(), ball_avatar(hair=False))
    far = ball_avatar()
    assert far.hair is not None
    with torch.no_grad():
        far.hair.roots.add_(1.0)
        far.hair.free_points.add_(1.0)
    with pytest.raises(CaptureError, match="no strand"):
        with_hair_of(ball_avatar(), far)
