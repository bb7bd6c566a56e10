"""How what comes before training breaks: folders of other tools, what only pictures give away, products changed on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PIL import Image

from tests.doctor import test_doctor as damages
from tests.doctor.ball_capture import SIZE, BallCapture
from tests.stages import test_gha as gha
from tests.stages import test_vhap as vhap

from .broken_raw import Row, cut


def below(root: Path, name: str = "") -> Path:
    return root / "export" / gha.BELOW / name


def tracked(root: Path) -> Path:
    return root / "vhap" / vhap.BELOW


def squashed(root: Path) -> None:
    with Image.open(below(root, "images/0001/image_c1.jpg")) as image:
        image.resize((2048, 1024)).save(below(root, "images/0001/image_c1.jpg"))


def colours_for_degrees(root: Path) -> None:
    for path in below(root).glob("orientation_vis_imgs/*/*.png"):
        shutil.copy(path, str(path).replace("_vis_imgs", "_maps"))


GHA = [
    ("video", "a picture is missing", lambda root: below(root, "images/0001/image_c1.jpg").unlink()),
    ("video", "a picture is not square", squashed),
    ("calibration", "a camera moves", lambda root: gha.moved_camera(below(root))),
    ("calibration", "intrinsics in pixels of 256²", lambda root: gha.small_pixels(below(root))),
    ("calibration", "a camera is an empty file", lambda root: below(root, "cameras/0000/camera_c0.npz").write_bytes(b"")),
    ("background", "a plate is missing", lambda root: gha.no_plate(below(root))),
    (
        "labels",
        "the hair mask of a view is missing",
        lambda root: below(root, "NeuralHaircut_masks/hair/0001/image_c2.jpg").unlink(),
    ),
    ("labels", "colours in place of degrees of orientation", colours_for_degrees),
    ("labels", "66 landmarks", lambda root: gha.odd_landmarks(below(root))),
]
VHAP = [
    ("video", "a picture of another size", lambda root: vhap.other_size(tracked(root))),
    (
        "calibration",
        "a timestep in words",
        lambda root: vhap.edit(tracked(root), lambda c: c["frames"][3].update(timestep_index="three")),
    ),
    ("calibration", "a camera moves", lambda root: vhap.moved_camera(tracked(root))),
    ("metadata", "a view is not listed", lambda root: vhap.no_view(tracked(root))),
    ("labels", "a matte is missing", lambda root: vhap.no_mask(tracked(root))),
]


# What only the pictures give away: the doctor's part, and products that changed on the disk.


def exchanged(ball: BallCapture) -> None:
    """The calibrations of two cameras."""
    ball.cameras["c1"], ball.cameras["c3"] = (replace(ball.cameras[b], serial=a) for a, b in (("c1", "c3"), ("c3", "c1")))


DOCTOR: list[tuple[str, str, Callable[[BallCapture], object]]] = [
    ("video", "a camera runs a frame behind", damages.damage_synchronisation),
    ("video", "a recorder repeated its frames", damages.damage_frozen),
    ("video", "half a second is missing in all films", damages.damage_gaps),
    ("video", "a camera is out of focus", damages.damage_focus),
    ("video", "a camera has another white balance", damages.damage_color),
    ("calibration", "two cameras are exchanged", exchanged),
    ("calibration", "the rig is calibrated at twice its size", damages.damage_scale),
    ("background", "the light changed after the plates", damages.damage_plate),
    ("labels", "no hair is labelled", damages.damage_hair_coverage),
    ("labels", "labels lie beside the matte", damages.damage_labels_in_matte),
]
DISK = [
    ("labels", "a label map is cut on the disk", lambda root: cut(root / "ball/TALK/masks/0002/labels_c1.png")),
    (
        "labels",
        "a matte was painted over by hand",
        lambda root: Image.new("L", (SIZE, SIZE), 255).save(root / "ball/TALK/mattes/0000/matte_c1.png"),
    ),
    ("video", "an extracted image is gone", lambda root: (root / "ball/TALK/images/0003/image_c2.png").unlink()),
]
PREPROCESSED: dict[str, list[Row]] = {"gha": GHA, "vhap": VHAP, "products": DISK}
"""Rows by layout."""
