"""Removing intermediate products: what goes, what stays, who is in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from headcast.errors import HeadcastError
from headcast.formats.intermediates import remove_intermediates
from headcast.formats.state import open_store

GONE = ["images/manifest.json", "images/0000/image_1.png", "mattes/manifest.json", "masks/manifest.json", "mesh_head.pth"]
KEPT = [
    "avatar.pth",
    "evaluation/metrics.json",
    "scores.json",
    "logs/matting.log",
    "benchmarks/matting.tsv",
    "cameras/manifest.json",
]


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    for name in (*GONE, *KEPT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * 100)
    return tmp_path


def test_what_can_be_made_again_goes_and_the_rest_stays(sequence: Path) -> None:
    assert remove_intermediates(sequence) == 100 * len(GONE)
    assert sorted(path.relative_to(sequence).as_posix() for path in sequence.rglob("*") if path.is_file()) == sorted(KEPT)
    assert remove_intermediates(sequence) == 0


def test_nothing_goes_while_an_avatar_is_trained_there(sequence: Path) -> None:
    with open_store(sequence / "state/train_avatar", "mark"), pytest.raises(HeadcastError, match="being trained here"):
        remove_intermediates(sequence)
    assert (sequence / GONE[0]).exists()
    assert remove_intermediates(sequence) == 100 * len(GONE)
