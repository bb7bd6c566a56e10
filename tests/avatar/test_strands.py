"""Strand hair: segments become Gaussians, directions become image angles, states survive a round trip."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headcast.avatar.strands import (
    DIRECTION,
    LABELS,
    RGB,
    StrandHair,
    axial_quaternions,
    projected_orientation,
    screen_features,
    segments,
    skull_to_world,
)
from headcast.errors import BadFile
from headcast.geometry.rotations import axis_angle_to_matrix, quaternion_to_matrix


def wavy(count: int = 7, points: int = 9, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(count, points, 3, generator=generator) + torch.tensor((0.0, -2.0, 0.0))
    return 0.1 * torch.randn(count, 1, 3, generator=generator) + 0.004 * steps.cumsum(1)


def test_quaternions_turn_x_onto_the_line() -> None:
    directions = torch.cat((segments(wavy(50)).directions.flatten(0, 1), torch.tensor([[-1.0, 0, 0], [1, 0, 0], [0, 0, 1]])))
    quaternions = axial_quaternions(directions)
    axes = quaternion_to_matrix(quaternions)[..., 0]
    assert torch.allclose(axes * torch.where(directions[:, :1] < 0, -1.0, 1.0), directions, atol=1e-5)
    assert quaternions.norm(dim=-1).min() >= 1


def test_gaussians_cover_their_segments() -> None:
    points = wavy(4, 6)
    hair = StrandHair(points, torch.tensor([0.3, 0.2, 0.1]), width=2e-4, opacity=0.9)
    gaussians = hair.gaussians(hair.points)
    assert gaussians.means.shape == (20, 3)
    assert torch.allclose(gaussians.means[0], points[0, :2].mean(0), atol=1e-6)
    assert torch.allclose(gaussians.scales[:, 0] * 2, (points[:, 1:] - points[:, :-1]).norm(dim=-1).flatten(), atol=1e-6)
    assert torch.allclose(gaussians.scales[:, 1:], torch.full((20, 2), 2e-4), rtol=1e-5)
    assert torch.allclose(gaussians.features[:, RGB], torch.tensor([0.3, 0.2, 0.1]).expand(20, 3))
    assert torch.equal(gaussians.features[:, LABELS], torch.tensor([0.0, 1.0]).expand(20, 2))
    opacity = gaussians.opacities.unflatten(0, (4, 5))
    assert bool((opacity.diff(dim=1) < 0).all()) and float(opacity.detach().max()) < 0.9


def test_roots_stay_and_everything_else_learns() -> None:
    hair = StrandHair(wavy(), torch.full((3,), 0.5), detail=3)
    gaussians = hair.gaussians(skull_to_world(hair.points, torch.eye(3), torch.zeros(3)), torch.tensor([0.0, 0.0, 1.0]))
    weights = [torch.randn(part.shape, generator=torch.Generator().manual_seed(2)) for part in gaussians]
    sum((part * weight).sum() for part, weight in zip(gaussians, weights, strict=True)).backward()
    for name, parameter in hair.named_parameters():
        assert parameter.grad is not None and bool(torch.isfinite(parameter.grad).all()), name
        assert float(parameter.grad.abs().max()) > 0, name
    assert torch.equal(hair.points[:, 0], hair.roots)


def test_point_gradients_agree_with_differences() -> None:
    points = wavy(2, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: axial_quaternions(segments(p).directions), (points,), atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, math.pi - 1e-3))
def test_the_angle_follows_the_convention(angle: float) -> None:
    """A line in the image plane along (sin a, cos a), x right and y down, has the angle a, seen head-on or off the axis."""
    direction = torch.tensor([[math.sin(angle), math.cos(angle), 0.0]]).expand(2, 3)
    cosine, sine = projected_orientation(direction, torch.tensor([[0.0, 0.0, 1.0], [0.2, -0.1, 2.0]]), torch.eye(4))
    assert torch.allclose(cosine, torch.full((2,), math.cos(2 * angle)), atol=1e-4)
    assert torch.allclose(sine, torch.full((2,), math.sin(2 * angle)), atol=1e-4)


def test_the_angle_is_that_of_the_projected_segment_and_has_no_sign() -> None:
    generator = torch.Generator().manual_seed(3)
    means, directions = 0.1 * torch.randn(40, 3, generator=generator), torch.randn(40, 3, generator=generator)
    directions = torch.nn.functional.normalize(directions, dim=-1)
    pose = torch.eye(4)
    pose[:3, :3], pose[2, 3] = axis_angle_to_matrix(torch.tensor([0.2, 0.4, -0.1])), 1.0

    def pixels(points: torch.Tensor) -> torch.Tensor:
        local = points @ pose[:3, :3].T + pose[:3, 3]
        return local[:, :2] / local[:, 2:]

    image = (pixels((means + 1e-3 * directions).double().float()) - pixels(means)) / 1e-3
    angle = torch.atan2(image[:, 0], image[:, 1])
    cosine, sine = projected_orientation(directions, means, pose)
    assert float((cosine - torch.cos(2 * angle)).abs().median()) < 0.01
    assert float((torch.cos(2 * angle) * cosine + torch.sin(2 * angle) * sine).min()) > 0.9
    assert torch.allclose(torch.stack(projected_orientation(-directions, means, pose)), torch.stack((cosine, sine)), atol=1e-6)


def test_a_direction_towards_the_camera_has_no_angle() -> None:
    cosine, sine = projected_orientation(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.0, 0.0, 1.0]]), torch.eye(4))
    assert abs(float(cosine)) < 1e-6 and abs(float(sine)) < 1e-6


def test_screen_features_are_what_is_splatted() -> None:
    hair = StrandHair(wavy(), torch.full((3,), 0.5))
    gaussians = hair.gaussians(hair.points + torch.tensor([0.0, 0.0, 2.0]))
    features = screen_features(gaussians, torch.eye(4))
    assert features.shape == (len(gaussians.means), 7)
    assert torch.equal(features[:, :5], gaussians.features[:, :5])
    pair = projected_orientation(gaussians.features[:, DIRECTION], gaussians.means, torch.eye(4))
    assert torch.equal(features[:, 5:], torch.stack(pair, dim=-1))


def test_a_state_rebuilds_the_hair() -> None:
    hair = StrandHair(wavy(), torch.full((3,), 0.5))
    with torch.no_grad():
        hair.free_points += 0.01
        hair.color += 0.1
    again = StrandHair.from_state(hair.state_dict())
    assert torch.equal(again.points, hair.points) and torch.equal(again.color, hair.color)
    assert torch.equal(again.rest_lengths, hair.rest_lengths)


def test_a_foreign_state_is_refused() -> None:
    state = StrandHair(wavy(), torch.full((3,), 0.5)).state_dict()
    with pytest.raises(BadFile, match="no anchors"):
        StrandHair.from_state({"points": torch.zeros(3)})
    with pytest.raises(BadFile, match="does not fit"):
        StrandHair.from_state({**state, "color": torch.zeros(2, 3)})
