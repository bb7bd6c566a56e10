"""The capture that the repository ships: whole, readable, small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headcast.capture.capture import open_capture
from headcast.capture.video import read_video_frames, read_video_info
from headcast.formats.ground_truth import open_ground_truth

DEMO = Path(__file__).parents[2] / "assets/demo"
LARGEST = 24_000_000
FRAMES, KEY_FRAMES, FRONT = 12, (0, 4, 10), "222200037"


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file()) <= LARGEST


@pytest.mark.parametrize("sequence", ["HAIR", "EXP-1-head"])
def test_every_camera_has_its_video_plate_and_ground_truth(sequence: str) -> None:
    capture, truth = open_capture("nersemble", DEMO, "demo", sequence, None, 16), open_ground_truth(DEMO / "ground_truth")
    assert truth is not None
    assert len(capture.color) == 16
    for serial, camera in capture.cameras.items():
        info = read_video_info(capture.films[serial].path)
        assert (info.frames, info.width, info.height) == (FRAMES, camera.width, camera.height)
        files = [truth.root / sequence / f"masks/cam_{serial}/frame_{frame:05d}.webp" for frame in range(FRAMES)]
        assert all(path.is_file() for path in files)
        assert [frame for frame in range(FRAMES) if truth.orientation(sequence, serial, frame) is not None] == list(KEY_FRAMES)
        assert truth.depth(sequence, serial, 0) is not None


def test_frames_equal_the_plate_where_the_subject_is_not_and_landmarks_lie_on_the_face() -> None:
    capture, truth = open_capture("nersemble", DEMO, "demo", "HAIR", None, 16), open_ground_truth(DEMO / "ground_truth")
    assert truth is not None
    alpha, face, depth = (getattr(truth, name)("HAIR", FRONT, 0) for name in ("alpha", "face", "depth"))
    frame = next(read_video_frames(capture.films[FRONT].path)).rgb.astype(float)
    with Image.open(capture.plates[FRONT]) as image:
        plate = np.array(image).astype(float)
    assert np.abs(frame - plate)[alpha == 0].mean() < 1.5
    assert np.abs(frame - plate)[alpha == 1].mean() > 20
    landmarks = truth.geometry("HAIR")["landmarks_3d"][0].astype(float)
    column, row = np.floor(capture.cameras[FRONT].project(landmarks[17:])).astype(int).T
    z = landmarks[17:] @ capture.cameras[FRONT].world_to_camera[2, :3] + capture.cameras[FRONT].world_to_camera[2, 3]
    assert face[row, column].min() > 0.9
    assert np.median(np.abs(depth[row, column] - z)) < 1.5e-3


def test_strands_are_the_same_hair_in_every_frame_and_move_with_the_head() -> None:
    truth = open_ground_truth(DEMO / "ground_truth")
    assert truth is not None
    strands, geometry = truth.strands("HAIR"), truth.geometry("HAIR")
    assert strands is not None
    assert geometry is not None
    assert strands.shape == (FRAMES, 2000, 32, 3)
    roots = np.einsum("fij,sj->fsi", geometry["head_rotation"], strands[0, :, 0]) + geometry["head_translation"][:, None]
    assert np.abs(roots - strands[:, :, 0]).max() < 1e-3
    tips = np.einsum("fij,sj->fsi", geometry["head_rotation"], strands[0, :, -1]) + geometry["head_translation"][:, None]
    swing = np.linalg.norm(tips - strands[:, :, -1], axis=-1)
    assert swing[0].max() < 1e-3
    assert np.percentile(swing[7], 90) > 0.01
