"""Metrics against scikit-image, closed forms and properties."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from headcast.evaluation.metrics import (
    angular_error,
    change_iou,
    iou,
    mean_finite,
    ms_ssim,
    ms_ssim_scales,
    psnr,
    ssim,
    ssim_map,
    temporal_iou,
)


def noisy(truth: torch.Tensor, sigma: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return (truth + sigma * torch.randn(truth.shape, generator=generator)).clamp(0, 1)


def test_psnr_equals_scikit_image(picture: torch.Tensor) -> None:
    image = noisy(picture, 0.1)
    assert psnr(image, picture) == pytest.approx(peak_signal_noise_ratio(picture.numpy(), image.numpy(), data_range=1.0), abs=1e-4)


def test_psnr_has_its_closed_form() -> None:
    truth = torch.full((8, 8, 3), 0.25)
    assert psnr(truth + 0.1, truth) == pytest.approx(20.0, abs=1e-4)
    assert psnr(truth, truth) == math.inf


def test_psnr_over_a_mask_ignores_everything_else(picture: torch.Tensor) -> None:
    mask = torch.zeros(picture.shape[:2])
    mask[10:20, 10:20] = 1.0
    image = picture + 0.5
    image[10:20, 10:20] = picture[10:20, 10:20] + 0.01
    assert psnr(image, picture, mask) == pytest.approx(40.0, abs=1e-2)
    assert math.isnan(psnr(image, picture, torch.zeros_like(mask)))


def test_ssim_equals_scikit_image(picture: torch.Tensor) -> None:
    image = noisy(picture, 0.08)
    settings_2004 = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0, "channel_axis": 2}
    expected, expected_map = structural_similarity(picture.double().numpy(), image.double().numpy(), full=True, **settings_2004)
    assert ssim(image, picture) == pytest.approx(expected, abs=1e-9)
    inner = ssim_map(image, picture).numpy()[5:-5, 5:-5]
    assert np.allclose(inner, expected_map.mean(axis=-1)[5:-5, 5:-5], atol=1e-9)


def test_ssim_over_a_mask_is_the_mean_of_its_map(picture: torch.Tensor) -> None:
    image, mask = noisy(picture, 0.1), (picture[..., 0] > 0.5).float()
    assert ssim(image, picture, mask) == pytest.approx(float(ssim_map(image, picture)[mask > 0.5].mean()), abs=1e-12)


def test_ssim_of_an_image_below_the_window_does_not_exist() -> None:
    assert math.isnan(ssim(torch.zeros(10, 40, 3), torch.zeros(10, 40, 3)))


def test_ms_ssim_of_flat_images_is_the_luminance_term() -> None:
    """Contrast and structure of flat images are 1, so only the coarsest scale's luminance remains, to its weight."""
    a, b = 0.3, 0.7
    luminance = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    image, truth = torch.full((176, 176, 3), a), torch.full((176, 176, 3), b)
    assert ms_ssim(image, truth) == pytest.approx(luminance**0.1333, abs=1e-3)


def test_ms_ssim_at_one_scale_is_ssim(picture: torch.Tensor) -> None:
    small = picture[:20, :20]
    assert ms_ssim_scales(20, 20) == 1
    per_channel = [ssim(noisy(small, 0.1)[..., c : c + 1], small[..., c : c + 1]) for c in range(3)]
    assert ms_ssim(noisy(small, 0.1), small) == pytest.approx(sum(per_channel) / 3, abs=1e-9)


@pytest.mark.parametrize(("side", "scales"), [(10, 0), (11, 1), (21, 1), (22, 2), (64, 3), (175, 4), (176, 5), (2048, 5)])
def test_ms_ssim_uses_the_scales_that_fit(side: int, scales: int) -> None:
    assert ms_ssim_scales(side, 4096) == scales


def test_ms_ssim_equals_an_independent_implementation(wave_pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    """0.9438710 was computed with pytorch-msssim 1.0.0 (float64) on the same formula."""
    truth, image = wave_pair
    assert ms_ssim(image, truth) == pytest.approx(0.943871, abs=2e-5)


@pytest.mark.parametrize("metric", [psnr, ssim, ms_ssim])
def test_similarity_is_symmetric_and_falls_with_noise(metric: Callable[..., float], picture: torch.Tensor) -> None:
    values = [metric(noisy(picture, sigma), picture) for sigma in (0.02, 0.05, 0.1, 0.2)]
    assert values == sorted(values, reverse=True)
    assert metric(picture, noisy(picture, 0.1)) == pytest.approx(metric(noisy(picture, 0.1), picture), abs=1e-9)
    assert metric(picture, picture) in (pytest.approx(1.0), math.inf)


def square(left: int, size: int = 10) -> torch.Tensor:
    mask = torch.zeros(32, 48)
    mask[8 : 8 + size, left : left + size] = 1.0
    return mask


def test_iou_of_shifted_squares_has_its_closed_form() -> None:
    assert iou(square(5), square(10)) == pytest.approx(50 / 150)
    assert iou(square(5), square(5) * 0.6) == 1.0
    assert iou(square(5), square(5) * 0.4) == 0.0
    assert math.isnan(iou(torch.zeros(4, 4), torch.zeros(4, 4)))


def test_temporal_iou_rewards_change_where_the_truth_changes() -> None:
    truth = (square(5), square(8))
    assert temporal_iou(truth, truth) == 1.0
    assert change_iou(truth, truth) == 1.0
    frozen = (square(5), square(5))
    assert temporal_iou(frozen, truth) == pytest.approx(70 / 130)
    assert change_iou(frozen, truth) == 0.0


def test_temporal_iou_punishes_flicker_of_a_still_head_but_not_a_constant_bias() -> None:
    still = (square(5), square(5))
    biased = (square(5, 12), square(5, 12))
    flicker = (square(5, 12), square(5, 8))
    assert temporal_iou(biased, still) == 1.0
    assert temporal_iou(flicker, still) == pytest.approx(64 / 144)


@given(st.floats(-10, 10), st.floats(-10, 10), st.integers(-3, 3))
@settings(max_examples=50, deadline=None)
def test_undirected_angles_repeat_after_half_a_turn(a: float, b: float, turns: int) -> None:
    angle, truth = torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
    error = float(angular_error(angle, truth))
    assert 0 <= error <= math.pi / 2 + 1e-9
    assert float(angular_error(angle + turns * math.pi, truth)) == pytest.approx(error, abs=1e-6)
    assert float(angular_error(truth, angle)) == pytest.approx(error, abs=1e-6)


def test_angular_error_wraps() -> None:
    assert float(angular_error(torch.tensor(math.radians(179.0)), torch.tensor(math.radians(2.0)))) == pytest.approx(
        math.radians(3.0), abs=1e-5
    )


def test_mean_of_nothing_is_nan() -> None:
    assert math.isnan(mean_finite([float("nan")]))
    assert mean_finite([1.0, float("nan"), 3.0]) == 2.0
