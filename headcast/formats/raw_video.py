"""Videos as a capture delivers them: H.264 4:4:4, tagged BT.601 limited range, sRGB curve, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8

from headcast.errors import BadFile
from headcast.formats.atomic import atomic_path

SMPTE170M, BT709_PRIMARIES, SRGB_CURVE, LIMITED = 6, 1, 13, 1
# ITU-R BT.601: R'G'B' in [0, 1] → Y' 16–235, Cb and Cr 16–240
BT601 = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
OFFSET = np.array([16.0, 128.0, 128.0])


def write_raw_video(path: Path, frames: Iterable[UInt8[np.ndarray, "H W 3"]], fps: int, crf: float) -> int:
    """Encode RGB frames (libx264, yuv444p, constant rate factor ``crf``); returns their number. ``BadFile`` when there is none.

    The bytes are not always the same for the same input (libx264's choices depend on more than it is given); quality is.
    """
    count = 0
    with atomic_path(path) as temporary, av.open(str(temporary), "w", options={"movflags": "+faststart"}) as container:
        stream = None
        for frame in frames:
            stream = stream or _stream(container, frame.shape, fps, crf)
            container.mux(stream.encode(_encodable(frame)))
            count += 1
        if stream is None:
            raise BadFile(path, "there is no frame to write")
        container.mux(stream.encode(None))
    return count


def _stream(container: av.container.OutputContainer, shape: tuple[int, ...], fps: int, crf: float) -> av.VideoStream:
    options = {"crf": str(crf), "preset": "veryslow", "threads": "1", "x264-params": "psy=0:aq-mode=0"}
    stream = container.add_stream("libx264", rate=Fraction(fps), options=options)
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv444p"
    context = stream.codec_context
    context.colorspace, context.color_primaries = SMPTE170M, BT709_PRIMARIES
    context.color_trc, context.color_range = SRGB_CURVE, LIMITED
    return stream


def _encodable(frame: UInt8[np.ndarray, "H W 3"]) -> av.VideoFrame:
    planes = np.rint(frame.astype(np.float64) / 255 @ BT601.T + OFFSET).astype(np.uint8)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(planes.transpose(2, 0, 1)), format="yuv444p")
