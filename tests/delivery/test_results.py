"""Results of all subjects side by side: nothing invented, what is missing is empty and listed, the page needs no other file."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headcast import layout
from headcast.__main__ import main
from headcast.assets import assets, used_by
from headcast.delivery.licences import bill
from headcast.delivery.results_page import write_summary
from headcast.delivery.results_table import FIGURES
from headcast.errors import BadFile
from headcast.workflow.failures import Failure, write_failures

ROLL = ["258/HAIR,FREE", "031,040/HAIR"]


def metrics(psnr: float, lpips: float | None = None) -> dict:
    entries = bill(assets()["nersemble"], used_by({"fitting": {"model": "open"}}), {"torch": "2.13.0"})
    cameras = {"psnr": psnr, "psnr_subject": psnr - 1, "ssim": 0.9, "ms_ssim": 0.95, "flip": 0.1, "lpips": lpips}
    avatar = {"digest": "d" * 64, "code": "c" * 12, "versions": {"torch": "2.13.0", "python": "3.11.7"}, "bill": entries}
    return {
        "held_out_cameras": cameras,
        "held_out_frames": None,
        "hair": {"iou": 0.8},
        "strands": None,
        "timing_s": {"fit_head": 3.5, "matting": 7.0},
        "avatar": avatar,
    }


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    for sequence, psnr in (("HAIR", 26.5), ("FREE", 31.25)):
        path = layout.under(folder, layout.evaluation, "258", sequence)
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(metrics(psnr)))
        picture = np.full((400, 900, 3), 90, np.uint8)
        Image.fromarray(picture).save(layout.under(folder, layout.evaluation_picture, "258", sequence))
    avatar = layout.under(folder, layout.avatar, "040", "HAIR")
    avatar.parent.mkdir(parents=True)
    avatar.touch()
    line = "data/031/sequences/HAIR/images/cam_1.mp4: is cut <b>; download it again"
    write_failures(layout.under(folder, layout.failures), [Failure("031", "HAIR", "download", line, "a.log")])
    return folder


def summarised(results: Path, roll: list[str]) -> tuple[list[dict[str, str]], str]:
    write_summary(results / "summary.csv", results / "summary.html", roll)
    return list(csv.DictReader((results / "summary.csv").read_text().splitlines())), (results / "summary.html").read_text()


def test_every_pair_has_a_row_and_what_is_missing_is_empty_with_a_reason(results: Path) -> None:
    rows, page = summarised(results, ROLL)
    assert [(row["subject"], row["sequence"], row["state"]) for row in rows] == [
        ("031", "HAIR", "failed"),
        ("040", "HAIR", "missing"),
        ("258", "HAIR", "evaluated"),
        ("258", "FREE", "evaluated"),
    ]
    rows = [*rows[2:], *rows[:2]]
    assert (rows[0]["psnr"], rows[1]["psnr"], rows[0]["seconds"]) == ("26.5", "31.25", "10.5")
    assert rows[0]["lpips"] == rows[0]["frames_psnr"] == rows[0]["strand_recall"] == ""
    assert all(rows[2][name] == rows[3][name] == "" for name in (*FIGURES, "seconds", "commercial", "avatar_sha256"))
    assert rows[2]["why"].startswith("download: data/031/sequences/HAIR")
    assert rows[3]["why"] == "trained, not evaluated"
    assert (rows[0]["commercial"], rows[0]["redistribution"]) == ("not allowed", "not known")
    assert "2 of 4 avatars" in page
    assert "031/HAIR — download: data/031/sequences/HAIR/images/cam_1.mp4: is cut &lt;b&gt;; download it again" in page


def test_the_page_shows_pictures_times_versions_and_licences_and_asks_for_no_other_file(results: Path) -> None:
    _, page = summarised(results, ROLL)
    assert page.count('src="data:image/jpeg;base64,') == 2
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    for heading in ("Missing", "Run times", "Versions", "Licences"):
        assert f"<h2>{heading}</h2>" in page
    assert "<td>fit_head</td>" in page
    assert "CC0-1.0" in page
    assert "commercial use: not allowed for 2 of 2 avatars" in page
    assert "addEventListener" in page


def test_a_failed_extra_sequence_and_a_failed_shared_rule_explain_a_missing_avatar(results: Path) -> None:
    failures = [
        Failure("040", "EXP-1-head", "matting", "the plate is missing", "a.log"),
        Failure("", "", "head_model", "no wheel", "b.log"),
    ]
    write_failures(layout.under(results, layout.failures), failures)
    rows, _ = summarised(results, ["040,050/HAIR"])
    assert rows[1]["why"] == "head_model: no wheel"
    write_failures(layout.under(results, layout.failures), failures[:1])
    rows, _ = summarised(results, ["040,050/HAIR"])
    assert [row["why"] for row in rows] == ["matting of EXP-1-head: the plate is missing", "not made yet"]


def test_without_any_result_the_page_is_a_list_of_what_is_missing(tmp_path: Path) -> None:
    rows, page = summarised(tmp_path, ["258/HAIR"])
    assert [row["why"] for row in rows] == ["not made yet"]
    assert "<h2>Versions</h2>" not in page


def test_damaged_figures_are_refused(results: Path) -> None:
    layout.under(results, layout.evaluation, "258", "HAIR").write_text("{")
    with pytest.raises(BadFile, match="metrics.json"):
        summarised(results, ROLL)


def test_the_command_lays_out_what_lies_in_a_folder_without_running_anything(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for sequence in ("HAIR", "FREE"):
        layout.under(results, layout.avatar, "258", sequence).touch()
    assert main(["results", str(results)]) == 0
    assert f"page        {results / 'summary.html'}" in capsys.readouterr().out
    rows = list(csv.DictReader((results / "summary.csv").read_text().splitlines()))
    assert [(row["subject"], row["sequence"]) for row in rows] == [("040", "HAIR"), ("258", "FREE"), ("258", "HAIR")]
