"""Retargeting: relative, by name, clamped; motion independent of the world it was filmed in."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from headcast.delivery.retarget import (
    Track,
    back_and_forth,
    gaussian_rows,
    neutral_expression,
    retarget,
    smooth_track,
    transfer_expression,
    transfer_motion,
)
from headcast.errors import HeadcastError
from headcast.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle

NAMES = ("jawOpen", "smile", "blink")


def performance(frames: int = 9) -> Track:
    random = torch.Generator().manual_seed(5)
    t = torch.linspace(0, 1, frames, dtype=torch.float64)
    expression = torch.rand(frames, 3, generator=random, dtype=torch.float64)
    expression[2] = torch.tensor([0.1, 0.0, 0.05])
    rotation = torch.stack([0.2 * t, 0.5 * torch.sin(3 * t), -0.1 * t], dim=1)
    return Track(NAMES, expression, rotation, torch.stack([0.1 * t, 0.02 * t**2, 1 + 0 * t], dim=1))


def placed(points: torch.Tensor, rotation: torch.Tensor, translation: torch.Tensor) -> torch.Tensor:
    return torch.einsum("fij,pj->fpi", axis_angle_to_matrix(rotation), points) + translation[:, None]


def test_the_rest_is_the_calmest_frame() -> None:
    assert torch.equal(neutral_expression(performance().expression), performance().expression[2])


def test_expressions_are_relative_by_name_and_clamped() -> None:
    source = torch.tensor([[0.2, 0.5, 0.9], [0.1, 0.1, 0.1]], dtype=torch.float64)
    neutral, target = torch.tensor([0.1, 0.1, 0.1]), torch.tensor([0.3, 0.05, 0.2, 0.0])
    out = transfer_expression(source, NAMES, ("blink", "cheekPuff", "smile", "jawOpen"), neutral, target)
    assert torch.allclose(out, torch.tensor([[1.0, 0.05, 0.6, 0.1], [0.3, 0.05, 0.2, 0.0]], dtype=torch.float64), atol=1e-6)


def test_at_its_rest_the_source_leaves_the_target_at_rest() -> None:
    source, target = performance(), torch.tensor([0.2, 0.1, 0.0], dtype=torch.float64)
    out = transfer_expression(source.expression, NAMES, NAMES, neutral_expression(source.expression), target)
    assert torch.allclose(out[2], target)
    assert (out >= 0).all()
    assert (out <= 1).all()


def test_a_model_without_common_units_is_an_error() -> None:
    with pytest.raises(HeadcastError, match="shares no expression unit"):
        transfer_expression(torch.zeros(2, 3), NAMES, ("a", "b"), torch.zeros(3), torch.zeros(2))


def test_own_motion_comes_back_exactly() -> None:
    track = performance()
    rotation, translation = transfer_motion(track, 3, track.rotation[3], track.translation[3])
    points = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(placed(points, rotation, translation), placed(points, track.rotation, track.translation), atol=1e-6)


def test_motion_does_not_depend_on_the_world_it_was_filmed_in() -> None:
    track = performance()
    turn, shift = (
        axis_angle_to_matrix(torch.tensor([0.4, -1.0, 0.3], dtype=torch.float64)),
        torch.tensor([3.0, -2.0, 0.5], dtype=torch.float64),
    )
    moved = replace(
        track,
        rotation=matrix_to_axis_angle(turn @ axis_angle_to_matrix(track.rotation)),
        translation=track.translation @ turn.T + shift,
    )
    target = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64), torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    points = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first, second = (placed(points, *transfer_motion(source, 0, *target)) for source in (track, moved))
    assert torch.allclose(first, second, atol=1e-6)
    assert torch.allclose(first[:1], placed(points, target[0][None], target[1][None]), atol=1e-6)


def test_a_smaller_target_moves_less() -> None:
    track, origin = performance(), torch.zeros(3, dtype=torch.float64)
    full, half = (transfer_motion(track, 0, origin, origin, ratio)[1] for ratio in (1.0, 0.5))
    assert torch.allclose(half, 0.5 * full)


def test_smoothing_keeps_what_is_constant_and_calms_what_trembles() -> None:
    still = replace(
        performance(), rotation=torch.full((9, 3), 0.3, dtype=torch.float64), translation=torch.ones(9, 3, dtype=torch.float64)
    )
    assert torch.allclose(smooth_track(still, 2.0).rotation, still.rotation, atol=1e-6)
    noise = 0.05 * torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    trembling = replace(still, rotation=still.rotation + noise, translation=still.translation + noise)
    calm = smooth_track(trembling, 2.0)
    for name in ("rotation", "translation"):
        assert getattr(calm, name).diff(dim=0).norm() < 0.4 * getattr(trembling, name).diff(dim=0).norm()
    assert torch.allclose(smooth_track(trembling, 0.0).rotation, trembling.rotation, atol=1e-6)


def test_rotations_average_across_the_half_turn() -> None:
    """Axis-angle jumps from +π to −π between these frames; the head does not."""
    angles = torch.tensor([math.pi - 0.1, math.pi - 0.02, -math.pi + 0.06, -math.pi + 0.14], dtype=torch.float64)
    rotation = torch.stack([0 * angles, angles, 0 * angles], dim=1)
    track = Track(("a",), torch.zeros(4, 1, dtype=torch.float64), rotation, torch.zeros(4, 3, dtype=torch.float64))
    turned = axis_angle_to_matrix(smooth_track(track, 1.0).rotation)
    assert (turned[:, 0, 0] < -0.98).all()


def test_weights_sum_to_one() -> None:
    assert torch.allclose(gaussian_rows(7, 1.5).sum(dim=1), torch.ones(7, dtype=torch.float64))


def test_retargeting_joins_the_parts() -> None:
    source = performance()
    rest = torch.zeros(3, dtype=torch.float64)
    out = retarget(source, NAMES, rest, source.rotation[0], source.translation[0])
    assert out.names == NAMES
    assert torch.allclose(out.translation, source.translation, atol=1e-9)
    assert float(out.expression[2].abs().max()) == 0.0
    with pytest.raises(HeadcastError, match="no frame 9"):
        retarget(source, NAMES, rest, rest, rest, reference=9)


@pytest.mark.parametrize(
    "change", [{"names": ("a",)}, {"rotation": torch.zeros(2, 3)}, {"translation": torch.full((9, 3), math.nan)}]
)
def test_a_track_that_contradicts_itself_is_an_error(change: dict[str, object]) -> None:
    with pytest.raises(HeadcastError, match="track"):
        replace(performance(), **change)


def test_frames_run_back_and_forth_without_a_jump() -> None:
    assert back_and_forth(4, 3) == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]
    assert back_and_forth(1, 3) == [0, 0, 0]
    assert performance().frames(back_and_forth(9, 2)).frame_count == 17
