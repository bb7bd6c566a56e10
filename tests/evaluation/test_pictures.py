"""Contact sheets and curves: where things are, not how they look."""

from __future__ import annotations

import numpy as np
import pytest

from headcast.errors import HeadcastError
from headcast.evaluation.pictures import LABEL_HEIGHT, MARGIN, Comparison, comparison_sheet, curves, heat, to_bytes


def row(height: int = 30, width: int = 60) -> Comparison:
    return Comparison(
        "1 frame 2", np.full((height, width, 3), 0.25), np.full((height, width, 3), 0.5), np.full((height, width), 1.0)
    )


def test_a_row_is_truth_render_error() -> None:
    sheet = comparison_sheet([row()])
    assert sheet.shape == (30 + LABEL_HEIGHT, 3 * 60 + 2 * MARGIN, 3)
    assert sheet.dtype == np.uint8
    y = LABEL_HEIGHT + 15
    assert (sheet[y, 30] == 64).all()
    assert (sheet[y, 60 + MARGIN + 30] == 128).all()
    assert (sheet[y, 2 * (60 + MARGIN) + 30] == heat(np.ones((1, 1)))[0, 0]).all()


def test_labels_are_drawn() -> None:
    strip = comparison_sheet([row()])[:LABEL_HEIGHT]
    assert len(np.unique(strip.reshape(-1, 3), axis=0)) > 2


def test_rows_of_different_size_share_a_sheet() -> None:
    sheet = comparison_sheet([row(), row(20, 40), row()], columns=2)
    assert sheet.shape[1] == 2 * (3 * 60 + 2 * MARGIN) + MARGIN - 3 * 20
    assert sheet.shape[0] == 2 * (30 + LABEL_HEIGHT) + MARGIN


def test_nothing_to_show_is_an_error() -> None:
    with pytest.raises(HeadcastError, match="no view"):
        comparison_sheet([])


def test_heat_grows_brighter_and_marks_the_unknown() -> None:
    shades = heat(np.linspace(0, 1, 50)[None])[0].astype(float).sum(axis=-1)
    assert (np.diff(shades) >= 0).all()
    assert shades[-1] > 10 * shades[0]
    assert (heat(np.array([[np.nan]]))[0, 0] == 128).all()
    assert (heat(np.array([[-1.0, 2.0]])) == heat(np.array([[0.0, 1.0]]))).all()


def test_colours_are_rounded_and_clipped() -> None:
    assert to_bytes(np.array([[[-1.0, 0.5, 3.0]]])).tolist() == [[[0, 128, 255]]]


def test_curves_leave_gaps_and_stand_constant_values() -> None:
    full, gap = curves("x", {"a": [1, 2, 3, 4]}), curves("x", {"a": [1, float("nan"), 3, 4]})
    assert full.shape == gap.shape == (240, 560, 3)
    assert (gap != full).any()
    assert curves("x", {"a": [1.0], "b": []}).shape == curves("x", {"a": [float("nan")]}).shape
