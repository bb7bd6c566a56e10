"""Films: H.264 in an MP4 that every player and browser reads, written whole or not at all."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8

from headcast.capture.video import VideoFrame, VideoInfo, read_video_frames, read_video_info
from headcast.errors import BadFile
from headcast.formats.atomic import atomic_path

__all__ = ["VideoFrame", "VideoInfo", "read_video_frames", "read_video_info", "write_video"]

CONSTANT_RATE_FACTOR = 18
BT709 = 1
NO_TREE = "mbtree=0"
"""libx264's macroblock tree reads memory that it never wrote: with it, equal pictures become films that differ."""


def write_video(path: Path, frames: Iterable[UInt8[np.ndarray, "H W 3"]], fps: float) -> int:
    """Encode RGB frames as they come (libx264, yuv420p, crf 18, BT.709); returns how many were written.

    An odd last row or column is repeated, because 4:2:0 needs even sizes. Nothing appears under ``path`` when a frame fails.
    ``BadFile`` when there is no frame, a frame is not ``H W 3`` uint8, or sizes differ.
    """
    count = 0
    with atomic_path(path) as temporary:
        with av.open(str(temporary), "w", options={"movflags": "+faststart"}) as container:
            stream = None
            for frame in frames:
                _check(path, count, frame)
                picture = _even(frame)
                if stream is None:
                    stream = _stream(container, picture, fps)
                if (stream.height, stream.width) != picture.shape[:2]:
                    raise BadFile(path, f"frame {count} has another size than the first", "render all frames at one size")
                container.mux(stream.encode(_encodable(picture)))
                count += 1
            if stream is None:
                raise BadFile(path, "there is no frame to write")
            container.mux(stream.encode(None))
        _check_written(temporary, count)
    return count


def _check_written(path: Path, frames: int) -> None:
    """What the muxer could not write as it closed the file, it does not tell."""
    try:
        with av.open(str(path)) as container:
            written = sum(packet.size > 0 for packet in container.demux(video=0))
    except av.FFmpegError:
        written = 0
    if written != frames:
        raise OSError(errno.EIO, f"{written} of {frames} frames were written", str(path))


def _check(path: Path, index: int, frame: np.ndarray) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.size == 0:
        raise BadFile(path, f"frame {index} must be H×W×3 uint8, not {frame.shape} {frame.dtype}")


def _even(frame: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _stream(container: av.container.OutputContainer, picture: np.ndarray, fps: float) -> av.VideoStream:
    """A deterministic single-threaded encoder for pictures of this size."""
    options = {"crf": str(CONSTANT_RATE_FACTOR), "preset": "medium", "threads": "1", "x264-params": NO_TREE}
    stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
    stream.height, stream.width = picture.shape[:2]
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.colorspace, context.color_primaries, context.color_trc, context.color_range = BT709, BT709, BT709, BT709
    return stream


def _encodable(picture: UInt8[np.ndarray, "H W 3"]) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace="ITU709")
