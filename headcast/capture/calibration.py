"""Is a rig plausible? Where its cameras look, whether they face a head there, and what is wrong when they do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float

from headcast.capture.camera import Camera
from headcast.errors import CaptureError

DISTANCE_M = (0.2, 5.0)
FACING_COSINE = 0.7
UNITS = {"millimetres": 1e-3, "centimetres": 1e-2}


@contextmanager
def described_by(source: Path) -> Iterator[None]:
    """Contradictions of a camera that is made inside are said of the file that describes it."""
    try:
        yield
    except CaptureError as error:
        raise CaptureError(source, f"{error.where}: {error.wrong}", error.todo) from error


def focus(cameras: list[Camera]) -> Float[np.ndarray, "3"]:
    """The point (m, world) that is nearest to all optical axes in the least-squares sense: where the head is."""
    normal, right = np.zeros((3, 3)), np.zeros(3)
    for camera in cameras:
        across = np.eye(3) - np.outer(camera.viewing_direction, camera.viewing_direction)
        normal += across
        right += across @ camera.center
    return np.linalg.lstsq(normal, right, rcond=None)[0]


def check_calibration(cameras: list[Camera], source: str) -> None:
    """Cameras must surround and face one point 0.2–5 m away; else ``CaptureError`` says which do not and why."""
    target = focus(cameras)
    wrong = [camera.serial for camera in cameras if not _faces(camera, target)]
    if not wrong:
        return
    inverted = [Camera(c.serial, c.K, c.camera_to_world, c.width, c.height) for c in cameras]
    swapped = all(_faces(camera, focus(inverted)) for camera in inverted)
    hint = (
        "the matrices look like camera-to-world: store world-to-camera"
        if swapped
        else f"check units ({_unit_hint(cameras)}) and axes (OpenCV: x right, y down, z forward)"
    )
    raise CaptureError(
        source,
        f"camera {wrong[0]} does not face the head from {DISTANCE_M[0]}–{DISTANCE_M[1]} m ({len(wrong)} of {len(cameras)} do not)",
        hint,
    )


def _faces(camera: Camera, target: Float[np.ndarray, "3"]) -> bool:
    offset = target - camera.center
    distance = float(np.linalg.norm(offset))
    return DISTANCE_M[0] <= distance <= DISTANCE_M[1] and float(camera.viewing_direction @ offset) > FACING_COSINE * distance


def _unit_hint(cameras: list[Camera]) -> str:
    """Which unit would put the cameras at a plausible distance, when metres do not."""
    distance = float(np.median([np.linalg.norm(camera.center - focus(cameras)) for camera in cameras]))
    fitting = [name for name, unit in UNITS.items() if DISTANCE_M[0] <= unit * distance <= DISTANCE_M[1]]
    if DISTANCE_M[0] <= distance <= DISTANCE_M[1] or not fitting:
        return "metres"
    return f"metres; the translations look like {' or '.join(fitting)}"
