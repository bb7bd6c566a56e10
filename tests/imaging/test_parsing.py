"""Hair, face and body of a made-up subject: a sphere with a face, hair around it, clothes below, seen by three cameras."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import trimesh

from headcast.capture.camera import Camera
from headcast.errors import CaptureError
from headcast.imaging.appearance import fit_mixture
from headcast.imaging.guided import guided_filter, guided_upsample
from headcast.imaging.labels import BACKGROUND, BODY, FACE, HAIR
from headcast.imaging.parsing import (
    HeadRegions,
    LabelView,
    label_views,
    learn,
    paint_faces,
    project_head,
)

SIZE = 208


def head_mesh() -> tuple[np.ndarray, HeadRegions]:
    """A sphere (head, facing +z) on a cylinder (neck and bust)."""
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=0.1)
    bust = trimesh.creation.cylinder(
        radius=0.05, height=0.16, sections=24, transform=trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0])
    )
    bust = bust.subdivide().subdivide()
    bust.apply_translation([0, -0.16, 0])
    mesh = trimesh.util.concatenate([sphere, bust])
    v = np.asarray(mesh.vertices)
    on_head = np.arange(len(v)) < len(sphere.vertices)
    face = on_head & (v[:, 2] > 0.03) & (v[:, 1] < 0.05)
    scalp = (on_head & (v[:, 1] > 0.05)).astype(np.float64)
    weight = np.where(on_head, 1.0, np.clip((v[:, 1] + 0.16) / 0.06, 0, 1))
    return v, HeadRegions(np.asarray(mesh.faces), scalp, face, np.ones(len(v), bool), weight)


def camera(azimuth: float) -> Camera:
    c, s = np.cos(azimuth), np.sin(azimuth)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[c, 0, -s], [0, -1, 0], [-s, 0, -c]])
    pose[:3, 3] = [0, -0.03, 1]
    K = np.array([[2.4 * SIZE, 0, SIZE / 2], [0, 2.4 * SIZE, SIZE / 2], [0, 0, 1.0]])
    return Camera(f"{azimuth:.1f}", K, pose, SIZE, SIZE)


def paint(azimuth: float, seed: int) -> tuple[LabelView, np.ndarray]:
    """A view and its true labels: hair reaches 25 mm beyond the skull, down to the neck."""
    rng = np.random.default_rng(seed)
    vertices, head = head_mesh()
    view = LabelView(np.zeros((SIZE, SIZE, 3), np.uint8), np.ones((SIZE, SIZE), np.float32), camera(azimuth), vertices)
    place = project_head(view, head)
    centre = view.camera.project(np.zeros((1, 3)))[0]
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    truth = np.full((SIZE, SIZE), BACKGROUND)
    radius = 2.4 * SIZE
    truth[(np.hypot(x - centre[0], y - centre[1]) < 0.13 * radius) & (y < centre[1] + 0.09 * radius)] = HAIR
    on_head = (place.outside == 0) & (place.head > 0.9)
    truth[(place.outside == 0) & (place.head <= 0.9)] = BODY
    truth[((x - centre[0]) / (0.2 * radius)) ** 2 + ((y - SIZE - 4) / (0.07 * radius)) ** 2 < 1] = BODY
    truth[on_head & (place.face > 0.5)] = FACE
    tones = np.array([[110, 115, 120], [60, 65, 80], [205, 155, 135], [50, 34, 26]], float)
    image = tones[truth]
    skin = (truth == BODY) & (place.outside == 0) & (place.head > 0.05)
    image[skin] = tones[FACE]
    image[truth == HAIR] *= np.exp(0.25 * rng.standard_normal((int((truth == HAIR).sum()), 1)))
    image = cv2.GaussianBlur(image, (0, 0), 0.6) + rng.normal(0, 1.5, image.shape)
    alpha = cv2.GaussianBlur((truth > 0).astype(np.float32), (0, 0), 0.5)
    return LabelView(np.clip(image, 0, 255).astype(np.uint8), alpha, view.camera, vertices), truth


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.fixture(scope="module")
def labelled() -> list[tuple[LabelView, np.ndarray, np.ndarray, np.ndarray]]:
    scenes = [paint(azimuth, seed) for seed, azimuth in enumerate((-0.6, 0.0, 0.6))]
    found = label_views([view for view, _ in scenes], head_mesh()[1])
    return [(view, truth, *labels) for (view, truth), labels in zip(scenes, found, strict=True)]


def test_hair_and_face_are_where_they_were_painted(labelled: list) -> None:
    for _, truth, labels, _ in labelled:
        assert overlap(labels == HAIR, truth == HAIR) > 0.85
        assert overlap(labels == FACE, truth == FACE) > 0.85


def test_the_soft_hair_lies_within_the_matte_and_agrees_with_the_labels(labelled: list) -> None:
    for view, _, labels, hair in labelled:
        assert hair.dtype == np.float32 and labels.dtype == np.uint8
        assert (hair <= view.alpha).all() and hair.min() >= 0
        assert ((labels == BACKGROUND) == (view.alpha < 0.5)).all()
        assert hair[labels == HAIR].min() > 0.2 and hair[(labels == FACE)].max() <= 0.5 + 1e-6


def test_the_same_views_give_the_same_labels(labelled: list) -> None:
    again = next(iter(label_views([paint(a, s)[0] for s, a in enumerate((-0.6, 0.0, 0.6))], head_mesh()[1])))
    assert np.array_equal(again.labels, labelled[0][2]) and np.array_equal(again.hair, labelled[0][3])


def test_large_pictures_are_solved_small_and_labelled_in_full(labelled: list) -> None:
    view, truth = labelled[1][0], labelled[1][1]
    size = (3 * SIZE, 3 * SIZE)
    large = LabelView(
        cv2.resize(view.image, size, interpolation=cv2.INTER_CUBIC),
        np.clip(cv2.resize(view.alpha, size, interpolation=cv2.INTER_LINEAR), 0, 1),
        view.camera.resize(*size),
        view.vertices,
    )
    found = next(iter(label_views([large], head_mesh()[1])))
    truth = cv2.resize(truth.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    assert found.labels.shape == size
    assert overlap(found.labels == HAIR, truth == HAIR) > 0.85 and overlap(found.labels == FACE, truth == FACE) > 0.85


def test_a_nearer_triangle_hides_a_farther_one() -> None:
    pixels = np.array([[2, 2], [28, 2], [2, 28], [2, 2], [28, 2], [2, 28]], float)
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    front = paint_faces(pixels, np.array([1, 1, 1, 2, 2, 2.0]), faces, (32, 32))
    assert front[8, 8] == 0 and front[30, 30] == -1
    behind = paint_faces(pixels, np.array([1, 1, 1, -2, -2, -2.0]) * -1, faces, (32, 32))
    assert behind[8, 8] == 1


def test_a_head_outside_the_picture_is_an_error() -> None:
    vertices, head = head_mesh()
    view = LabelView(
        np.zeros((SIZE, SIZE, 3), np.uint8), np.ones((SIZE, SIZE), np.float32), camera(0.0), vertices + np.array([9.0, 0, 0])
    )
    with pytest.raises(CaptureError, match="not in the picture"):
        project_head(view, head)


def test_empty_mattes_are_an_error() -> None:
    view, _ = paint(0.0, 0)
    with pytest.raises(CaptureError):
        learn([LabelView(view.image, view.alpha * 0, view.camera, view.vertices)], head_mesh()[1])


def test_a_mixture_finds_its_clusters_and_their_density() -> None:
    rng = np.random.default_rng(0)
    samples = np.concatenate([rng.normal(0, 2, (400, 4)), rng.normal(20, 3, (400, 4))])
    mixture = fit_mixture(samples, np.ones(len(samples)))
    likely = mixture.log_likelihood(np.array([[0.0] * 4, [20.0] * 4, [10.0] * 4]))
    assert likely[:2].min() > likely[2] + 5
    assert abs(np.exp(mixture.log_weight).sum() - 1) < 1e-9


def test_the_guided_filter_keeps_edges_and_upsamples_along_them() -> None:
    guide = np.zeros((64, 64, 3), np.float32)
    guide[:, 32:] = 0.8
    rng = np.random.default_rng(0)
    noisy = (guide[..., 0] > 0.4) + rng.normal(0, 0.2, (64, 64)).astype(np.float32)
    smooth = guided_filter(guide, noisy, 5, 1e-3)
    assert smooth[:, 20:32].std() < 0.08 and smooth[:, 33].mean() - smooth[:, 30].mean() > 0.9
    small = cv2.resize((guide[..., 0] > 0.4).astype(np.float32), (16, 16), interpolation=cv2.INTER_AREA)
    large = guided_upsample(guide, cv2.resize(guide, (16, 16), interpolation=cv2.INTER_AREA), small, 2, 1e-4)
    assert np.abs(large - (guide[..., 0] > 0.4)).max() < 0.1
