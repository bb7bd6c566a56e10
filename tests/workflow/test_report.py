"""What a supervisor is shown after a run: Snakemake's report, the page of results inside it, and the bill of the avatar."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from headcast.__main__ import main
from headcast.assets import assets
from headcast.formats.avatar_file import read_metadata

from .test_plan import snakemake
from .tiny import AVATAR, FOLDER, options

pytestmark = pytest.mark.workflow
FILM = f"{FOLDER}/reenactment/reenactment.mp4"
FIT = f"{FOLDER}/fit/frames.json"
SCORES = f"{FOLDER}/scores.json"
NO_NETWORK = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}


@pytest.fixture(scope="module")
def summarised(finished: Path, raw: Path) -> Path:
    """The finished run with its summary."""
    done = snakemake(*options(raw), "evaluate_all", FIT, folder=finished)
    assert done.returncode == 0, done.stderr[-3000:]
    return finished


def test_the_report_holds_pictures_figures_run_times_versions_and_licences_without_a_network(summarised: Path, raw: Path) -> None:
    done = snakemake("--report", "report.html", *options(raw), "evaluate_all", FILM, FIT, SCORES, folder=summarised, **NO_NETWORK)
    assert done.returncode == 0, done.stderr[-3000:]
    report = (summarised / "report.html").read_text()
    assert "animatable Gaussian head avatars with strand hair" in report
    pictures = (
        "comparison.png",
        "reenactment.mp4",
        "overlay.jpg",
        "residuals.png",
        "parameters.png",
        "turntable.mp4",
        "strands.jpg",
    )
    for name in (*pictures, "doctor.html", "summary.html", "summary.csv"):
        assert name in report, name
    assert re.search(r"data:image/png;[^,]*base64,\w", report)
    assert "what the camera saw, what the avatar" in report and "over every view of some frames" in report
    assert "Red runs across the face" in report
    for rule in ("train_avatar", "fit_head", "summarise"):
        assert f'"rule": "{rule}"' in report, rule


def test_the_page_of_results_says_what_the_files_say(summarised: Path) -> None:
    metrics = json.loads((summarised / FOLDER / "evaluation/metrics.json").read_text())
    (row,) = csv.DictReader((summarised / "results/summary.csv").read_text().splitlines())
    assert (row["subject"], row["sequence"], row["state"]) == ("demo", "HAIR", "evaluated")
    assert float(row["psnr"]) == pytest.approx(metrics["held_out_cameras"]["psnr"], rel=1e-5)
    assert float(row["hair_iou"]) == pytest.approx(metrics["hair"]["iou"], rel=1e-5)
    assert row["lpips"] == ""
    assert row["avatar_sha256"] == read_metadata(summarised / AVATAR)["digest"]
    page = (summarised / "results/summary.html").read_text()
    for part in (
        "<h2>Run times</h2>",
        "<td>train_avatar</td>",
        "<td>mediapipe</td>",
        "<td>makehuman</td>",
        "data:image/jpeg;base64,",
    ):
        assert part in page
    assert "<h2>Missing</h2>" not in page


def test_the_avatar_names_configuration_code_versions_assets_and_licences(
    summarised: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = read_metadata(summarised / AVATAR)
    assert facts["config"]["extraction"]["max_frames"] == 4
    assert {
        "extraction",
        "matting",
        "landmarks",
        "fitting",
        "hair_masks",
        "orientation_maps",
        "mesh_head",
        "hair",
        "training",
        "held_out",
    } == set(facts["config"])
    assert re.fullmatch(r"[0-9a-f]{12}", facts["code"])
    assert {"python", "torch", "mediapipe", "numpy", "headcast"} <= set(facts["versions"])
    hashes = {entry["name"]: entry["sha256"] for entry in facts["bill"] if entry["kind"] != "package"}
    assert hashes == {name: assets()[name].sha256 for name in ("demo", "makehuman", "facemesh", "face_detection", "selfie")}
    assert len(facts["inputs"]["raw"]) == 2
    assert main(["licences", str(summarised / AVATAR)]) == 0
    assert capsys.readouterr().out.endswith("commercial use: allowed\nredistribution: allowed\n")
