"""Rotations: axis-angle (rad), matrices, unit quaternions (w first), differentiable and safe at the identity, mostly by roma."""

from __future__ import annotations

import roma
import torch
from jaxtyping import Float
from torch import Tensor

TINY = 1e-12


def axis_angle_to_matrix(axis_angle: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3 3"]:
    """Rodrigues' formula; the zero vector gives the identity with finite gradients."""
    return roma.rotvec_to_rotmat(axis_angle)


def matrix_to_axis_angle(matrix: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3"]:
    """The axis-angle vector (rad, length in [0, π]) of rotation matrices."""
    return roma.rotmat_to_rotvec(matrix)


def normalize_quaternion(quaternion: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Scale quaternions to unit length; a zero quaternion stays zero (and stands for the identity)."""
    return quaternion / quaternion.norm(dim=-1, keepdim=True).clamp_min(TINY)


def quaternion_to_matrix(quaternion: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 3 3"]:
    """Rotation matrices of quaternions (w first), which are normalised first."""
    w, x, y, z = normalize_quaternion(quaternion).unbind(-1)
    rows = (
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def matrix_to_quaternion(matrix: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 4"]:
    """Unit quaternions (w first, w ≥ 0) of rotation matrices."""
    quaternion = roma.rotmat_to_unitquat(matrix).roll(1, dims=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def quaternion_multiply(first: Float[Tensor, "*n 4"], second: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """The Hamilton product: rotating by ``second``, then by ``first``."""
    w1, x1, y1, z1 = first.unbind(-1)
    w2, x2, y2, z2 = second.unbind(-1)
    product = (
        w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
        w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
        w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
        w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
    )
    return torch.stack(product, dim=-1)


def axis_angle_to_quaternion(axis_angle: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 4"]:
    """Unit quaternions (w first) of axis-angle vectors (rad)."""
    return roma.rotvec_to_unitquat(axis_angle).roll(1, dims=-1)


def quaternion_to_axis_angle(quaternion: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 3"]:
    """The axis-angle vector (rad, length in [0, π]) of quaternions (w first), which are normalised first."""
    return roma.unitquat_to_rotvec(normalize_quaternion(quaternion).roll(-1, dims=-1))


def rotation_between(source: Float[Tensor, "*n 3"], target: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 4"]:
    """The unit quaternion (w first) of the shortest rotation that turns the direction ``source`` into ``target``.

    For opposite directions, where every half turn is as short, a half turn about some perpendicular axis.
    """
    source = source / source.norm(dim=-1, keepdim=True).clamp_min(TINY)
    target = target / target.norm(dim=-1, keepdim=True).clamp_min(TINY)
    dot = (source * target).sum(-1, keepdim=True)
    regular = torch.cat([1 + dot, torch.linalg.cross(source, target)], dim=-1)
    half_turn = torch.cat([torch.zeros_like(dot), _perpendicular(source)], dim=-1)
    return normalize_quaternion(torch.where(dot < -1 + 1e-6, half_turn, regular))


def _perpendicular(direction: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    axis = torch.nn.functional.one_hot(direction.abs().argmin(-1), 3).to(direction)
    return torch.linalg.cross(direction, axis)


def slerp(first: Float[Tensor, "*n 4"], second: Float[Tensor, "*n 4"], share: Float[Tensor, "*n"]) -> Float[Tensor, "*n 4"]:
    """Turn from ``first`` (share 0) to ``second`` (share 1) along the shorter arc; unit quaternions, w first."""
    second = torch.where((first * second).sum(-1, keepdim=True) < 0, -second, second)
    cosine = (first * second).sum(-1, keepdim=True).clamp(-1, 1)
    angle = torch.atan2((second - cosine * first).norm(dim=-1, keepdim=True), cosine)
    near = angle < 1e-4
    sine = torch.where(near, torch.ones_like(angle), angle.sin())
    weight = share[..., None]
    one = torch.where(near, 1 - weight, ((1 - weight) * angle).sin() / sine)
    two = torch.where(near, weight, (weight * angle).sin() / sine)
    return normalize_quaternion(one * first + two * second)
