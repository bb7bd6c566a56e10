"""Canonical space: placing, binding, blending."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from headcast.avatar.canonical import CanonicalHead, skull_track, vertex_mask
from headcast.geometry.rotations import axis_angle_to_matrix
from headcast.heads.model import HeadParameters


class BallModel:
    """A sphere of 10 cm with one identity (size) and one expression (lower half drops); everything below −5 cm is bust."""

    name, licence, expression_names = "ball", "CC0", ("drop",)
    identity_size, expression_size = 1, 1

    def __init__(self) -> None:
        ball = trimesh.creation.icosphere(subdivisions=3, radius=0.1)
        self.mean = np.asarray(ball.vertices)
        self.faces = np.asarray(ball.faces, dtype=np.int64)
        y = self.mean[:, 1]
        self.expression_basis = np.zeros((1, len(y), 3))
        self.expression_basis[0, y < 0, 1] = -0.01
        self.head_weight = np.clip((y + 0.06) / 0.02, 0, 1)
        self.scalp = (y > 0.05).astype(float)
        self.face = self.mean[:, 2] > 0.05
        self.skin = np.ones(len(y), bool)
        self.mouth_interior = np.zeros(len(y), bool)
        self.eyes = (np.array([1, 2]), np.array([3]))
        self.mirror = np.arange(len(y))

    def neutral(self, identity):
        return torch.as_tensor(self.mean) * (1 + identity[0].double())

    def landmarks(self, vertices):
        corners = torch.as_tensor(self.faces[np.arange(68) * 7])
        return vertices[..., corners, :].mean(-2)


def parameters(frames: int = 3) -> HeadParameters:
    generator = torch.Generator().manual_seed(0)
    zeros = {"head_pose": 3, "neck_pose": 3, "jaw_pose": 3, "eye_pose": 6}
    return HeadParameters(
        identity=torch.tensor([0.1]),
        expression=torch.zeros(frames, 1),
        rotation=torch.randn(frames, 3, generator=generator) * 0.3,
        translation=torch.randn(frames, 3, generator=generator) * 0.05,
        scale=torch.tensor(2.0),
        **{name: torch.zeros(frames, size) for name, size in zeros.items()},
    )


@pytest.fixture(scope="module")
def head() -> CanonicalHead:
    return CanonicalHead.from_model(BallModel(), parameters())


def test_scale_and_identity_are_absorbed(head):
    assert torch.allclose(head.vertices.norm(dim=1), torch.tensor(0.22), atol=1e-5)
    assert head.expression_basis.abs().max().item() == pytest.approx(0.02, abs=1e-6)
    assert head.eyes.nonzero()[:, 0].tolist() == [1, 2, 3]


def test_placement_of_skull_and_bust(head):
    given = parameters()
    rotations, translations = skull_track(given)
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(1)) * 0.1
    skull = head.place(points, 1.0, rotations[2], translations[2])
    assert torch.allclose(skull, points @ axis_angle_to_matrix(given.rotation[2]).T + given.translation[2], atol=1e-6)
    bust = head.place(points, torch.zeros(20), rotations[2], translations[2])
    assert torch.allclose(bust, head.place(points, 1.0, rotations[0], translations[0]), atol=1e-6)
    half = head.place(points, torch.full((20,), 0.5), rotations[2], translations[2])
    assert torch.allclose(half, (skull + bust) / 2, atol=1e-6)
    assert torch.allclose(head.place(points, 0.5, rotations[2], translations[2]), half, atol=1e-6)


def test_directions_turn_as_differences_of_points_do(head):
    rotations, translations = skull_track(parameters())
    weight, step = torch.rand(9, generator=torch.Generator().manual_seed(2)), torch.tensor([0.01, 0.02, -0.03])
    points = torch.zeros(9, 3)
    moved = head.place(points + step, weight, rotations[1], translations[1]) - head.place(
        points, weight, rotations[1], translations[1]
    )
    assert torch.allclose(head.rotations(weight, rotations[1]) @ step, moved, atol=1e-6)


def test_reference_placement_can_be_another_one(head):
    points, other = torch.ones(2, 3), (torch.eye(3), torch.tensor([1.0, 2.0, 3.0]))
    placed = head.place(points, torch.zeros(2), torch.eye(3), torch.zeros(3), other)
    assert torch.allclose(placed, points + other[1])


def test_bound_vertices_reproduce_the_model(head):
    chosen = torch.arange(0, len(head.vertices), 17)
    binding = head.bind(head.vertices[chosen])
    assert binding.distance.max().item() < 1e-6 and binding.falloff.min().item() > 0.999
    expression = torch.tensor([0.7])
    offsets = torch.einsum("pec,e->pc", head.bound_basis(binding), expression)
    assert torch.allclose(head.vertices[chosen] + offsets, head.deformed(expression)[chosen], atol=1e-5)
    assert torch.allclose(head.bound_weight(binding), head.head_weight[chosen], atol=1e-3)


def test_offsets_fade_with_the_distance(head):
    outside = torch.tensor([[0.0, -0.25, 0.0], [0.0, -0.31, 0.0]])
    binding = head.bind(outside, falloff=0.03)
    assert torch.allclose(binding.falloff, torch.exp(-((binding.distance / 0.03) ** 2)))
    drop = -head.bound_basis(binding)[:, 0, 1]
    assert torch.allclose(drop, 0.02 * binding.falloff, atol=1e-4)


def test_landmarks_are_found_again_and_follow(head):
    expected = torch.as_tensor(BallModel().landmarks(head.vertices[None]))[0]
    assert torch.allclose(head.landmarks(head.vertices), expected, atol=1e-5)
    moved = head.deformed(torch.tensor([1.0]))
    assert torch.allclose(head.landmarks(moved), torch.as_tensor(BallModel().landmarks(moved[None]))[0], atol=1e-4)


def test_state_round_trip(head):
    again = CanonicalHead.from_state(head.state())
    assert all(torch.equal(again.state()[name], tensor) for name, tensor in head.state().items())


@pytest.mark.parametrize("value", [[True, False, True], [0, 2], (np.array([0]), np.array([2])), {"left": [0], "right": [2]}])
def test_masks_from_many_forms(value):
    assert vertex_mask(value, 3).tolist() == [True, False, True]


def test_hair_is_kept_out_of_the_skull_but_may_lie_where_the_model_has_its_bust(head: CanonicalHead) -> None:
    grid = head.skull_distance()
    bottom = float(head.vertices[:, 1].min())
    skull, bust = torch.tensor([0.0, 0.1, 0.0]), torch.tensor([0.0, 0.9 * bottom, 0.0])
    assert grid(skull) < -0.05
    assert grid(bust) > 0.02
    assert bool((grid.lower < head.vertices.amin(0)).all() & (grid.upper > head.vertices.amax(0)).all())
