"""Rotations agree with SciPy's and keep their gradients finite where formulas divide by zero."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from headcast.geometry import rotations as R


@pytest.fixture
def vectors() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    return vectors / vectors.norm(dim=1, keepdim=True) * torch.rand(50, 1, generator=generator, dtype=torch.float64) * 3.1


def test_axis_angle_agrees_with_scipy(vectors: torch.Tensor) -> None:
    matrix = R.axis_angle_to_matrix(vectors)
    np.testing.assert_allclose(matrix, Rotation.from_rotvec(vectors.numpy()).as_matrix(), atol=1e-12)
    torch.testing.assert_close(R.matrix_to_axis_angle(matrix), vectors, atol=1e-6, rtol=0)


def test_quaternions_are_w_first_and_invert(vectors: torch.Tensor) -> None:
    quaternion = R.axis_angle_to_quaternion(vectors)
    expected = np.roll(Rotation.from_rotvec(vectors.numpy()).as_quat(), 1, axis=1)
    np.testing.assert_allclose(quaternion, expected, atol=1e-12)
    matrix = R.quaternion_to_matrix(3 * quaternion)
    torch.testing.assert_close(matrix, R.axis_angle_to_matrix(vectors))
    torch.testing.assert_close(R.quaternion_to_axis_angle(quaternion), vectors, atol=1e-6, rtol=0)
    again = R.matrix_to_quaternion(matrix)
    assert (again[:, 0] >= 0).all()
    torch.testing.assert_close(R.quaternion_to_matrix(again), matrix)


def test_product_composes(vectors: torch.Tensor) -> None:
    first, second = R.axis_angle_to_quaternion(vectors[:25]), R.axis_angle_to_quaternion(vectors[25:])
    product = R.quaternion_to_matrix(R.quaternion_multiply(first, second))
    torch.testing.assert_close(product, R.quaternion_to_matrix(first) @ R.quaternion_to_matrix(second))


def test_rotation_between_turns_source_into_target(vectors: torch.Tensor) -> None:
    source, target = vectors[:25], vectors[25:]
    quaternion = R.rotation_between(source, target)
    turned = (R.quaternion_to_matrix(quaternion) @ source[:, :, None])[:, :, 0]
    torch.testing.assert_close(torch.cosine_similarity(turned, target), torch.ones(25, dtype=torch.float64))
    shortest = torch.acos(torch.cosine_similarity(source, target).clamp(-1, 1))
    torch.testing.assert_close(R.quaternion_to_axis_angle(quaternion).norm(dim=1), shortest)


def test_rotation_between_opposites_is_a_half_turn(vectors: torch.Tensor) -> None:
    quaternion = R.rotation_between(vectors, -vectors)
    turned = (R.quaternion_to_matrix(quaternion) @ vectors[:, :, None])[:, :, 0]
    torch.testing.assert_close(turned, -vectors, atol=1e-9, rtol=0)
    assert R.rotation_between(vectors[:1], vectors[:1])[0, 0] == pytest.approx(1)


def test_slerp_is_uniform() -> None:
    first = torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64)
    second = -R.axis_angle_to_quaternion(torch.tensor([[0, 0, 1.2]], dtype=torch.float64))
    for share in (0.0, 0.25, 1.0):
        turned = R.slerp(first, second, torch.tensor([share], dtype=torch.float64))
        assert R.quaternion_to_axis_angle(turned)[0, 2] == pytest.approx(1.2 * share, abs=1e-9)
    torch.testing.assert_close(R.slerp(first, first, torch.tensor([0.5], dtype=torch.float64)), first)


@pytest.mark.parametrize("function", [R.axis_angle_to_matrix, R.axis_angle_to_quaternion])
def test_gradients_at_the_identity_are_finite(function: object) -> None:
    zero = torch.zeros(2, 3, requires_grad=True)
    output = function(zero)  # type: ignore[operator]
    (output * torch.arange(output.numel()).reshape(output.shape)).sum().backward()
    assert torch.isfinite(zero.grad).all() and zero.grad.abs().max() > 0


def test_zero_quaternion_is_the_identity() -> None:
    torch.testing.assert_close(R.quaternion_to_matrix(torch.zeros(1, 4)), torch.eye(3)[None])


def test_quarter_turn_about_z() -> None:
    matrix = R.axis_angle_to_matrix(torch.tensor([0, 0, math.pi / 2]))
    torch.testing.assert_close(matrix @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]), atol=1e-6, rtol=0)
