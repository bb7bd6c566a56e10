"""A camera that is calibrated a little wrong is found, and turned back; the others stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from headcast.capture.camera import Camera
from headcast.errors import CaptureError
from headcast.fitting.cameras import CameraPrior, refine_cameras
from headcast.imaging.landmarks import Landmarks
from tests.fitting.ring import ring, seen
from tests.heads.loaded import loaded_head

AZIMUTHS = (-50, -30, -10, 10, 30, 50)
FRAMES = 6


def filmed(noise_px: float = 1.0) -> tuple[Landmarks, dict[str, Camera]]:
    """A head that turns, as its detector sees it: noise of each point, anew in every frame and view."""
    head = loaded_head()
    local = [points.on(head.mean) for points in (head.landmark_embedding, head.dense_embedding)]
    turn = Rotation.from_euler("yx", np.stack([np.linspace(-15, 15, FRAMES), np.linspace(4, -4, FRAMES)], 1), degrees=True)
    points, dense = (np.einsum("fij,lj->fli", turn.as_matrix(), set_) for set_ in local)
    cameras = ring(local[0].mean(axis=0), AZIMUTHS)
    return seen(points, dense, cameras, noise_px), cameras


def turned(camera: Camera, degrees: float, axis: tuple[float, float, float] = (0.6, 0.8, 0.0)) -> Camera:
    """The camera turned about its own centre."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * np.array(axis)).as_matrix() @ camera.world_to_camera[:3, :3]
    pose[:3, 3] = -pose[:3, :3] @ camera.center
    return replace(camera, world_to_camera=pose)


def miss_px(camera: Camera, true: Camera, points: np.ndarray) -> float:
    return float(np.linalg.norm(camera.project(points) - true.project(points), axis=-1).mean())


def test_a_camera_half_a_degree_off_is_turned_back() -> None:
    landmarks, true = filmed()
    calibrated = true | {"c2": turned(true["c2"], 0.5)}
    refined, moves = refine_cameras(landmarks, calibrated, CameraPrior())
    centre = loaded_head().mean[loaded_head().face]
    assert miss_px(calibrated["c2"], true["c2"], centre) > 12
    assert miss_px(refined["c2"], true["c2"], centre) < 1.5
    assert max(miss_px(refined[s], true[s], centre) for s in true if s != "c2") < 1.5
    assert moves["c2"].before_px > 8 and moves["c2"].after_px < 0.3 * moves["c2"].before_px
    assert moves["c2"].rotation_deg == pytest.approx(0.5, abs=0.1)
    assert max(move.rotation_deg for serial, move in moves.items() if serial != "c2") < 0.1


def test_a_shifted_camera_is_brought_back() -> None:
    landmarks, true = filmed()
    pose = true["c4"].world_to_camera.copy()
    pose[0, 3] += 0.006
    calibrated = true | {"c4": replace(true["c4"], world_to_camera=pose)}
    refined, moves = refine_cameras(landmarks, calibrated, CameraPrior())
    centre = loaded_head().mean[loaded_head().face]
    assert miss_px(refined["c4"], true["c4"], centre) < 0.2 * miss_px(calibrated["c4"], true["c4"], centre)
    assert moves["c4"].after_px < 0.4 * moves["c4"].before_px


def test_a_right_calibration_stays_and_a_stiff_prior_holds() -> None:
    landmarks, true = filmed()
    _, moves = refine_cameras(landmarks, true, CameraPrior())
    assert max(move.rotation_deg for move in moves.values()) < 0.08 and max(move.translation_mm for move in moves.values()) < 1.0
    calibrated = true | {"c2": turned(true["c2"], 0.5)}
    _, moves = refine_cameras(landmarks, calibrated, CameraPrior(rotation_deg=1e-4, translation_mm=1e-3))
    assert max(move.rotation_deg for move in moves.values()) < 0.01


def test_a_camera_without_a_face_keeps_its_pose_and_three_cannot_tell() -> None:
    landmarks, true = filmed()
    landmarks.points[:, 5], landmarks.dense[:, 5] = np.nan, np.nan
    refined, moves = refine_cameras(landmarks, true, CameraPrior())
    assert refined["c5"] is true["c5"] and np.isnan(moves["c5"].after_px)
    few = Landmarks(landmarks.cameras[:3], landmarks.points[:, :3], landmarks.confidence[:, :3], landmarks.dense[:, :3])
    with pytest.raises(CaptureError, match=r"refine_cameras: .*3 cameras"):
        refine_cameras(few, true, CameraPrior())
