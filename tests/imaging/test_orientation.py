"""Orientation maps: gratings of known direction, the convention of the angle, the wrap, and absence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headcast.errors import CaptureError
from headcast.imaging.orientation import Filters, filtered, gabor_bank, orientation, steerable
from headcast.imaging.orientation_maps import preview, resize_orientation, to_degrees


def grating(degrees: float, size: int = 96, wavelength: float = 4.5) -> np.ndarray:
    """Strands along ±(sin a, cos a): the tone changes across them only."""
    angle = np.radians(degrees)
    y, x = np.mgrid[:size, :size]
    return np.rint(127 + 90 * np.cos(2 * np.pi * (x * np.cos(angle) - y * np.sin(angle)) / wavelength)).astype(np.uint8)


def circular_error(angle: np.ndarray, degrees: float) -> np.ndarray:
    return np.abs((np.degrees(angle) - degrees + 90) % 180 - 90)


@pytest.mark.parametrize("degrees", [0, 12.3, 45, 90, 137, 178.9])
def test_a_grating_has_its_direction(degrees: float) -> None:
    angle, confidence = orientation(grating(degrees), np.ones((96, 96), np.float32))
    inner = np.s_[20:-20, 20:-20]
    assert circular_error(angle[inner], degrees).max() < 1.0
    assert confidence[inner].min() > 0.95


def test_fewer_angles_agree_with_all_through_the_parabola() -> None:
    rng = np.random.default_rng(0)
    picture = np.clip(grating(63, 64).astype(float) + rng.normal(0, 8, (64, 64)), 0, 255).astype(np.uint8)
    mask = np.ones((64, 64), np.float32)
    fine, coarse = (orientation(picture, mask, angles=n)[0] for n in (180, 36))
    assert np.percentile(np.abs(np.degrees(np.sin(fine - coarse))), 95) < 1.0


def test_45_degrees_runs_from_top_left_to_bottom_right() -> None:
    picture = np.full((64, 64), 120, np.uint8)
    for offset in range(-60, 61, 5):
        for k in range(64):
            if 0 <= k + offset < 64:
                picture[k + offset, k] = 220
    angle, _ = orientation(picture, np.ones((64, 64), np.float32))
    assert np.median(circular_error(angle, 45)) < 2


def test_the_basis_reproduces_the_bank() -> None:
    filters = Filters()
    weights, basis = steerable(180, filters)
    bank = gabor_bank(180, filters)
    rebuilt = np.tensordot(weights.numpy(), basis.numpy()[:, 0], 1)
    assert len(basis) < 60
    assert np.abs(rebuilt - bank).max() < 2e-3 * np.abs(bank).max() * 5
    assert np.abs(bank.sum((1, 2))).max() < 1e-9


def test_absent_hair_is_nan_without_confidence() -> None:
    mask = np.zeros((64, 64), np.float32)
    mask[16:48, 16:48] = 1
    angle, confidence = orientation(grating(30, 64), mask)
    assert np.isnan(angle[mask == 0]).all() and (confidence[mask == 0] == 0).all()
    assert np.isfinite(angle[mask == 1]).all()
    empty, none = orientation(grating(30, 64), np.zeros((64, 64), np.float32))
    assert np.isnan(empty).all() and not none.any()


def test_resizing_respects_the_wrap_and_the_gaps() -> None:
    angle = np.tile(np.radians([179.0, 1.0]), (8, 4)).astype(np.float32)
    small, confidence = resize_orientation(angle, np.ones((8, 8), np.float32), 4, 4)
    assert circular_error(small, 0).max() < 1e-3
    assert confidence.min() > 0.99
    angle[:, :4] = np.nan
    small, confidence = resize_orientation(angle, np.ones((8, 8), np.float32), 4, 4)
    assert np.isnan(small[:, :2]).all() and (confidence[:, :2] == 0).all() and np.isfinite(small[:, 2:]).all()


def test_degrees_and_preview() -> None:
    angle = np.array([[0.0, np.pi / 2, np.nan, np.radians(179.7)]], np.float32)
    assert to_degrees(angle).tolist() == [[0, 90, 0, 0]]
    picture = preview(angle, np.array([[1, 1, 0, 1]], np.float32))
    assert picture[0, 0].tolist() == [255, 64, 64] and picture[0, 2].tolist() == [0, 0, 0]


def test_sizes_must_agree() -> None:
    with pytest.raises(CaptureError):
        orientation(grating(0, 32), np.ones((16, 16), np.float32))


def test_products_of_spectra_are_the_convolution() -> None:
    band = torch.rand(1, 47, 61, generator=torch.Generator().manual_seed(0))
    basis = steerable(36, Filters())[1]
    padded = torch.nn.functional.pad(band[None], (15,) * 4, mode="replicate")
    direct = torch.nn.functional.conv2d(padded, basis)[0]
    torch.testing.assert_close(torch.cat(list(filtered(band, basis[:, 0]))), direct, atol=1e-5, rtol=0)
