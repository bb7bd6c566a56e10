"""Gaussians follow the surface they are bound to, stay within their bounds and keep their look when they are split."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headcast.avatar.appearance import ConditionedMLP
from headcast.avatar.gaussian_head import FARTHEST, LARGEST, SMALLEST, GaussianHead, HeadPose, corner_turns, turn_from_z
from headcast.errors import BadFile
from headcast.geometry.rotations import axis_angle_to_matrix, quaternion_to_matrix
from headcast.rendering.splat import render
from tests.ball import camera, canonical_ball, gaussian_ball, moved

CANONICAL = canonical_ball()
REST = HeadPose(torch.zeros(1), torch.eye(3), torch.zeros(3))


def test_at_rest_the_gaussians_are_the_seeds() -> None:
    head = gaussian_ball(CANONICAL)
    gaussians = head.gaussians(CANONICAL, REST)
    assert torch.allclose(gaussians.means, head.seed, atol=1e-6)
    assert torch.allclose(
        quaternion_to_matrix(gaussians.quats)[:, :, 2], head.seed / head.seed.norm(dim=-1, keepdim=True), atol=1e-4
    )
    assert torch.equal(gaussians.features[:, 3], torch.ones(len(head)))
    assert not gaussians.features[:, 4:].any()


@settings(max_examples=10, deadline=None)
@given(st.floats(-0.5, 1.5))
def test_an_expression_moves_a_gaussian_like_the_surface_below_it(weight: float) -> None:
    head = gaussian_ball(CANONICAL)
    means = head.gaussians(CANONICAL, REST._replace(expression=torch.tensor([weight]))).means
    basis = CANONICAL.interpolate(CANONICAL.expression_basis[0], CANONICAL.bind(head.seed))
    assert torch.allclose(means - head.seed, weight * basis * head.falloff[:, None], atol=1e-6)
    assert head.falloff.min() > 0.99


@settings(max_examples=10, deadline=None)
@given(st.tuples(*[st.floats(-1.0, 1.0)] * 6))
def test_the_skull_turns_rigidly_and_the_bust_stays(numbers: tuple[float, ...]) -> None:
    head, pose = gaussian_ball(CANONICAL), torch.tensor(numbers)
    rotation, translation = axis_angle_to_matrix(pose[:3]), pose[3:]
    rest, now = (head.gaussians(CANONICAL, p) for p in (REST, HeadPose(torch.zeros(1), rotation, translation)))
    skull, bust = head.weight > 0.999, head.weight < 0.001
    assert skull.any() and bust.any()
    assert torch.allclose(now.means[skull], rest.means[skull] @ rotation.T + translation, atol=1e-5)
    assert torch.allclose(now.means[bust], rest.means[bust], atol=1e-6)
    turned = rotation @ quaternion_to_matrix(rest.quats[skull])
    assert torch.allclose(quaternion_to_matrix(now.quats[skull]), turned, atol=1e-4)


def test_triangle_turns_recover_a_rotation() -> None:
    corners = torch.randn(50, 3, 3, generator=torch.Generator().manual_seed(1))
    rotation = axis_angle_to_matrix(torch.tensor([0.3, -0.8, 0.5]))
    turns = quaternion_to_matrix(corner_turns(corners, corners @ rotation.T))
    assert torch.allclose(turns, rotation.expand(50, 3, 3), atol=1e-4)


def test_a_disc_is_thin_along_its_normal() -> None:
    normals = torch.nn.functional.normalize(torch.randn(30, 3, generator=torch.Generator().manual_seed(2)), dim=-1)
    assert torch.allclose(quaternion_to_matrix(turn_from_z(normals))[:, :, 2], normals, atol=1e-5)
    head = gaussian_ball(CANONICAL)
    assert (head.log_scales.argmin(-1) == 2).all()


def test_residuals_vanish_without_expression_whatever_the_weights() -> None:
    network = ConditionedMLP(4, 3, 5)
    latent = torch.randn(20, 4, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(network(latent, torch.zeros(3)), torch.zeros(20, 5), atol=1e-7)
    assert network(latent, torch.ones(3)).abs().max() > 1e-3


def test_guard_ends_needles_clouds_and_strays() -> None:
    head = gaussian_ball(CANONICAL)
    with torch.no_grad():
        head.log_scales[0], head.log_scales[1] = -30.0, 5.0
        head.offset[2] = torch.tensor([0.3, 0.4, 0.0])
        head.quats.mul_(7.0)
    head.guard()
    scales = head.log_scales.exp()
    assert scales.min() >= SMALLEST * 0.999 and scales.max() <= LARGEST * 1.001
    assert math.isclose(float(head.offset[2].detach().norm()), FARTHEST, rel_tol=1e-5)
    assert torch.allclose(head.quats.norm(dim=-1), torch.ones(len(head)), atol=1e-5)


def test_relocation_keeps_the_count_and_nearly_the_picture() -> None:
    head, view = gaussian_ball(CANONICAL), camera(size=32)
    pose, K = torch.tensor(view.world_to_camera).float(), torch.tensor(view.K).float()

    def picture() -> torch.Tensor:
        return render(*head.gaussians(CANONICAL, REST), pose, K, 32, 32, backend="reference").image[..., :3].detach()

    behind = torch.nonzero(head.seed[:, 2] < -0.05)[:20, 0]
    before, parents = picture(), torch.nonzero(head.seed[:, 2] > 0.05)[:20, 0]
    color = head.color[parents].clone()
    head.relocate(behind, parents)
    assert len(head) == 400
    assert torch.equal(head.color[behind], color)
    assert (head.seed[behind] + head.offset[behind])[:, 2].min() > 0.02
    assert (picture() - before).abs().mean() < 0.01


def test_state_rebuilds_the_head_and_damage_is_named() -> None:
    head = gaussian_ball(CANONICAL)
    again = GaussianHead.from_state(head.state_dict())
    pose = HeadPose(torch.tensor([0.7]), axis_angle_to_matrix(torch.tensor([0.0, 0.4, 0.0])), torch.zeros(3))
    for one, two in zip(head.gaussians(CANONICAL, pose), again.gaussians(CANONICAL, pose), strict=True):
        assert torch.equal(one, two)
    with pytest.raises(BadFile, match="no seeds"):
        GaussianHead.from_state({})
    with pytest.raises(BadFile, match="does not fit"):
        moved(head, color=torch.zeros(3, 3))


def test_color_depends_on_the_view_through_its_harmonics_alone() -> None:
    head = gaussian_ball(CANONICAL)
    left, right = torch.tensor([-1.0, 0.0, 0.5]), torch.tensor([1.0, 0.0, 0.5])
    same = [head.gaussians(CANONICAL, REST, center).features[:, :3] for center in (left, right)]
    assert torch.equal(*same)
    with torch.no_grad():
        head.color_sh[:, 0] = 0.2
    changed = [head.gaussians(CANONICAL, REST, center).features[:, :3] for center in (left, right)]
    assert (changed[0] - changed[1]).min() > 0.05
    assert torch.allclose(head.gaussians(CANONICAL, REST).features[:, :3], same[0])
