"""The working crop: pixels and camera move together; colour is corrected in linear light."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from headcast.capture.camera import Camera
from headcast.errors import CaptureError
from headcast.imaging.color import before_correction, correct, decode_srgb, encode_srgb, terms
from headcast.imaging.crop import head_crop


def camera(cx: float = 178.6, cy: float = 252.2, width: int = 352, height: int = 512) -> Camera:
    extrinsics = np.eye(4)
    extrinsics[2, 3] = 1.0
    return Camera("1", np.array([[1225.0, 0, cx], [0, 1225, cy], [0, 0, 1]]), extrinsics, width, height)


def test_nersembles_numbers() -> None:
    raw = camera(1100.0, 1604.0, 2200, 3208)
    crop = head_crop(raw, 2048)
    assert (crop.left, crop.top, crop.side) == (-200, 304, 2600)
    np.testing.assert_allclose(crop.camera(raw).K[:2, 2], 1024, atol=1)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.3, 0.7), st.floats(0.3, 0.7), st.sampled_from([128, 256, 416]))
def test_a_bright_spot_lands_where_the_camera_says(u: float, v: float, size: int) -> None:
    raw = camera()
    image = np.zeros((512, 352, 3), np.uint8)
    x, y = int(u * 352), int(v * 512)
    image[y - 4 : y + 5, x - 4 : x + 5] = 255
    crop = head_crop(raw, size)
    row, column = ndimage.center_of_mass(crop.image(image)[..., 0].astype(float))
    expected = (np.array([x + 0.5, y + 0.5]) - [crop.left, crop.top]) * size / crop.side
    np.testing.assert_allclose([column + 0.5, row + 0.5], expected, atol=0.05)


def test_projection_is_invariant_to_the_crop() -> None:
    raw = camera()
    points = np.random.default_rng(0).normal(0, 0.1, (20, 3))
    crop = head_crop(raw, 256)
    expected = (raw.project(points) - [crop.left, crop.top]) * 256 / crop.side
    np.testing.assert_allclose(crop.camera(raw).project(points), expected, atol=1e-9)


def test_only_real_pixels_are_visible() -> None:
    raw = camera()
    visible = head_crop(raw, 416).visible(raw)
    assert visible.sum() == pytest.approx(352 * 416, rel=0.01)
    assert not visible[:, 0].any()


def test_srgb_curves_are_inverse() -> None:
    values = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(encode_srgb(decode_srgb(values)), values, atol=1e-6)


def test_a_cast_is_undone_to_a_grey_level() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(20, 220, (16, 16, 3)).astype(np.uint8)
    cast = np.array([[0.9, 0.05, 0], [0.02, 1.0, 0.03], [0, 0.04, 0.85]])
    filmed = np.rint(encode_srgb(decode_srgb(truth / 255) @ cast.T) * 255).astype(np.uint8)
    restored = correct(filmed, np.linalg.inv(cast))
    assert np.abs(restored.astype(int) - truth).max() <= 3
    assert np.abs(filmed.astype(int) - truth).max() > 5


@pytest.mark.parametrize("count", [3, 4, 7])
def test_what_was_filmed_is_known_from_what_was_corrected(count: int) -> None:
    filmed = np.random.default_rng(2).uniform(0.1, 0.8, (20, 3))
    matrix = np.eye(3, count) + np.random.default_rng(3).uniform(0, 0.05, (3, count))
    found = before_correction(terms(filmed, count) @ matrix.T, matrix)
    if count > 4:  # no affine map: not undone
        assert np.isnan(found).all()
    else:
        np.testing.assert_allclose(found, filmed, atol=1e-12)


@pytest.mark.parametrize("count", [3, 4, 5, 6, 7, 8, 9, 10, 11])
def test_known_models_have_their_terms(count: int) -> None:
    assert terms(np.random.default_rng(0).random((4, 3)), count).shape == (4, count)


def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(CaptureError):
        terms(np.zeros((1, 3)), 12)
