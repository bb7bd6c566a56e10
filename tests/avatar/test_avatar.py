"""One pass for all layers, hair that comes off, poses by name and number, and packing that loses nothing."""

from __future__ import annotations

import pytest
import torch

from headcast.avatar.avatar import Avatar
from headcast.avatar.picture import Rendered
from headcast.errors import HeadcastError
from headcast.geometry.rotations import axis_angle_to_matrix
from tests.ball import ball_avatar, camera

AVATAR, VIEW = ball_avatar(), camera()


def equal(one: Rendered, two: Rendered) -> bool:
    return all(torch.equal(getattr(one, name), getattr(two, name)) for name in ("image", "alpha", "hair", "depth"))


def test_a_frontal_picture_shows_the_head_in_the_middle() -> None:
    picture = AVATAR.render()
    size = picture.image.shape[0]
    assert picture.image.shape == (size, size, 3) and picture.alpha.shape == picture.hair.shape == picture.depth.shape == (
        size,
        size,
    )
    middle = size // 2
    assert picture.alpha[middle, middle] > 0.9
    assert abs(float(picture.depth[middle, middle]) - 0.9) < 0.02
    assert torch.allclose(picture.image[middle, middle], torch.tensor([0.8, 0.5, 0.3]), atol=0.05)
    assert picture.alpha[0, 0] == 0 and not picture.image[0, 0].any()


def test_hair_is_a_layer_that_comes_off() -> None:
    with_hair, bald = AVATAR.render(camera=VIEW), AVATAR.render(camera=VIEW, hair=False)
    assert with_hair.hair.sum() > 30 and not bald.hair.any()
    hair = with_hair.hair > 0.7
    assert (with_hair.image[hair].mean(0) - torch.tensor([0.1, 0.6, 0.2])).abs().max() < 0.15
    assert equal(bald, Avatar(AVATAR.canonical, AVATAR.head, AVATAR.expression_names).render(camera=VIEW))


def test_upright_strands_have_orientation_zero() -> None:
    picture = AVATAR.render(camera=VIEW)
    pair = picture.orientation[picture.hair > 0.7].mean(0)
    assert pair[0] > 0.9 * pair.norm() and pair.norm() > 0.6


def test_head_and_hair_occlude_each_other_in_one_pass() -> None:
    behind = AVATAR.render(camera=camera(), head_pose=[torch.pi / 2, 0, 0, 0, 0, 0])
    away = AVATAR.render(camera=camera(), head_pose=[-torch.pi / 2, 0, 0, 0, 0, 0])
    assert behind.hair.sum() > 5 * away.hair.sum()


def test_units_are_given_by_name_or_as_a_vector() -> None:
    by_name, by_number = AVATAR.render({"jawOpen": 0.8}, camera=VIEW), AVATAR.render([0.8], camera=VIEW)
    assert equal(by_name, by_number)
    assert float(AVATAR.render(camera=VIEW).depth[24, 24] - by_name.depth[24, 24]) > 0.005
    with pytest.raises(HeadcastError, match="expression smile"):
        AVATAR.render({"smile": 1.0})
    with pytest.raises(HeadcastError, match="expected"):
        AVATAR.render([0.1, 0.2])
    with pytest.raises(HeadcastError, match="head_pose"):
        AVATAR.render(head_pose=[0.0])


def test_a_translation_moves_the_head_in_the_world() -> None:
    near = AVATAR.render(head_pose=[0, 0, 0, 0, 0, 0.1], camera=VIEW)
    assert float(AVATAR.render(camera=VIEW).depth[24, 24] - near.depth[24, 24]) == pytest.approx(0.1, abs=0.01)


def test_background_fills_what_the_avatar_leaves_open() -> None:
    black, white = AVATAR.render(camera=VIEW), AVATAR.render(camera=VIEW, background=1.0)
    assert torch.allclose(white.image[0, 0], torch.ones(3))
    assert torch.allclose(white.image, (black.image + (1 - black.alpha)[..., None]).clamp(0, 1), atol=1e-4)


def test_a_track_starts_at_rest_and_its_hair_lags() -> None:
    angles = torch.tensor([0.0, 0.4, 0.4])
    rotations = axis_angle_to_matrix(torch.stack([0 * angles, 0 * angles, angles], dim=-1))
    film = list(AVATAR.animate(torch.zeros(3, 1), rotations, torch.zeros(3, 3), torch.tensor([0.0, 0.05, 3.0]), VIEW))
    assert equal(film[0], AVATAR.render(camera=VIEW))
    rigid = AVATAR.film(AVATAR.pose(None, [0, 0, 0.4, 0, 0, 0]), VIEW)
    late, settled = ((picture.hair - rigid.hair).abs().sum() for picture in film[1:])
    assert late > 2 * settled
    bald = list(AVATAR.animate(torch.zeros(3, 1), rotations, torch.zeros(3, 3), torch.tensor([0.0, 0.05, 3.0]), VIEW, hair=False))
    assert not any(picture.hair.any() for picture in bald)


def test_packing_loses_nothing() -> None:
    AVATAR.track = {"HAIR": {"time": torch.arange(3.0)}}
    structure, tensors = AVATAR.pack()
    again = Avatar.unpack(structure, tensors)
    assert equal(again.render({"jawOpen": 0.5}, camera=VIEW), AVATAR.render({"jawOpen": 0.5}, camera=VIEW))
    assert again.expression_names == AVATAR.expression_names and torch.equal(again.track["HAIR"]["time"], torch.arange(3.0))
    assert again.dynamics is not None and again.dynamics.values() == AVATAR.dynamics.values()
    with pytest.raises(HeadcastError, match="names for"):
        Avatar(AVATAR.canonical, AVATAR.head, ["one", "two"])
