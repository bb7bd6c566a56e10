"""The list of raw files: what it accepts, and when the files are still those that it names."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from headcast.errors import BadFile
from headcast.formats.raw_list import read_raw, state_of, write_raw


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, data in (("a/cam.mp4", b"x" * 50), ("a/params.json", b"{}"), ("a/unused.mp4", b"y")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (1e9, 1e9))
    return tmp_path


def listed(root: Path, state: str) -> Path:
    """A list of the video and the calibration, as the download stage writes it."""
    names = ("a/cam.mp4", "a/params.json")
    files = {n: {"bytes": (root / n).stat().st_size, "sha256": hashlib.sha256((root / n).read_bytes()).hexdigest()} for n in names}
    return write_raw(root / "manifest.json", "a", "HAIR", files, state)


def state(root: Path) -> str:
    return state_of(root / "manifest.json", root, sorted((root / "a").iterdir()))


def test_the_state_before_a_download_stays_while_the_files_are_those_that_came(root: Path) -> None:
    before = state_of(root / "manifest.json", root, [])
    listed(root, before)
    assert state(root) == before


@pytest.mark.parametrize("change", ["longer", "other content", "gone", "added"])
def test_a_change_is_seen_and_then_settles(root: Path, change: str) -> None:
    listed(root, "first")
    video, calibration = root / "a/cam.mp4", root / "a/params.json"
    later = (root / "manifest.json").stat().st_mtime + 5
    if change == "longer":
        video.write_bytes(b"x" * 51)
    elif change == "other content":
        calibration.write_bytes(b"[]")
        os.utime(calibration, (later, later))
    elif change == "gone":
        calibration.unlink()
    else:
        (root / "a/new.mp4").write_bytes(b"z")
        os.utime(root / "a/new.mp4", (later, later))
    changed = state(root)
    assert changed != "first"
    assert changed == state(root)
    if change != "gone":
        manifest = listed(root, changed)
        os.utime(manifest, (later + 5, later + 5))
        assert state(root) == changed


def test_a_file_that_was_only_touched_and_one_that_was_not_used_change_nothing(root: Path) -> None:
    listed(root, "first")
    later = (root / "manifest.json").stat().st_mtime + 5
    os.utime(root / "a/params.json", (later, later))
    assert state(root) == "first"


def test_a_list_that_names_no_state_is_not_asked_for_one(root: Path) -> None:
    listed(root, "")
    assert len(state(root)) == 12


def test_a_damaged_list_is_no_reason_to_believe_anything(root: Path) -> None:
    listed(root, "first").write_text("{")
    assert state(root) != "first"


def test_anything_else_is_refused(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"format": "other"}', '{"format": "headcast/raw@1", "files": []}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(BadFile):
            read_raw(tmp_path / "manifest.json")
