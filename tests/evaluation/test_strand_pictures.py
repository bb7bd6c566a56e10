"""Strands on a ball, drawn: what runs which way has its colour, what is behind the head is not seen."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from headcast.evaluation.pictures import BACKGROUND, LABEL_HEIGHT, MARGIN
from headcast.evaluation.stage_scores import score_field
from headcast.evaluation.strand_pictures import SIDES, direction_colors, draw, strand_sheet, viewer

BALL = trimesh.creation.icosphere(subdivisions=3, radius=0.1)
MESH = np.array(BALL.vertices), np.array(BALL.faces)


def line(start: tuple[float, float, float], along: tuple[float, float, float]) -> np.ndarray:
    """One strand of 6 cm."""
    return (np.array(start) + np.linspace(0, 0.06, 5)[:, None] * np.array(along))[None]


def view(side: str) -> np.ndarray:
    return viewer(np.array(SIDES[side]), np.zeros(3), 0.3, 120)


@given(st.tuples(*[st.floats(-1, 1)] * 3))
def test_a_direction_and_its_reverse_look_the_same(direction: tuple[float, float, float]) -> None:
    colors = direction_colors(np.array([direction, [-value for value in direction]]))
    assert np.array_equal(colors[0], colors[1])
    assert colors.min() >= 0 and colors.max() <= 1


@pytest.mark.parametrize(("along", "channel"), [((1, 0, 0), 0), ((0, -1, 0), 1), ((0, 0, 1), 2)])
def test_each_axis_has_its_colour(along: tuple[float, float, float], channel: int) -> None:
    strand = line((0.0, 0.12, 0.0) if channel != 1 else (0.12, 0.03, 0.0), along)
    picture = draw(strand, *MESH, view("side" if channel == 2 else "front")).astype(int)
    others = [c for c in range(3) if c != channel]
    drawn = (picture[..., channel] > 100) & (picture[..., others].max(-1) == 0)
    assert drawn.sum() > 10


def test_hair_before_the_head_is_seen_and_hair_behind_it_is_not() -> None:
    strand = line((-0.03, 0.0, 0.11), (1, 0, 0))
    red = {side: int((draw(strand, *MESH, view(side))[..., 1:].max(-1) == 0).sum()) for side in ("front", "back")}
    assert red["front"] > 15 and red["back"] == 0
    assert int((draw(-strand, *MESH, view("back"))[..., 1:].max(-1) == 0).sum()) > 15


def test_left_is_right_when_the_subject_faces_us_and_its_face_looks_left_from_its_left() -> None:
    left, nose = line((0.12, 0, 0), (0, 1, 0)), line((0, 0, 0.12), (0, 1, 0))
    for strand, side, expected in ((left, "front", True), (left, "back", False), (nose, "side", False)):
        columns = np.nonzero((draw(strand, *MESH, view(side))[..., [0, 2]].max(-1) == 0).any(0))[0]
        assert (columns.mean() > 60) == expected, side


def test_near_strands_cover_far_ones() -> None:
    far, near = line((-0.03, 0.12, 0.0), (1, 0, 0)), line((0.0, 0.09, 0.05), (0, 1, 0))
    pixel = tuple(np.floor(view("front").seen(np.array([0.0, 0.12, 0.05]))[0]).astype(int)[::-1])
    for strands in (np.concatenate([far, near]), np.concatenate([near, far])):
        red, green, _ = draw(strands, *MESH, view("front"))[pixel].astype(int)
        assert green > red


def test_the_sheet_has_a_row_for_each_set_and_leaves_out_what_is_absent() -> None:
    strands = np.concatenate([line((0.0, 0.11, 0.0), (0, 1, 0)), np.full((1, 5, 3), np.nan)])
    sheet = strand_sheet([("grown", strands), ("truth", np.repeat(strands[:1], 7, axis=0))], *MESH, size=64, most=3)
    assert sheet.shape == (2 * (64 + LABEL_HEIGHT) + MARGIN, 3 * 64 + 2 * MARGIN, 3)
    assert (sheet[-64:] != np.array(BACKGROUND)).any()


def test_the_field_is_judged_where_hair_is_near() -> None:
    figures = score_field(np.array([0.0, 10.0, 20.0, np.nan]))
    assert figures == {"field_median_deg": 10.0, "field_p90_deg": pytest.approx(18.0), "field_near_hair": 0.75}
    nothing = score_field(np.array([np.nan]))
    assert np.isnan(nothing["field_median_deg"]) and nothing["field_near_hair"] == 0
