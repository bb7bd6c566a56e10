"""One video of an unknown camera, for a performance that drives an avatar: ``{root}/{subject}/sequences/{sequence}.mp4``.

Nothing is known of the camera: it is taken for a pinhole without distortion, its focal length `FOCAL` times the longer side of the
picture, its principal point in the middle, 1 m before the world's origin, y up. Expressions and turns of the head hardly depend on
that; its distance and its size do, and only their ratio is real.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headcast.capture.camera import Camera
from headcast.capture.capture import Capture
from headcast.capture.film import VideoFilm
from headcast.capture.raw import VIDEOS, monocular_files
from headcast.errors import AssetMissing, CaptureError

SERIAL = "mono"
FOCAL = 1.2
DISTANCE_M = 1.0


def read(root: Path, subject: str, sequence: str, cameras: list[str] | None = None) -> Capture:
    """Open the video; ``cameras`` chooses among those of a rig and does not concern it."""
    found = monocular_files(root, subject, sequence)
    if not found:
        place = root / subject / "sequences" / f"{sequence}.mp4"
        raise AssetMissing(place, f"the video of {subject}/{sequence} is not there", f"place it there ({', '.join(VIDEOS)})")
    if len(found) > 1:
        raise CaptureError(found[1], f"is a second video beside {found[0].name}", "keep one")
    film = VideoFilm(found[0])
    camera = assumed_camera(*film.size())
    return Capture(subject, sequence, {SERIAL: camera}, {SERIAL: film}, {}, {}, (found[0],), whole=True)


def assumed_camera(width: int, height: int) -> Camera:
    """The camera that a picture of this size (px) is taken to come from."""
    focal = FOCAL * max(width, height)
    pose = np.diag([1.0, -1.0, -1.0, 1.0])
    pose[2, 3] = DISTANCE_M
    return Camera(SERIAL, np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]]), pose, width, height)
