"""Linear blend skinning with pose correctives (Loper et al., SMPL, 2015; Li et al., FLAME, 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def joint_transforms(
    joints: Float[Tensor, "F J 3"], rotations: Float[Tensor, "F J 3 3"], parents: Sequence[int]
) -> tuple[Float[Tensor, "F J 3 3"], Float[Tensor, "F J 3"]]:
    """How each joint moves points of the rest pose: ``x → R x + t`` (m), down the chain from the root (parent −1)."""
    turns: list[Tensor] = []
    shifts: list[Tensor] = []
    for joint, parent in enumerate(parents):
        centre, own = joints[:, joint], rotations[:, joint]
        about = centre - (own @ centre[..., None])[..., 0]
        if parent < 0:
            turns.append(own)
            shifts.append(about)
        else:
            turns.append(turns[parent] @ own)
            shifts.append((turns[parent] @ about[..., None])[..., 0] + shifts[parent])
    return torch.stack(turns, dim=1), torch.stack(shifts, dim=1)


def skin(
    vertices: Float[Tensor, "F V 3"],
    weights: Float[Tensor, "V J"],
    turns: Float[Tensor, "F J 3 3"],
    shifts: Float[Tensor, "F J 3"],
) -> Float[Tensor, "F V 3"]:
    """Vertices of the rest pose moved by the weighted mean of the joints' transforms."""
    blended = torch.einsum("vj,fjab->fvab", weights, turns)
    return torch.einsum("fvab,fvb->fva", blended, vertices) + torch.einsum("vj,fja->fva", weights, shifts)


def pose_features(rotations: Float[Tensor, "F J 3 3"]) -> Float[Tensor, "F n"]:
    """What pose correctives depend on: all joints' rotations but the root's, minus the identity, flattened."""
    return (rotations[:, 1:] - torch.eye(3, dtype=rotations.dtype, device=rotations.device)).flatten(start_dim=1)
