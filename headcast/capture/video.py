"""Safe decoding of one video: frame after frame in constant memory, damage reported instead of skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import UInt8

from headcast.capture.pictures import AGAIN
from headcast.errors import BadFile


class VideoFrame(NamedTuple):
    """One decoded frame: its number, its presentation time in seconds, its colours."""

    number: int
    time_s: float
    rgb: UInt8[np.ndarray, "H W 3"]


class VideoInfo(NamedTuple):
    """What the container promises; ``frames`` is 0 and ``fps`` NaN where it says nothing; the size is that of upright frames."""

    frames: int
    fps: float
    width: int
    height: int


def read_video_info(path: Path) -> VideoInfo:
    """The container's frame count, rate and size; only the first frame is decoded. ``BadFile`` when it is no readable video."""
    with _open(path) as container:
        info = _info(path, container)
        try:
            first = next(container.decode(container.streams.video[0]), None)
        except av.error.FFmpegError as error:
            raise BadFile(path, f"cannot be decoded ({error.strerror})", AGAIN) from error
    sideways = first is not None and quarter_turns(first) % 2
    return info._replace(width=info.height, height=info.width) if sideways else info


def read_video_frames(path: Path) -> Iterator[VideoFrame]:
    """Decode the first video stream to upright RGB (range and matrix as tagged; BT.601 limited where untagged).

    ``BadFile`` when the file is no video, a frame is damaged or without time, or fewer frames come than the container promises.
    """
    index, last = 0, -float("inf")
    with _open(path) as container:
        info = _info(path, container)
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.options = {"err_detect": "explode"}
        try:
            for frame in container.decode(stream):
                if frame.is_corrupt or frame.time is None or frame.time <= last:
                    raise BadFile(path, f"frame {index} is damaged or out of order", AGAIN)
                yield VideoFrame(index, float(frame.time), np.rot90(frame.to_ndarray(format="rgb24"), quarter_turns(frame)))
                index, last = index + 1, frame.time
        except av.error.FFmpegError as error:
            raise BadFile(path, f"cannot be decoded after frame {index} ({error.strerror})", AGAIN) from error
    if index == 0 or index < info.frames:
        raise BadFile(path, f"ends after {index} of {info.frames or 'its'} frames", AGAIN)


def quarter_turns(frame: av.VideoFrame) -> int:
    """Turns by 90° to the left that bring a frame upright: a phone films sideways and says so in the file."""
    return round(frame.rotation / 90) % 4


def _open(path: Path) -> av.container.InputContainer:
    try:
        return av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        reason = "is missing" if not Path(path).exists() else f"is no readable video ({error.strerror})"
        raise BadFile(path, reason, AGAIN) from error


def _info(path: Path, container: av.container.InputContainer) -> VideoInfo:
    if not container.streams.video:
        raise BadFile(path, "holds no video stream", AGAIN)
    stream = container.streams.video[0]
    rate = stream.average_rate
    if stream.codec_context is None or min(stream.width, stream.height) <= 0:
        raise BadFile(path, "has no decodable video stream", AGAIN)
    return VideoInfo(stream.frames, float(rate) if rate else float("nan"), stream.width, stream.height)
