"""The journal of a training: numbers that TensorBoard reads, pictures that anybody opens."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboardX.proto.event_pb2 import Event

from headcast.formats.journal import Journal

WHITE, BLACK = np.ones((8, 6, 3)), np.zeros((8, 6, 3))


def events(folder: Path) -> Iterator[Event]:
    """Every record of the event files: length (8 bytes), its checksum (4), the event, its checksum (4)."""
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            yield Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def test_scalars_can_be_read_back(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.scalars(10, {"train/total": 0.5, "train/psnr": 21.0})
        journal.picture(20, WHITE, BLACK, 24.5)
    told = {(value.tag, event.step): value.simple_value for event in events(tmp_path) for value in event.summary.value}
    assert told == {("train/total", 10): 0.5, ("train/psnr", 10): 21.0, ("held_out/psnr", 20): 24.5}
    assert journal.psnr == 24.5


def test_a_picture_shows_truth_and_drawing_side_by_side(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.picture(20, WHITE, BLACK, 0.0)
    pair = np.asarray(Image.open(tmp_path / "000020.jpg"))
    assert pair.shape == (8, 12, 3) and pair[:, :5].min() > 200 and pair[:, 7:].max() < 50


def test_what_an_earlier_run_told_of_later_steps_is_withdrawn(tmp_path: Path) -> None:
    for steps in ((100, 200, 300), (200,)):
        with Journal(tmp_path) as journal:
            for step in steps:
                journal.picture(step, WHITE, BLACK, 1.0)
    assert sorted(path.name for path in tmp_path.glob("*.jpg")) == ["000100.jpg", "000200.jpg"]
    restarts = [event.step for event in events(tmp_path) if event.session_log.status]
    assert restarts == [100, 200]


def test_nothing_told_leaves_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path / "none"):
        pass
    assert not (tmp_path / "none").exists()
