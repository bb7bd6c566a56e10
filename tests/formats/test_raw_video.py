"""Raw videos: what goes in comes out, as tagged."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from headcast.capture.video import read_video_frames
from headcast.errors import BadFile
from headcast.formats.raw_video import write_raw_video


def test_colours_survive_without_bias(tmp_path: Path) -> None:
    y, x = np.mgrid[0:66, 0:50]
    frames = [np.stack([x * 5, y * 3, (x + y + 10 * t) * 2], axis=-1).astype(np.uint8) for t in range(3)]
    assert write_raw_video(tmp_path / "a.mp4", frames, 24, 1) == 3
    decoded = list(read_video_frames(tmp_path / "a.mp4"))
    assert [frame.time_s for frame in decoded] == pytest.approx([0, 1 / 24, 2 / 24])
    for before, after in zip(frames, decoded, strict=True):
        difference = after.rgb.astype(float) - before
        assert np.abs(difference.mean(axis=(0, 1))).max() < 0.6
        assert np.abs(difference).mean() < 1.5


def test_the_file_says_how_its_colours_are_coded(tmp_path: Path) -> None:
    write_raw_video(tmp_path / "a.mp4", [np.full((32, 48, 3), 90, np.uint8)], 24, 16)
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.pix_fmt, context.colorspace, context.color_primaries) == ("yuv444p", 6, 1)
        assert (context.color_trc, context.color_range) == (13, 1)


def test_no_frame_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(BadFile):
        write_raw_video(tmp_path / "a.mp4", [], 24, 16)
    assert list(tmp_path.iterdir()) == []
