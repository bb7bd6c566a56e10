"""Strand scores on strands whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headcast.errors import HeadcastError
from headcast.evaluation.strand_metrics import THRESHOLDS, directed_points, inside_ratio, line_angles_deg, strand_scores


def combed(count: int = 20, points: int = 12, gap: float = 0.02) -> np.ndarray:
    """Vertical strands, ``gap`` apart."""
    roots = np.stack((gap * np.arange(count), np.zeros(count), np.zeros(count)), axis=-1)
    return roots[:, None] + np.linspace(0, 0.1, points)[:, None] * np.array([0.0, -1.0, 0.0])


def test_perfect_strands_score_one_in_either_direction() -> None:
    for strands in (combed(), combed()[:, ::-1]):
        assert all(score.precision == score.recall == score.f_score == 1.0 for score in strand_scores(strands, combed()))


@settings(max_examples=20, deadline=None)
@given(st.floats(0.0, 0.006))
def test_a_shift_counts_against_the_distance(shift: float) -> None:
    for score, (distance, _) in zip(strand_scores(combed() + np.array([0, 0, shift]), combed()), THRESHOLDS, strict=True):
        if abs(shift - distance) > 1e-6:
            assert (score.precision, score.recall) == ((1.0, 1.0) if shift < distance else (0.0, 0.0))


@pytest.mark.parametrize(("degrees", "expected"), [(15.0, (1, 1, 1)), (25.0, (0, 1, 1)), (35.0, (0, 0, 1)), (50.0, (0, 0, 0))])
def test_a_turn_counts_against_the_angle(degrees: float, expected: tuple[int, int, int]) -> None:
    angle = np.deg2rad(degrees)
    short = np.linspace(-5e-4, 5e-4, 2)[:, None]
    truth = np.zeros((1, 1, 3)) + short * np.array([0.0, -1.0, 0.0])
    turned = np.zeros((1, 1, 3)) + short * np.array([np.sin(angle), -np.cos(angle), 0.0])
    assert tuple(score.precision for score in strand_scores(turned, truth)) == expected


def test_missing_hair_costs_recall_and_extra_hair_precision() -> None:
    half = strand_scores(combed()[:10], combed())[0]
    assert half.precision == 1.0 and half.recall == pytest.approx(0.5)
    double = strand_scores(combed(), combed()[:10])[0]
    assert double.precision == pytest.approx(0.5) and double.recall == 1.0
    assert half.f_score == pytest.approx(2 / 3)


def test_no_strands_score_zero() -> None:
    score = strand_scores(np.full((1, 4, 3), np.nan), combed())[0]
    assert score.precision == score.recall == score.f_score == 0.0


def test_pieces_weigh_by_length() -> None:
    strand = np.array([[[0.0, 0, 0], [0, -0.001, 0], [0, -0.101, 0]]])
    points, directions = directed_points(strand, spacing=0.002)
    assert len(points) == 51
    assert np.allclose(np.linalg.norm(directions, axis=-1), 1)
    assert len(directed_points(strand)[0]) == 2


def test_shapes_are_checked() -> None:
    with pytest.raises(HeadcastError, match="S × P × 3"):
        directed_points(np.zeros((4, 3)))


def test_inside_ratio_ignores_absent_points() -> None:
    distances = np.array([[0.01, -0.001, -0.003, np.nan]])
    assert inside_ratio(distances) == pytest.approx(1 / 3)
    assert inside_ratio(np.full((2, 2), np.nan)) == 0.0


def test_line_angles_are_undirected() -> None:
    angle = np.deg2rad(30.0)
    directions = np.array([[0.0, 1.0, 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 1.0, 0.0]])
    points = np.array([[0.0, -0.05, 0.001], [0.02, -0.05, 0.0], [0.01, 5.0, 0.0]])
    angles = line_angles_deg(directions, points, combed())
    assert angles[:2] == pytest.approx([0.0, 30.0], abs=1e-4) and np.isnan(angles[2])
