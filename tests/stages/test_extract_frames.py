"""Extraction as a stage: which frames of the raw video are kept, and that scoring looks up the truth of just those."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from headcast.capture.video import read_video_frames
from headcast.config import Extraction
from headcast.formats.frames import read_images
from headcast.stages import download, extract_frames
from headcast.stages.score import Maps
from tests.capture.test_nersemble import SERIALS, capture_template

__all__ = ["capture_template"]


def silent(*_: object) -> None:
    """No progress."""


def extracted(root: Path, folder: Path, settings: Extraction) -> Path:
    raw = folder / "download/manifest.json"
    download.run(download.Inputs("001", "HAIR", root, "nersemble", raw), settings, silent)  # type: ignore[arg-type]
    images, cameras, background = (folder / name / "manifest.json" for name in ("images", "cameras", "background"))
    inputs = extract_frames.Inputs(raw, "001", "HAIR", root, "nersemble", images, cameras, background)
    return extract_frames.run(inputs, settings, silent)  # type: ignore[arg-type]


def test_every_second_frame_is_kept_with_its_number_and_time(capture_template: Path, tmp_path: Path) -> None:
    strided = read_images(extracted(capture_template, tmp_path / "two", Extraction(size=64, stride=2)))
    whole = read_images(extracted(capture_template, tmp_path / "one", Extraction(size=64)))
    raw = [index for index, _, _ in read_video_frames(capture_template / f"001/sequences/HAIR/images/cam_{SERIALS[0]}.mp4")]
    assert whole.raw_frames == raw
    assert strided.raw_frames == raw[::2]
    assert strided.times == [time for time in whole.times[::2]]
    for frame, number in enumerate(strided.raw_frames):
        np.testing.assert_array_equal(strided.image(frame, SERIALS[0]), whole.image(number, SERIALS[0]))


def test_scoring_asks_for_the_truth_of_the_raw_frame(capture_template: Path, tmp_path: Path) -> None:
    """A truth whose every plane is full of its frame number comes back as the numbers of the raw frames."""
    images = read_images(extracted(capture_template, tmp_path, Extraction(size=64, stride=2)))
    maps = Maps.__new__(Maps)
    maps.images, maps._sequence = images, "HAIR"
    maps._truth = SimpleNamespace(alpha=lambda sequence, serial, frame: np.full((64, 44), frame))  # type: ignore[assignment]
    seen = [int(maps._true("alpha", frame, SERIALS[0]).max()) for frame in range(images.frames)]  # type: ignore[union-attr]
    assert seen == [0, 2, 4]
