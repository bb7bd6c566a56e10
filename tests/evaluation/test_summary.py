"""The report: names as agreed, means by group and camera, nothing that JSON cannot hold."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from headcast.evaluation.protocol import ViewScore
from headcast.evaluation.summary import clean, csv_rows, describe_protocol, summarise

NAN = float("nan")


def score(camera: str, frame: int, psnr: float, held: tuple[bool, bool] = (True, False)) -> ViewScore:
    return ViewScore(camera, "HAIR", frame, *held, psnr, psnr - 2, 0.9, 0.95, 0.1, NAN, psnr - 4, 0.8, 0.2, 0.9, NAN, 0.3, 0.25)


def report(scores: list[ViewScore], **changes: Any) -> dict[str, Any]:
    protocol = describe_protocol(
        held_out_cameras=["2", "1"],
        held_out_frames={"HAIR": [9, 8]},
        height=128,
        width=128,
        matte="ground truth",
        hair_mask="ground truth",
        lpips="not computed",
    )
    return summarise(scores, **{"strands": None, "timing_s": {"matting": 3.0}, "protocol": protocol, **changes})


def test_it_has_the_agreed_names() -> None:
    result = report([score("1", 0, 30.0), score("3", 9, 20.0, (False, True))])
    assert {"held_out_cameras", "held_out_frames", "hair", "strands", "timing_s", "protocol"} <= set(result)
    for group in ("held_out_cameras", "held_out_frames"):
        figures = {"psnr", "psnr_subject", "ssim", "ms_ssim", "flip", "lpips"}
        assert figures <= set(result[group])
        assert all(set(of_camera) == figures for of_camera in result[group]["by_camera"].values())
    assert {"psnr", "ssim", "flip", "iou", "temporal_iou"} <= set(result["hair"])
    assert result["held_out_cameras"]["lpips"] is None
    assert result["strands"] is None


def test_means_are_over_views_of_the_group_alone() -> None:
    scores = [
        score("1", 0, 30.0),
        score("1", 1, 20.0),
        score("2", 0, 10.0),
        score("3", 9, 40.0, (False, True)),
        score("1", 9, 5.0, (True, True)),
    ]
    result = report(scores)
    assert result["held_out_cameras"]["psnr"] == pytest.approx(20.0)
    assert result["held_out_cameras"]["views"] == 3
    assert result["held_out_cameras"]["by_camera"]["1"]["psnr"] == pytest.approx(25.0)
    assert result["held_out_frames"]["psnr"] == 40.0
    assert result["held_out_both"]["psnr"] == 5.0
    assert result["hair"]["psnr"] == pytest.approx(16.0)
    assert "training" not in result


def test_moving_hair_is_held_against_rigid_hair_in_the_same_views() -> None:
    views = [score("3", frame, psnr, (False, True)) for frame, psnr in ((8, 30.0), (9, 32.0), (10, 20.0))]
    compared = [replace(view, hair_psnr_rigid=view.hair_psnr - gain) for view, gain in zip(views[:2], (1.0, 2.0), strict=True)]
    motion = report([*compared, views[2]])["hair_motion"]
    assert motion["held_out_frames"]["views"] == 2
    assert motion["held_out_frames"]["gain_db"] == pytest.approx(1.5)
    assert motion["held_out_frames"]["by_sequence"]["HAIR"]["psnr_rigid"] == pytest.approx(25.5)
    assert motion["held_out_both"] == {"psnr": None, "psnr_rigid": None, "gain_db": None, "views": 0, "by_sequence": {}}


def test_an_empty_group_is_reported_as_absent_not_as_zero() -> None:
    result = report([score("1", 0, 30.0)])
    assert result["held_out_frames"]["views"] == 0
    assert result["held_out_frames"]["psnr"] is None


def test_it_is_json_whatever_happened() -> None:
    result = report([score("1", 0, math.inf)], strands={"precision": NAN, "counts": [1, math.inf]})
    text = json.dumps(result, allow_nan=False)
    assert json.loads(text)["held_out_cameras"]["psnr"] is None
    assert result["strands"] == {"precision": None, "counts": [1, None]}
    assert result["timing_s"] == {"matting": 3.0, "render_view": 0.25}


def test_the_protocol_says_what_was_held_out() -> None:
    protocol = report([])["protocol"]
    assert protocol["held_out_cameras"] == ["1", "2"]
    assert protocol["held_out_frames"] == {"HAIR": [8, 9]}
    assert "ground truth" in protocol["truth"]
    assert "4 of 5" in protocol["ms_ssim"]


def test_csv_rows_are_sorted_and_leave_absent_figures_empty() -> None:
    rows = csv_rows([score("2", 0, 30.0), score("1", 3, 20.0), replace(score("1", 1, 21.5), seconds=NAN)])
    header = rows[0]
    assert [row[header.index("camera")] + row[header.index("frame")] for row in rows[1:]] == ["11", "13", "20"]
    assert rows[1][header.index("psnr")] == "21.5"
    assert rows[1][header.index("lpips")] == ""
    assert rows[1][header.index("seconds")] == ""
    assert {len(row) for row in rows} == {len(header)}


def test_clean_keeps_numbers_and_words() -> None:
    assert clean({"a": (1, 2.5, "x", None, True), 3: NAN}) == {"a": [1, 2.5, "x", None, True], "3": None}
