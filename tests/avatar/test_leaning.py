"""Leaning hair: none at rest and at the roots, in proportion to the turn, no further than was seen."""

from __future__ import annotations

import pytest
import torch

from headcast.avatar.dynamics import StrandDynamics, simulate
from headcast.avatar.leaning import GUIDES, KNOTS, Leaning
from headcast.errors import BadFile
from headcast.geometry.rotations import axis_angle_to_matrix

REFERENCE = axis_angle_to_matrix(torch.tensor([0.0, 0.1, 0.0]))
TURNS = torch.tensor([[-0.1, -0.4, 0.0], [0.2, 0.3, 0.1]])


def leaning(seed: int = 0) -> Leaning:
    roots = torch.randn(300, 3, generator=torch.Generator().manual_seed(seed)) * 0.05
    found = Leaning.for_track(roots, REFERENCE, REFERENCE @ axis_angle_to_matrix(TURNS))
    with torch.no_grad():
        found.slopes[..., 1, 2] = torch.linspace(0, 0.04, KNOTS + 1)[1:] * found.usual[1]
    return found


def displaced(hair: Leaning, yaw: float) -> torch.Tensor:
    rotation = REFERENCE @ axis_angle_to_matrix(torch.tensor([0.0, yaw, 0.0]))
    return hair(hair.blend(hair.guides[:7] + 0.001), 9, hair.turns(rotation)).detach()


def test_hair_leans_in_proportion_to_the_turn_and_to_the_height() -> None:
    hair = leaning()
    assert len(hair.guides) == GUIDES
    moved = displaced(hair, 0.2)
    assert torch.allclose(moved[..., 2], 0.2 * 0.04 * torch.linspace(0, 1, 9).expand(7, 9), atol=1e-7)
    assert not moved[..., :2].any() and displaced(hair, 0.0).abs().max() < 1e-8
    assert torch.allclose(displaced(hair, 0.1), moved / 2, atol=1e-7)


def test_beyond_what_was_seen_it_leans_no_further() -> None:
    hair = leaning()
    assert torch.allclose(displaced(hair, 1.5), displaced(hair, 0.3), atol=1e-6)
    assert torch.allclose(displaced(hair, -1.5), displaced(hair, -0.4), atol=1e-6)


def test_a_turned_head_comes_to_rest_with_leaning_hair() -> None:
    hair = leaning()
    strands = hair.guides[:5, None] + torch.linspace(0, 0.2, 9)[:, None] * torch.tensor([0.0, -1.0, 0.0])
    yaw = torch.cat((torch.linspace(0, 0.25, 12), torch.full((40,), 0.25)))
    rotations = REFERENCE @ axis_angle_to_matrix(torch.stack((0 * yaw, yaw, 0 * yaw), dim=-1))
    dynamics = StrandDynamics(stiffness=2000.0, leaning=hair)
    with torch.no_grad():
        world = simulate(strands, rotations, torch.zeros(52, 3), torch.arange(52) / 24, dynamics)
    local = world[-1] @ rotations[-1]
    assert (local - strands)[:, -1, 2].min() > 0.9 * 0.25 * 0.04
    assert torch.allclose(local[:, 0], strands[:, 0], atol=1e-5)


def test_the_state_brings_it_back() -> None:
    dynamics = StrandDynamics(stiffness=77.0, leaning=leaning())
    again = StrandDynamics.from_state(dynamics.state_dict())
    assert again.leaning is not None and dynamics.leaning is not None
    assert torch.equal(again.leaning.slopes, dynamics.leaning.slopes) and again.values() == dynamics.values()
    assert StrandDynamics.from_state(StrandDynamics().state_dict()).leaning is None
    broken = dynamics.state_dict()
    broken["leaning.reach"] = torch.zeros(3)
    del broken["leaning.guides"]
    with pytest.raises(BadFile, match="leaning"):
        StrandDynamics.from_state(broken)


def test_a_larger_head_has_longer_leaning() -> None:
    hair = leaning()
    center, target = torch.tensor([0.0, 0.01, 0.0]), torch.tensor([0.0, 0.03, 0.01])
    larger = hair.scaled(center, torch.tensor(1.2), target)
    assert torch.allclose(larger.slopes, 1.2 * hair.slopes)
    assert torch.allclose(larger.guides - target, 1.2 * (hair.guides - center), atol=1e-7)
