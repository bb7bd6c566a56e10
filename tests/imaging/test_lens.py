"""Lenses: what the model bends is made straight again, nothing is invented where the lens saw nothing."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import ndimage

from headcast.errors import CaptureError
from headcast.imaging.lens import Lens, distort

K = np.array([[180.0, 0, 63.5], [0, 182.0, 48.5], [0, 0, 1]])
BENT = np.array([0.3, -0.2, 0.01, -0.015, 0.05])


def spot(x: float, y: float) -> np.ndarray:
    rows, columns = np.mgrid[:96, :128] + 0.5
    return np.rint(250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18)).astype(np.uint8)


@pytest.mark.parametrize("ideal", [(0.0, 0.0), (0.2, 0.1), (-0.25, 0.15), (0.22, -0.18)])
@pytest.mark.parametrize("count", [4, 5])
def test_a_bent_spot_returns_to_its_pinhole_place(ideal: tuple[float, float], count: int) -> None:
    bent = BENT[:count]
    seen = (K @ np.append(distort(np.array(ideal), bent), 1))[:2]
    straight = Lens(K, bent, 128, 96).undistort(spot(*seen))
    row, column = ndimage.center_of_mass(straight.astype(float))
    np.testing.assert_allclose([column + 0.5, row + 0.5], (K @ [*ideal, 1])[:2], atol=0.2)


def test_no_distortion_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Lens(K, np.zeros(4), 128, 96).undistort(image), image)


def test_rational_coefficients_divide() -> None:
    points = np.random.default_rng(1).uniform(-0.3, 0.3, (20, 2))
    same = distort(points, np.array([0.2, 0.1, 0.0, 0.0, 0.05, 0.2, 0.1, 0.05]))
    np.testing.assert_allclose(same, points, atol=1e-12)


def test_where_the_lens_saw_nothing_is_black() -> None:
    white = np.full((96, 128), 255, np.uint8)
    straight = Lens(K, np.array([2.0, 0, 0, 0]), 128, 96).undistort(white)
    assert straight[0, 0] == 0 and straight[48, 64] == 255


def test_a_lens_travels_without_its_map() -> None:
    lens = Lens(K, BENT, 128, 96)
    travelled = pickle.dumps(lens)
    assert len(travelled) < 2000
    image = np.random.default_rng(2).integers(0, 255, (96, 128), dtype=np.uint8)
    np.testing.assert_array_equal(pickle.loads(travelled).undistort(image), lens.undistort(image))


@pytest.mark.parametrize("bent", [np.zeros(3), np.array([np.nan, 0, 0, 0])])
def test_other_coefficients_are_refused(bent: np.ndarray) -> None:
    with pytest.raises(CaptureError, match="coefficients"):
        Lens(K, bent, 128, 96)
