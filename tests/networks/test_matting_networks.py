"""Both matting networks with random weights: size, range, determinism, independence of the batch, and what they look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from headcast.networks import background_matting, modnet
from headcast.networks.background_matting import Coarse, Refiner

MODULES = {"background_matting_v2": background_matting, "modnet": modnet}


def views(count: int, side: int, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", MODULES)
def test_load_run_shape_range_and_the_same_bits_again(name: str, checkpoint: Callable[[str], Path]) -> None:
    matter = MODULES[name].load(checkpoint(name))
    images, plates = views(2, 64), views(2, 64, 1)
    alpha = matter.mattes(images, plates)
    assert alpha.shape == (2, 64, 64) and alpha.dtype == np.float32
    assert np.isfinite(alpha).all() and alpha.min() >= 0 and alpha.max() <= 1
    assert alpha.std() > 1e-3, "random weights, and still nothing depends on the picture"
    assert np.array_equal(alpha, MODULES[name].load(checkpoint(name)).mattes(images, plates))
    one_by_one = [matter.mattes(images[i : i + 1], plates[i : i + 1])[0] for i in range(2)]
    np.testing.assert_allclose(alpha, one_by_one, atol=1e-4)


def test_one_network_looks_at_the_plate_and_the_other_does_not(checkpoint: Callable[[str], Path]) -> None:
    image, plate, other = views(1, 64), views(1, 64, 1), views(1, 64, 2)
    over = background_matting.load(checkpoint("background_matting_v2"))
    assert not np.array_equal(over.mattes(image, plate), over.mattes(image, other))
    without = modnet.load(checkpoint("modnet"))
    assert np.array_equal(without.mattes(image, plate), without.mattes(image))


def test_larger_pictures_than_the_network_s_come_back_at_their_size(checkpoint: Callable[[str], Path]) -> None:
    alpha = modnet.load(checkpoint("modnet")).mattes(views(1, 544))
    assert alpha.shape == (1, 544, 544) and alpha.min() >= 0 and alpha.max() <= 1


@pytest.mark.parametrize("error", [0.0, 1.0])
def test_only_patches_with_a_large_error_are_refined(error: float) -> None:
    torch.manual_seed(0)
    refiner = Refiner().eval()
    both, small = torch.rand(1, 6, 32, 32), torch.rand(1, 1, 16, 16)
    said = torch.zeros(1, 1, 16, 16)
    said[..., :8] = error
    coarse = Coarse(small, torch.rand(1, 3, 16, 16), said, torch.rand(1, 32, 16, 16))
    enlarged = torch.nn.functional.interpolate(small, (32, 32), mode="bilinear")
    kept = (refiner(both, coarse) == enlarged)[0, 0]
    assert kept[:, 20:].all()
    assert kept[:, :12].float().mean() == (1 if error == 0 else 0)


@pytest.mark.parametrize("name", MODULES)
def test_half_precision_says_nearly_the_same(name: str, checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    images, plates = views(2, 128), views(2, 128, 1)
    full = MODULES[name].load(checkpoint(name)).mattes(images, plates)
    if not torch.cuda.is_available():  # a CPU can, slowly, what it is not asked to do
        monkeypatch.setattr("headcast.networks.onnx_network.place", lambda network, half: network.half() if half else network)
    half = MODULES[name].load(checkpoint(name), half=True).mattes(images, plates)
    assert half.dtype == np.float32 and not np.array_equal(full, half)
    assert np.abs(full - half).mean() < 0.02


def test_half_precision_changes_nothing_without_cuda(checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    images = views(1, 64)
    full, half = (modnet.load(checkpoint("modnet"), half=half).mattes(images) for half in (False, True))
    assert np.array_equal(full, half)
