"""The face's outline against mattes that are rendered from heads of known shape."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch

from headcast.capture.camera import Camera
from headcast.fitting.fit import fit
from headcast.fitting.silhouette import border
from headcast.geometry.meshes import vertex_normals
from headcast.heads.model import HeadParameters, neutral_parameters
from headcast.rendering.mesh import rasterize
from tests.fitting.ring import looking_at, ring, seen
from tests.heads.loaded import loaded_head

FRAMES = 3
FACES = torch.from_numpy(np.asarray(loaded_head().faces, np.int64))
CHOSEN = np.flatnonzero(loaded_head().face & loaded_head().skin & ~loaded_head().mouth_interior & (loaded_head().head_weight > 0.5))


def matte(mesh: torch.Tensor, camera: Camera) -> np.ndarray:
    """The head's own shadow, 255 inside."""
    pose, K = torch.from_numpy(camera.world_to_camera.copy()), torch.from_numpy(camera.K.copy())
    return (rasterize(mesh, FACES, pose, K, camera.width, camera.height).face_id.numpy() >= 0).astype(np.uint8) * 255


def found(mesh: np.ndarray, picture: np.ndarray, camera: Camera, covered: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """How far (m) the borders lie outside of the vertices, and how much they count."""
    normals = vertex_normals(torch.from_numpy(mesh), FACES).numpy()[CHOSEN]
    _, _, off, share = border(mesh, CHOSEN, normals, np.full(len(CHOSEN), covered), picture, camera)
    return off, share


def test_the_border_is_found_by_how_far_the_head_is_too_large_or_too_small() -> None:
    mesh = torch.from_numpy(loaded_head().mean)
    camera = looking_at(np.array([0.0, 0.0, 0.08]), 50.0, 5.0, "side")
    picture = matte(mesh, camera)
    off, share = found(mesh.numpy(), picture, camera)
    assert len(off) >= 10 and np.abs(np.median(off)) < 6e-4 and np.median(share) > 0.7
    centre = loaded_head().mean[CHOSEN].mean(axis=0)
    large, share = found((mesh.numpy() - centre) * 1.04 + centre, picture, camera)
    assert np.median(large) < -6e-4 and large.min() < -2e-3 and np.median(share) > 0.6
    small, _ = found((mesh.numpy() - centre) * 0.985 + centre, picture, camera)
    assert np.median(small) > 2e-4


def test_where_hair_goes_on_over_the_outline_nothing_is_known() -> None:
    mesh, camera = torch.from_numpy(loaded_head().mean), looking_at(np.array([0.0, 0.0, 0.08]), 50.0, 5.0, "side")
    picture = matte(mesh, camera)
    hairy = cv2.dilate(picture, np.ones((31, 31), np.uint8))  # 10 mm
    assert len(found(mesh.numpy(), hairy, camera)[0]) == 0
    assert len(found(mesh.numpy(), np.full_like(picture, 255), camera)[0]) == 0


def test_what_hair_covers_is_only_drawn_inwards() -> None:
    mesh, camera = loaded_head().mean, looking_at(np.array([0.0, 0.0, 0.08]), 50.0, 5.0, "side")
    picture, centre = matte(torch.from_numpy(mesh), camera), loaded_head().mean[CHOSEN].mean(axis=0)
    assert np.median(found((mesh - centre) * 1.04 + centre, picture, camera, covered=True)[0]) < -6e-4
    assert (found(mesh, picture, camera, covered=True)[0] < 0).all()
    inside, _ = found((mesh - centre) * 0.96 + centre, picture, camera, covered=True)
    assert len(inside) < 10 and (inside > -5e-4).all()


def subject() -> HeadParameters:
    """A head unlike the mean that turns a little."""
    head, identity = loaded_head(), torch.zeros(loaded_head().identity_size, dtype=torch.float64)
    identity[:20] = torch.from_numpy(np.random.default_rng(8).normal(size=20))
    turn = torch.tensor([[0.0, -0.15, 0.0], [0.0, 0.0, 0.0], [0.05, 0.15, 0.0]], dtype=torch.float64)
    return replace(neutral_parameters(head, FRAMES), identity=identity, rotation=turn)


def test_outlines_widen_a_face_that_landmarks_make_too_narrow() -> None:
    head, truth = loaded_head(), subject()
    vertices, cameras = head.vertices(truth), ring(np.array([0.0, 0.0, 0.08]), (-60, -40, -20, 20, 40, 60))
    narrow = np.array([0.95, 1.0, 1.0])  # a detector that takes faces for narrower than they are
    points, dense = head.landmarks(vertices).numpy() * narrow, head.dense_landmarks(vertices).numpy() * narrow
    landmarks = seen(points, dense, cameras, noise_px=0.5)
    pictures = [[matte(mesh, camera) for camera in cameras.values()] for mesh in vertices]

    side = CHOSEN[np.abs(head.mean[CHOSEN, 0]) > 0.05]

    def too_narrow(**more: object) -> float:
        """By how much (m) the sides of the face lie too far in, in the frame that looks ahead."""
        fitted = head.vertices(fit(landmarks, cameras, head, max_iterations=12, **more).parameters)  # type: ignore[arg-type]
        return float((vertices[1, side, 0].abs() - fitted[1, side, 0].abs()).mean())

    by_landmarks, by_outlines = too_narrow(), too_narrow(mattes=lambda frame: pictures[frame])
    assert by_landmarks > 1e-3
    assert abs(by_outlines) < 0.85 * by_landmarks


def test_a_scalp_stays_inside_the_mattes() -> None:
    """A skull that the identity prior makes too high for what is filmed of it comes down; landmarks alone do not know."""
    head, cameras = loaded_head(), ring(np.array([0.0, 0.0, 0.08]), (-80, -40, 0, 40, 80))
    truth = neutral_parameters(head, FRAMES)
    vertices = head.vertices(truth)
    flat = vertices.clone()
    scalp = np.flatnonzero(head.scalp > 0.5)
    top = float(head.mean[scalp, 1].max()) - 0.008
    flat[:, scalp, 1] = flat[:, scalp, 1].clamp_max(top)
    landmarks = seen(head.landmarks(vertices).numpy(), head.dense_landmarks(vertices).numpy(), cameras, noise_px=0.5)
    pictures = [[matte(mesh, camera) for camera in cameras.values()] for mesh in flat]

    def above(**more: object) -> float:
        """How far (m) the fitted skull stands above what was filmed."""
        fitted = head.vertices(fit(landmarks, cameras, head, max_iterations=12, **more).parameters)  # type: ignore[arg-type]
        return float(fitted[1, scalp, 1].max()) - top

    assert above() > 6e-3
    assert above(mattes=lambda frame: pictures[frame]) < 4e-3
