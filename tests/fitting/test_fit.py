"""The joint fit finds heads of the model back from their landmarks, in any world frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from headcast.capture.monocular import assumed_camera
from headcast.delivery.retarget import neutral_expression
from headcast.errors import CaptureError
from headcast.fitting.fit import fit
from headcast.heads.linear_head import LinearHead
from headcast.heads.model import HeadParameters, neutral_parameters
from headcast.imaging.landmarks import Landmarks
from tests.fitting.ring import ring, seen
from tests.heads.loaded import loaded_head

FRAMES = 4


@pytest.fixture(scope="module")
def head() -> LinearHead:
    return loaded_head()


def subject(head: LinearHead, turn: Rotation, frames: int = FRAMES) -> HeadParameters:
    """A head that turns, opens its mouth and looks aside, in a world that is turned by ``turn``."""
    rng, time = np.random.default_rng(5), np.linspace(0, 1, frames)
    identity = np.zeros(head.identity_size)
    identity[:25] = rng.normal(size=25) * 0.8
    expression = np.zeros((frames, head.expression_size))
    expression[:, head.expression_names.index("jawOpen")] = 0.5 * time
    expression[:, head.expression_names.index("eyeBlinkLeft")] = 0.6 * time
    rotation = turn * Rotation.from_euler("yx", np.stack([20 * time - 10, 5 * time], 1), degrees=True)
    found = {
        "identity": identity,
        "expression": expression,
        "rotation": rotation.as_rotvec(),
        "translation": turn.apply(np.stack([0.02 * time, 0 * time, -0.02 * time], 1)),
        "eye_pose": np.tile([0, 0.2, 0, 0, 0.2, 0], (frames, 1)),
        "scale": np.array(1.05),
    }
    return replace(
        neutral_parameters(head, frames), **{k: torch.from_numpy(np.asarray(v, dtype=np.float64)) for k, v in found.items()}
    )


def observed(head: LinearHead, truth: HeadParameters, turn: Rotation, noise_px: float = 0.0) -> tuple[Landmarks, dict]:  # type: ignore[type-arg]
    """Landmarks of a subject, seen by cameras that are turned with the world."""
    vertices = head.vertices(truth)
    cameras = {}
    pose = np.eye(4)
    pose[:3, :3] = turn.as_matrix().T
    for serial, camera in ring(np.array([0.0, 0.02, 0.1])).items():
        cameras[serial] = replace(camera, world_to_camera=camera.world_to_camera @ pose)
    points, dense = head.landmarks(vertices).numpy(), head.dense_landmarks(vertices).numpy()
    return seen(points, dense, cameras, noise_px), cameras


@pytest.mark.parametrize("turn_deg", [0.0, 120.0])
def test_finds_a_head_of_the_model_back(head: LinearHead, turn_deg: float) -> None:
    turn = Rotation.from_rotvec(np.radians(turn_deg) * np.array([0.6, 0.0, 0.8]))
    truth = subject(head, turn)
    landmarks, cameras = observed(head, truth, turn, noise_px=0.3)
    found = fit(landmarks, cameras, head, max_iterations=15)
    face = head.face & head.skin
    error = (head.vertices(found.parameters) - head.vertices(truth))[:, face].norm(dim=-1)
    assert error.median() < 1.0e-3
    assert np.nanmean(found.reprojection_px) < 1.0 and found.landmarks_3d.shape == (FRAMES, 68, 3)
    jaw = head.expression_names.index("jawOpen")
    assert abs(found.parameters.expression[-1, jaw] - 0.5) < 0.15
    assert found.parameters.expression.min() >= 0.0 and found.parameters.expression.max() <= 1.0
    assert found.parameters.eye_pose[:, 1].mean() == pytest.approx(0.2, abs=0.08)


def test_missing_frames_and_outliers_do_not_break_it(head: LinearHead) -> None:
    turn = Rotation.identity()
    truth = subject(head, turn)
    landmarks, cameras = observed(head, truth, turn)
    landmarks.points[1], landmarks.dense[1], landmarks.confidence[1] = np.nan, np.nan, 0.0
    landmarks.dense[2, 0, 100:140] += 80.0
    found = fit(landmarks, cameras, head, max_iterations=10)
    face = head.face & head.skin
    error = (head.vertices(found.parameters) - head.vertices(truth))[:, face].norm(dim=-1)
    assert error[[0, 2, 3]].median() < 1.2e-3
    assert error[1].median() < 8e-3 and np.isnan(found.reprojection_px[1]).all()
    assert all(torch.isfinite(getattr(found.parameters, name)).all() for name in ("identity", "expression", "rotation", "eye_pose"))


def test_a_given_identity_is_kept(head: LinearHead) -> None:
    turn = Rotation.identity()
    truth = subject(head, turn)
    landmarks, cameras = observed(head, truth, turn)
    found = fit(landmarks, cameras, head, max_iterations=10, identity=truth.identity, scale=truth.scale)
    torch.testing.assert_close(found.parameters.identity, truth.identity)
    torch.testing.assert_close(found.parameters.scale, truth.scale)
    assert (head.vertices(found.parameters) - head.vertices(truth))[:, head.face & head.skin].norm(dim=-1).median() < 5e-4


def test_one_camera_places_the_head(head: LinearHead) -> None:
    turn = Rotation.identity()
    truth = subject(head, turn)
    landmarks, cameras = observed(head, truth, turn)
    single = Landmarks(("c2",), landmarks.points[:, 2:3], landmarks.confidence[:, 2:3], landmarks.dense[:, 2:3])
    found = fit(single, {"c2": cameras["c2"]}, head, max_iterations=15)
    assert np.nanmean(found.reprojection_px) < 2.5
    angle = Rotation.from_rotvec(found.parameters.rotation.numpy()) * Rotation.from_rotvec(truth.rotation.numpy()).inv()
    assert np.degrees(angle.magnitude()).max() < 10


@pytest.mark.parametrize("focal", [0.9, 2.0])
def test_one_camera_of_another_focal_length_gives_turns_and_expressions(head: LinearHead, focal: float) -> None:
    """A performance before a camera of ``focal`` times the picture's side, as its detector sees it: with an error of each point."""
    frames, assumed, rng = 24, assumed_camera(512, 512), np.random.default_rng(1)
    time, truth = np.linspace(0, 1, frames), subject(head, Rotation.identity(), frames)
    turn = Rotation.from_euler("yxz", np.stack([25 * np.sin(6 * time), 8 * np.sin(12 * time), 10 * time], 1), degrees=True)
    truth = replace(truth, rotation=torch.from_numpy(turn.as_rotvec()), scale=torch.tensor(1.0, dtype=torch.float64))
    pose, K = assumed.world_to_camera.copy(), assumed.K.copy()
    K[0, 0] = K[1, 1] = focal * 512
    pose[2, 3] = focal * 512 / assumed.K[0, 0]
    vertices = head.vertices(truth)
    exact = seen(
        head.landmarks(vertices).numpy(),
        head.dense_landmarks(vertices).numpy(),
        {"mono": replace(assumed, K=K, world_to_camera=pose)},
    )
    error = 0.015 * np.linalg.norm(exact.points[0, 0, 36] - exact.points[0, 0, 45])
    off = [error * rng.normal(size=(1, 1, points, 2)) for points in (68, 478)]
    landmarks = Landmarks(("mono",), exact.points + off[0], 0.3 * exact.confidence, exact.dense + off[1])
    found = fit(landmarks, {"mono": assumed}, head, max_iterations=30).parameters
    assert float(found.scale) == pytest.approx(1, abs=0.01)
    moved = Rotation.from_rotvec(found.rotation.numpy())
    wrong = np.degrees(((moved[0].inv() * moved).inv() * (turn[0].inv() * turn)).magnitude())
    assert wrong.mean() < 1.8
    code, true = found.expression - neutral_expression(found.expression), truth.expression - truth.expression[0]
    assert float((code - true).square().mean().sqrt()) < 0.034
    jaw = head.expression_names.index("jawOpen")
    assert float(np.corrcoef(code[:, jaw], true[:, jaw])[0, 1]) > 0.95


def test_the_bust_stays_while_the_head_turns(head: LinearHead) -> None:
    turn = Rotation.identity()
    landmarks, cameras = observed(head, subject(head, turn), turn)
    parameters = fit(landmarks, cameras, head, max_iterations=5).parameters
    bust = Rotation.from_rotvec(parameters.rotation.numpy()) * Rotation.from_rotvec(parameters.neck_pose.numpy()).inv()
    assert (bust * bust[0].inv()).magnitude().max() < 1e-6


def test_no_face_at_all_and_foreign_identity_are_capture_errors(head: LinearHead) -> None:
    turn = Rotation.identity()
    landmarks, cameras = observed(head, subject(head, turn), turn)
    empty = Landmarks(landmarks.cameras, landmarks.points * np.nan, landmarks.confidence * 0, landmarks.dense * np.nan)
    with pytest.raises(CaptureError, match="no frame shows a face"):
        fit(empty, cameras, head)
    with pytest.raises(CaptureError, match="components"):
        fit(landmarks, cameras, head, identity=torch.zeros(7))
