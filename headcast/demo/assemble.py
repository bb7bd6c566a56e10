"""The demo capture as a folder in the raw layout of a NeRSemble download, with ground truth beside it, from rendered pictures.

``demo/calibration``, ``demo/sequences``, ``metadata_*.csv``, ``ground_truth/``; what exists stays, so an interrupted run goes on.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from headcast.demo import develop
from headcast.demo.bundle import Geometry, open_bundle
from headcast.demo.cameras import placement
from headcast.demo.geometry_files import write_geometry, write_head, write_strands
from headcast.demo.render import PLATE, picture_path
from headcast.demo.truth import cameras_of
from headcast.demo.truth_cache import TONE_STEPS, TruthCache
from headcast.demo.truth_files import LEVELS, write_encoding, write_view
from headcast.errors import BadFile
from headcast.formats.atomic import atomic_path, write_json
from headcast.formats.raw_video import write_raw_video

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jaxtyping import Float, UInt8

    from headcast.capture.camera import Camera

logger = logging.getLogger(__name__)
SUBJECT = "demo"
FPS = 24
CRF = 16.0
JPEG_QUALITY = 95
STRAND_CONTRAST = 0.0
SEQUENCES = (
    "BACKGROUND", "GLASSES", "EXP-1-head", "EXP-2-eyes", "EXP-3-cheeks+nose", "EXP-4-lips", "EXP-5-mouth", "EXP-6-tongue-1",
    "EXP-7-tongue-2", "EXP-8-jaw-1", "EXP-9-jaw-2", "HAIR", "FREE",
)  # fmt: skip


@dataclass(frozen=True)
class Sources:
    """What a capture is assembled from: the geometry bundle, the rendered pictures, the cached ground truth."""

    bundle: Path
    pictures: Path
    cache: TruthCache

    @cached_property
    def geometry(self) -> Geometry:
        """The opened bundle."""
        return open_bundle(self.bundle)

    @cached_property
    def cameras(self) -> dict[str, Camera]:
        """The rig."""
        return cameras_of(self.geometry)

    @cached_property
    def matrices(self) -> dict[str, Float[np.ndarray, "3 3"]]:
        """What undoes each camera's cast."""
        return develop.color_matrices(list(self.cameras))

    def picture(self, sequence: str, frame: int, serial: str) -> UInt8[np.ndarray, "H W 4"]:
        """A rendered picture, straight alpha, sRGB."""
        path = picture_path(self.pictures, (sequence, frame, serial))
        try:
            with Image.open(path) as image:
                pixels = np.array(image.convert("RGBA"))
        except OSError as error:
            raise BadFile(path, f"cannot be read ({error})", "delete it and run the same command again") from error
        camera = self.cameras[serial]
        if pixels.shape != (camera.height, camera.width, 4):
            raise BadFile(path, f"is {pixels.shape[1]}×{pixels.shape[0]}", "delete it and run the same command again")
        return pixels

    def plate(self, serial: str) -> Float[np.ndarray, "H W 3"]:
        """The empty studio in linear light."""
        return np.asarray(develop.decode_srgb(self.picture(PLATE, -1, serial)[..., :3] / 255.0))


def assemble(sources: Sources, root: Path, progress: Callable[[int, int], None]) -> None:
    """Write the whole capture into ``root``."""
    write_metadata(root)
    write_calibration(sources, root)
    geometry, truth = sources.geometry, root / "ground_truth"
    write_encoding(truth)
    write_head(geometry, truth)
    jobs = [(sequence, serial) for sequence in sorted(geometry.frames) for serial in sources.cameras]
    for sequence in sorted(geometry.frames):
        write_geometry(geometry, truth, sequence)
        write_strands(geometry, truth, sequence)
    for done, (sequence, serial) in enumerate(jobs, start=1):
        write_camera(sources, root, sequence, serial)
        for frame in range(geometry.frames[sequence]):
            write_view(truth, sources.cache, sequence, frame, serial)
        progress(done, len(jobs))


def write_metadata(root: Path) -> None:
    """The two tables that list what was recorded."""
    recorded = {"BACKGROUND", "EXP-1-head", "HAIR"}
    marks = ",".join("x" if name in recorded else "" for name in SEQUENCES)
    tables = {
        "metadata_sequences.csv": f"ID,{','.join(SEQUENCES)},wears_glasses\n{SUBJECT},{marks},\n",
        "metadata_participants.csv": f"ID,synthetic,wears_glasses\n{SUBJECT},x,\n",
    }
    for name, text in tables.items():
        with atomic_path(root / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def write_calibration(sources: Sources, root: Path) -> None:
    """Cameras and colour as a capture carries them, and once more with the ground truth."""
    cameras = sources.cameras
    first = next(iter(cameras.values()))
    intrinsics = first.K.tolist()
    poses = {serial: camera.world_to_camera.tolist() for serial, camera in cameras.items()}
    folder = root / SUBJECT / "calibration"
    write_json(folder / "camera_params.json", {"world_2_cam": poses, "intrinsics": intrinsics})
    write_json(folder / "color_calibration.json", {serial: matrix.tolist() for serial, matrix in sources.matrices.items()})
    about = {
        "width": first.width,
        "height": first.height,
        "convention": "OpenCV world-to-camera, metres; u = K[0][0] x/z + K[0][2] in pixels, centres at +0.5, no lens distortion",
        "intrinsics": intrinsics,
        "cameras": {serial: {"world_2_cam": poses[serial], **placement(camera)} for serial, camera in cameras.items()},
    }
    write_json(root / "ground_truth" / "cameras.json", about)


def write_camera(sources: Sources, root: Path, sequence: str, serial: str, crf: float = CRF) -> None:
    """A camera's video of a sequence and its plate, unless they are there."""
    folder = root / SUBJECT / "sequences"
    video, plate = folder / sequence / "images" / f"cam_{serial}.mp4", folder / "BACKGROUND" / f"image_{serial}.jpg"
    if not plate.exists():
        photograph = develop.film(sources.plate(serial), sources.matrices[serial], noise(PLATE, 0, serial))
        with atomic_path(plate) as temporary:
            temporary.write_bytes(jpeg(photograph))
    if not video.exists():
        write_raw_video(video, frames(sources, sequence, serial), FPS, crf)
        logger.info("%s written", video.name)


def frames(sources: Sources, sequence: str, serial: str) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The raw frames of a camera, one after the other."""
    plate = sources.plate(serial)
    for frame in range(sources.geometry.frames[sequence]):
        view = sources.cache.load(sequence, frame, serial)
        alpha, hair = (view[name].astype(np.float64) / LEVELS for name in ("alpha", "hair"))
        colour = develop.subject_colour(sources.picture(sequence, frame, serial), alpha > 0)
        colour = develop.strand_contrast(colour, hair, view["tone"].astype(np.float64) / TONE_STEPS, STRAND_CONTRAST)
        linear = develop.over(colour, alpha, plate)
        yield develop.film(linear, sources.matrices[serial], noise(sequence, frame, serial))


def noise(sequence: str, frame: int, serial: str) -> np.random.Generator:
    """The generator of one picture's sensor noise."""
    return np.random.default_rng([*sequence.encode(), frame, int(serial)])


def jpeg(pixels: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """JPEG without chroma subsampling."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
