"""Speeds of strands beside true ones, and hair that is rigid with the skull as the one to beat."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headcast.evaluation.hair_motion import Moving, beside_rigid, speed_figures
from headcast.geometry.rotations import axis_angle_to_matrix

TIMES = np.array([0.0, 0.1, 0.2])


def strands() -> torch.Tensor:
    return torch.rand(5, 4, 3, generator=torch.Generator().manual_seed(0)) * 0.2


def track(degrees: float = 20.0) -> dict[str, torch.Tensor]:
    yaw = torch.deg2rad(torch.tensor([0.0, degrees, -degrees]))
    turned = axis_angle_to_matrix(torch.stack((0 * yaw, yaw, 0 * yaw), dim=-1))
    return {"rotation": turned, "translation": torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0.2, 0, 0]])}


def placed(local: torch.Tensor, where: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.einsum("fij,fspj->fspi", where["rotation"], local) + where["translation"][:, None, None]


def test_hair_that_is_rigid_is_its_own_stand_in() -> None:
    moved = placed(strands().expand(3, 5, 4, 3), track())
    found = beside_rigid({"S": moved}, {"S": track()}, {"S": torch.tensor([True, True, False])})["S"]
    assert torch.allclose(found.rigid, moved, atol=1e-6)


def test_the_stand_in_lies_as_hair_did_in_the_known_frames() -> None:
    shift = torch.tensor([0.0, 0.02, 0.5])[:, None, None, None] * torch.tensor([1.0, 0, 0])
    moved = placed(strands() + shift, track())
    found = beside_rigid({"S": moved}, {"S": track()}, {"S": torch.tensor([True, True, False])})["S"]
    expected = placed((strands() + torch.tensor([0.01, 0, 0])).expand(3, 5, 4, 3), track())
    assert torch.allclose(found.rigid, expected, atol=1e-6)


def test_speeds_are_those_of_the_strands_nearby() -> None:
    """True hair moves at 0.3 m/s along x, the avatar's at 0.3 along x and 0.4 along y; the rigid one rests."""
    steps = torch.arange(3)[:, None, None, None] * 0.1
    true = (strands() + steps * torch.tensor([0.3, 0, 0])).numpy()
    moved = strands() + steps * torch.tensor([0.3, 0.4, 0])
    moving = {"S": Moving(moved, strands().expand(3, 5, 4, 3))}
    figures = speed_figures(moving, {"S": true}, {"S": TIMES}, {"S": [0, 1]})
    wanted = {"speed_m_s": 0.5, "speed_true_m_s": 0.3, "speed_error_m_s": 0.4, "speed_error_rigid_m_s": 0.3}
    assert figures == pytest.approx(wanted, rel=1e-4)


def test_nothing_near_is_no_figure() -> None:
    far = {"S": Moving(strands().expand(3, 5, 4, 3) + 5, strands().expand(3, 5, 4, 3) + 5)}
    figures = speed_figures(far, {"S": strands().expand(3, 5, 4, 3).numpy()}, {"S": TIMES}, {"S": [1, 2]})
    assert all(np.isnan(value) for value in figures.values())
    assert all(np.isnan(value) for value in speed_figures(far, {}, {}, {}).values())
