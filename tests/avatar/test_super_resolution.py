"""Four times the size: the network starts as plain enlargement, parts equal the whole, avatars keep and use it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import interpolate

from headcast.avatar.avatar import Avatar
from headcast.avatar.hairstyles import with_hair_of
from headcast.avatar.super_resolution import SuperResolution
from headcast.errors import BadFile
from headcast.training.sharpening import SharpViews
from tests.ball import ball_avatar

PLANES = torch.rand(9, 16, 24, generator=torch.Generator().manual_seed(1))


def network(seed: int = 0, busy: bool = True) -> SuperResolution:
    made = SuperResolution(9, width=16)
    random = torch.Generator().manual_seed(seed)
    made.reset(random)
    if busy:
        torch.nn.init.normal_(made.high.weight, std=0.1, generator=random)
    return made


def test_it_starts_as_plain_enlargement() -> None:
    with torch.no_grad():
        inside = (slice(None), slice(4, -4), slice(4, -4))
        plain = interpolate(PLANES[None, :3], scale_factor=4, mode="bilinear")[0]
        assert torch.allclose(network(busy=False)(PLANES)[inside], plain[inside], atol=1e-6)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (8, 16), (4, 8), (8, 0)])
def test_a_part_is_as_in_the_whole(row: int, column: int) -> None:
    with torch.no_grad():
        whole = network()(PLANES)[:, 4 * row : 4 * row + 32, 4 * column : 4 * column + 32]
        part = network().tile(PLANES, torch.tensor(row), torch.tensor(column), 8)
    assert part.shape == (3, 32, 32) and torch.allclose(part, whole, atol=1e-5)
    assert (part - network(busy=False).tile(PLANES, row, column, 8)).abs().max() > 1e-2


def test_every_part_of_a_view_comes_equally_often() -> None:
    sharp = SharpViews(torch.zeros(2, 1024, 1024, 3, dtype=torch.uint8), torch.ones(2, 1024, 1024, dtype=torch.bool))
    assert (sharp.splatted, sharp.side) == (256, 128)
    seen = [sharp.corner(1, turn, seed=3) for turn in range(40)]
    assert {seen.count(corner) for corner in seen} == {10} and len(set(seen)) == 4
    assert seen[:4] != seen[4:8] or seen[4:8] != seen[8:12]


def test_parts_are_cut_from_the_right_place() -> None:
    images = torch.arange(16 * 16 * 3).reshape(1, 16, 16, 3).to(torch.uint8)
    sharp = SharpViews(images, torch.ones(1, 16, 16, dtype=torch.bool))
    half = replace(sharp, images=images.repeat(1, 32, 32, 1), visible=torch.ones(1, 512, 512, dtype=torch.bool))
    image, visible = half.part(torch.tensor(0), torch.tensor(0), torch.tensor(0))
    assert image.shape[:2] == visible.shape == (512, 512)
    assert torch.equal((image[:16, :16] * 255).round().to(torch.uint8), images[0])


def sharp_avatar() -> Avatar:
    plain = ball_avatar()
    assert plain.hair is not None
    plain.head.detail = torch.nn.Parameter(torch.rand(len(plain.head), 2))
    plain.hair.detail = torch.nn.Parameter(torch.rand(len(plain.hair.roots), 2))
    plain.super_resolution = network()
    return plain


def test_an_avatar_films_at_the_size_that_is_asked_for() -> None:
    avatar = sharp_avatar()
    camera = replace(avatar.frontal_camera(256), width=254, height=231)
    picture = avatar.film(avatar.pose(), camera)
    assert picture.image.shape == (231, 254, 3) and picture.alpha.shape == picture.hair.shape == picture.depth.shape == (231, 254)
    plain = ball_avatar().film(avatar.pose(), camera)
    overlap = torch.minimum(plain.alpha, picture.alpha).sum() / torch.maximum(plain.alpha, picture.alpha).sum()
    assert overlap > 0.9, "the subject is where it would be without"


def test_it_is_kept_with_the_avatar() -> None:
    avatar = sharp_avatar()
    again = Avatar.unpack(*avatar.pack())
    with torch.no_grad():
        one, two = (each.render(camera=each.frontal_camera(32)).image for each in (avatar, again))
    assert torch.equal(one, two)
    broken = {name: tensor[:1] for name, tensor in network().state_dict().items()}
    for state in ({}, broken):
        with pytest.raises(BadFile, match="super-resolution"):
            SuperResolution.from_state(state)


def test_the_hair_of_another_avatar_fits() -> None:
    swapped = with_hair_of(sharp_avatar(), ball_avatar())
    assert swapped.hair is not None and swapped.hair.detail.shape[1] == 2 and not swapped.hair.detail.any()
    assert swapped.render(camera=swapped.frontal_camera(32)).image.isfinite().all()
