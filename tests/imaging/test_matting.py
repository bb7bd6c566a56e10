"""Mattes over a known plate: a composite with known alpha, shadows, sizes, absence."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from headcast.errors import CaptureError
from headcast.imaging.color import decode_srgb, encode_srgb
from headcast.imaging.matting import matte, plate_noise, without_shadow
from headcast.imaging.unmixing import gaussian, local_colours, unmix


def scene(size: int = 160, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A dark disk with hairs over a striped plate, composited in linear light with sensor noise: image, plate, alpha, prior."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] + 0.5
    plate = np.stack([110 + 12 * np.sin(x / 17), 120 + 9 * np.sin(x / 17), 130 + 15 * np.cos(y / 31)], -1)
    coverage = np.zeros((size * 4, size * 4), np.uint8)
    centre = size * 2
    cv2.circle(coverage, (centre, centre), size, 255, -1)
    for angle in rng.uniform(0, 2 * np.pi, 60):
        end = (centre + 1.3 * size * np.array([np.cos(angle + 0.2), np.sin(angle + 0.2)])).astype(int)
        start = (centre + 0.9 * size * np.array([np.cos(angle), np.sin(angle)])).astype(int)
        cv2.line(coverage, tuple(map(int, start)), tuple(map(int, end)), 255, 2)
    alpha = cv2.resize(coverage.astype(np.float32) / 255, (size, size), interpolation=cv2.INTER_AREA)
    subject = np.array([0.06, 0.035, 0.02]) * (1 + 0.15 * rng.standard_normal((size, size, 1)))
    light = alpha[..., None] * subject + (1 - alpha[..., None]) * decode_srgb(plate / 255)
    image = 255 * encode_srgb(light) + rng.normal(0, 1, light.shape)
    prior = np.clip(1.2 - np.hypot(x - size / 2, y - size / 2) / (size / 3.6), 0, 1).astype(np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), np.rint(plate).astype(np.uint8), alpha, prior


def test_a_composite_gives_its_alpha_back() -> None:
    image, plate, alpha, prior = scene()
    found = matte(image, plate, prior, np.ones(alpha.shape, bool))
    band = cv2.dilate(((alpha > 0.02) & (alpha < 0.98)).astype(np.uint8), np.ones((5, 5))) > 0
    assert np.abs(found - alpha).mean() < 0.01
    assert np.abs(found - alpha)[band].mean() < 0.05
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1


def test_an_empty_stage_and_padding_are_transparent() -> None:
    image, plate, alpha, prior = scene()
    visible = np.ones(alpha.shape, bool)
    assert not matte(plate, plate, np.zeros_like(prior), visible).any()
    visible[:, :30] = False
    assert not matte(image, plate, prior, visible)[:, :30].any()


def test_same_input_same_bits() -> None:
    image, plate, alpha, prior = scene(96)
    visible = np.ones(alpha.shape, bool)
    assert np.array_equal(matte(image, plate, prior, visible), matte(image, plate, prior, visible))


def test_large_pictures_are_matted_at_working_size_with_sharp_edges() -> None:
    image, plate, alpha, prior = scene()
    big = [cv2.resize(x, (640, 640), interpolation=cv2.INTER_CUBIC) for x in (image, plate, prior)]
    truth = cv2.resize(alpha.astype(np.float32), (640, 640), interpolation=cv2.INTER_CUBIC)
    found = matte(big[0], big[1], big[2], np.ones((640, 640), bool))
    assert np.abs(found - truth).mean() < 0.012


def test_unmixing_is_exact_without_noise_and_knows_when_it_cannot_tell() -> None:
    rng = np.random.default_rng(1)
    alpha = rng.uniform(0, 1, 50).astype(np.float32)
    subject, plate = np.float32([0.05, 0.03, 0.02]), np.float32([0.2, 0.25, 0.3])
    light = alpha[:, None] * subject + (1 - alpha[:, None]) * plate
    mean, second = (
        np.tile(v, (50, 1))
        for v in (subject, np.float32([np.outer(subject, subject)[i, j] for i in range(3) for j in range(i, 3)]))
    )
    found, precision = unmix(light, np.tile(plate, (50, 1)), mean, second, np.full((50, 3), 0.004, np.float32))
    assert np.abs(found - alpha).max() < 1e-3
    _, blind = unmix(light, mean + 1e-4, mean, second, np.full((50, 3), 0.004, np.float32))
    assert blind.max() < 0.01 * precision.min()


def test_colours_come_from_the_nearest_sure_pixels() -> None:
    light = np.zeros((64, 64, 3), np.float32)
    light[:, :32], light[:, 32:] = 0.2, 0.8
    weight = np.ones((64, 64), np.float32)
    weight[:, 28:36] = 0
    mean, second = local_colours(light, weight, (2.0, 6.0, 12.0))
    assert abs(mean[32, 20, 0] - 0.2) < 0.01 and abs(mean[32, 44, 0] - 0.8) < 0.01
    assert (second[..., 0] - mean[..., 0] ** 2 > -1e-5).all()


def test_a_wide_blur_equals_the_direct_one() -> None:
    picture = np.random.default_rng(2).random((90, 70, 5)).astype(np.float32)
    direct = cv2.GaussianBlur(picture[..., 0], (0, 0), 12, borderType=cv2.BORDER_REFLECT)
    assert np.abs(gaussian(picture, 12)[..., 0] - direct).max() < 0.02


def test_a_soft_shadow_is_not_a_subject() -> None:
    plate = np.full((80, 80, 3), 140, np.uint8)
    shaded = np.rint(plate * 0.8).astype(np.uint8)
    difference = shaded.astype(np.float32) - plate
    assert np.abs(without_shadow(difference, plate, np.zeros((80, 80), np.float32))).max() < 2
    assert np.abs(without_shadow(difference, plate, np.ones((80, 80), np.float32))).max() > 20
    assert plate_noise(difference * 0, plate, np.ones((80, 80), bool)).min() > 0


def test_sizes_must_agree() -> None:
    with pytest.raises(CaptureError):
        matte(np.zeros((8, 8, 3), np.uint8), np.zeros((9, 8, 3), np.uint8), None, np.ones((8, 8), bool))
