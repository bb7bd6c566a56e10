"""Extraction as a stage: which frames of the raw video are kept, in how much memory; scoring looks up the truth of just those."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from headcast.capture.video import VideoFrame, read_video_frames
from headcast.config import Extraction
from headcast.formats.frames import read_images
from headcast.formats.manifest import write_product
from headcast.imaging.crop import Crop
from headcast.stages import download, extract_frames
from headcast.stages.score import Maps
from headcast.stages.views import write_members
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


@dataclass(frozen=True)
class Noise:
    """A film of so many frames, each made when it is asked for."""

    count: int
    path: Path = Path("noise.mp4")

    def frames(self) -> Iterator[VideoFrame]:
        rng = np.random.default_rng(0)
        for number in range(self.count):
            yield VideoFrame(number, number / 24, rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


SIDE = 128


def most_memory(count: int, folder: Path) -> int:
    """Bytes that Python and NumPy held at most while such a film was extracted."""
    working = extract_frames.WorkingView(Crop(0, 0, SIDE, SIDE), np.eye(3), None)
    tracemalloc.start()
    with write_product(folder / "manifest.json", "images") as writer:
        write_members(writer, extract_frames.extract_camera, [("a", Noise(count), None, working, 1, None)], 1, silent)  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(writer.members) == count + 1
    return peak


def test_memory_does_not_grow_with_the_length_of_a_film(tmp_path: Path) -> None:
    most_memory(2, tmp_path / "first")  # tables that are kept
    short, long = most_memory(4, tmp_path / "short"), most_memory(40, tmp_path / "long")
    assert long < short + 3 * SIDE * SIDE, (short, long)


def test_behind_the_last_frame_wanted_nothing_is_decoded(
    capture_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []

    def counted(path: Path) -> Iterator[VideoFrame]:
        for frame in read_video_frames(path):
            decoded.append(frame.number)
            yield frame

    monkeypatch.setattr("headcast.capture.video.read_video_frames", counted)
    extracted(capture_template, tmp_path, Extraction(size=64, max_frames=2))
    assert sorted(decoded) == sorted([0, 1] * len(SERIALS))
