"""Losses against known values, scikit-image and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from headcast.training import losses


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    truth = torch.rand(32, 27, 3, generator=generator, dtype=torch.float64)
    return (truth + 0.1 * torch.randn(32, 27, 3, generator=generator, dtype=torch.float64)).clamp(0, 1), truth


def test_ssim_agrees_with_scikit_image(pair):
    image, truth = pair
    options = {"channel_axis": -1, "data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = structural_similarity(image.numpy(), truth.numpy(), **options)
    assert losses.ssim_map(image, truth).mean().item() == pytest.approx(expected, abs=1e-9)
    assert losses.dssim(image, truth).item() == pytest.approx((1 - expected) / 2, abs=1e-9)


def test_ssim_of_itself_is_one_and_small_images_are_refused(pair):
    assert losses.dssim(pair[1], pair[1]).item() == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="at least 11"):
        losses.ssim_map(pair[0][:8], pair[1][:8])


@pytest.mark.parametrize("name", ["l1", "dssim", "multiscale_gradient"])
def test_invisible_pixels_do_not_count(pair, name):
    image, truth = pair
    visible = torch.ones(32, 27, dtype=torch.bool)
    visible[:, 20:] = False
    spoiled = image.clone()
    spoiled[:, 20:] = 1 - spoiled[:, 20:]
    loss = getattr(losses, name)
    assert loss(image, truth, visible).item() == pytest.approx(loss(spoiled, truth, visible).item(), abs=1e-12)
    assert abs(loss(image, truth).item() - loss(spoiled, truth).item()) > 1e-4


def test_multiscale_gradient_ignores_offsets_and_sees_blur(pair):
    image, truth = pair
    assert losses.multiscale_gradient(truth + 0.2, truth).item() == pytest.approx(0, abs=1e-12)
    assert losses.multiscale_gradient(image, truth).item() > 0.01


def test_multiscale_gradient_of_a_ramp():
    ramp = torch.arange(8.0)[None, :, None].expand(8, 8, 1) * 0.01
    value = losses.multiscale_gradient(ramp, torch.zeros_like(ramp), levels=3)
    assert value.item() == pytest.approx(0.01 * (1 + 2 + 4) / 6, rel=1e-5)


def test_masks_and_silhouettes():
    truth = torch.zeros(10, 10)
    truth[:, :5] = 1
    guess = torch.zeros(10, 10)
    guess[:, 2:7] = 1
    assert losses.matte_loss(guess, truth).item() == pytest.approx(0.4)
    assert losses.silhouette_loss(guess, truth).item() == pytest.approx(1 - 3 / 7)
    assert losses.silhouette_loss(truth, truth).item() == pytest.approx(0)
    nothing = torch.zeros(10, 10, dtype=torch.bool)
    assert losses.matte_loss(guess, truth, nothing).item() == 0


@pytest.mark.parametrize("turn_deg", [0, 10, 45, 90, 135])
def test_orientation_is_undirected(turn_deg):
    angle = torch.full((4, 4), 0.3)
    turned = losses.doubled_angle(angle + math.radians(turn_deg) + math.pi) * 7
    expected = math.sin(math.radians(turn_deg)) ** 2
    assert losses.orientation_loss(turned, angle, torch.ones(4, 4)).item() == pytest.approx(expected, abs=1e-6)


def test_orientation_skips_what_was_not_measured():
    angle = torch.full((4, 4), 0.3)
    predicted = losses.doubled_angle(angle.clone()).requires_grad_()
    angle[:2] = torch.nan
    confidence = torch.ones(4, 4)
    confidence[2] = 0
    predicted_bad = torch.where((torch.arange(4) < 3)[:, None, None], -predicted, predicted)
    loss = losses.orientation_loss(predicted_bad, angle, confidence)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    loss.backward()
    assert torch.isfinite(predicted.grad).all() and (predicted.grad[:3] == 0).all()


def test_laplacian_of_a_flat_grid_vanishes_inside_only():
    x, y = torch.meshgrid(torch.arange(5.0), torch.arange(5.0), indexing="ij")
    vertices = torch.stack([x, y, torch.zeros_like(x)], -1).reshape(-1, 3)
    corner = torch.tensor([i * 5 + j for i in range(4) for j in range(4)])
    faces = torch.cat([torch.stack([corner, corner + 5, corner + 6], 1), torch.stack([corner, corner + 6, corner + 1], 1)])
    flat = losses.laplacian_loss(vertices, faces)
    bumped = vertices.clone()
    bumped[12, 2] = 1
    assert losses.laplacian_loss(bumped, faces).item() > flat.item() + 1 / 25


def test_landmark_loss_skips_absent_points():
    truth = torch.tensor([[10.0, 10.0], [torch.nan, torch.nan]])
    projected = torch.tensor([[13.0, 14.0], [5.0, 5.0]], requires_grad=True)
    loss = losses.landmark_loss(projected, truth, 100)
    assert loss.item() == pytest.approx(0.05, abs=2e-5)
    loss.backward()
    assert torch.isfinite(projected.grad).all() and (projected.grad[1] == 0).all()
    assert np.isfinite(losses.landmark_loss(projected, torch.full((2, 2), torch.nan), 100).item())
