"""Reading videos: every damage is an error that names the file."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from headcast.capture.video import read_video_frames, read_video_info
from headcast.errors import BadFile
from headcast.formats.video import write_video


def film(count: int = 8, height: int = 48, width: int = 64) -> list[np.ndarray]:
    j, i = np.mgrid[:height, :width]
    return [np.stack([i * 3 + 4 * k, j * 4, np.full_like(i, 20 * k)], axis=-1).clip(0, 255).astype(np.uint8) for k in range(count)]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    write_video(tmp_path / "film.mp4", film(), 24.0)
    return tmp_path / "film.mp4"


def test_frames_come_in_order_with_their_times(video: Path) -> None:
    frames = list(read_video_frames(video))
    assert [frame.number for frame in frames] == list(range(8))
    assert np.allclose([frame.time_s for frame in frames], np.arange(8) / 24.0, atol=1e-4)
    assert read_video_info(video) == (8, 24.0, 64, 48)


def test_decoding_is_lazy(video: Path) -> None:
    frames = read_video_frames(video)
    assert next(frames).number == 0
    frames.close()


def filmed_sideways(path: Path) -> None:
    """Tell the player to turn the film by 90° to the right, as phones do: another matrix in the header of its track."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44
    one = 1 << 16
    assert struct.unpack(">9i", content[place : place + 36]) == (one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    content[place : place + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 48 * one, 0, 1 << 30)
    path.write_bytes(content)


def test_a_film_that_says_how_it_was_held_is_read_upright(video: Path) -> None:
    lying = [frame.rgb for frame in read_video_frames(video)]
    filmed_sideways(video)
    assert read_video_info(video)[2:] == (48, 64)
    for frame, before in zip(read_video_frames(video), lying, strict=True):
        np.testing.assert_array_equal(frame.rgb, before[::-1].transpose(1, 0, 2))


def test_every_truncation_is_an_error(video: Path) -> None:
    content = video.read_bytes()
    for share in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        video.write_bytes(content[: int(share * len(content))])
        with pytest.raises(BadFile, match=r"film\.mp4"):
            list(read_video_frames(video))


def frames_or_refusal(path: Path) -> int | str:
    try:
        return len(list(read_video_frames(path)))
    except BadFile as error:
        return str(error)


def test_flipped_bytes_never_pass_for_another_length(video: Path) -> None:
    content = bytearray(video.read_bytes())
    random = np.random.Generator(np.random.Philox(0))
    for _ in range(40):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), 20):
            damaged[place] ^= 0xFF
        video.write_bytes(damaged)
        answer = frames_or_refusal(video)
        assert answer == 8 or "film.mp4" in str(answer)


def test_what_is_no_video_is_an_error(tmp_path: Path) -> None:
    for name, content in (("text.mp4", b"hello"), ("empty.mp4", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadFile, match=name):
            list(read_video_frames(tmp_path / name))
    with pytest.raises(BadFile, match="is missing"):
        read_video_info(tmp_path / "absent.mp4")
    with pytest.raises(BadFile):
        read_video_info(tmp_path)
