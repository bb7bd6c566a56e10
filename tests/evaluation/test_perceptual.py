"""LPIPS: absent without weights, and the published formula with them."""

from __future__ import annotations

import pytest
import torch

from headcast.evaluation.perceptual import lpips_network

Weights = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]
CHANNELS = ((3, 64, 11), (64, 192, 5), (192, 384, 3), (384, 256, 3), (256, 256, 3))


@pytest.fixture
def weights() -> Weights:
    random = torch.Generator().manual_seed(0)
    backbone, linear = {}, {}
    for layer, ((inputs, outputs, side), index) in enumerate(zip(CHANNELS, (0, 3, 6, 8, 10), strict=True)):
        backbone[f"features.{index}.weight"] = (
            torch.randn(outputs, inputs, side, side, generator=random) / (inputs * side * side) ** 0.5
        )
        backbone[f"features.{index}.bias"] = torch.zeros(outputs)
        linear[f"lin{layer}.model.1.weight"] = torch.rand(1, outputs, 1, 1, generator=random)
    return backbone, linear


def test_without_weights_it_is_not_computed_and_says_why(weights: Weights) -> None:
    for given in ((None, None), (weights[0], None), (None, weights[1])):
        network, reason = lpips_network(*given)
        assert network is None
        assert "not computed" in reason


def test_with_weights_it_is_a_distance(weights: Weights, picture: torch.Tensor) -> None:
    network, _ = lpips_network(*weights)
    assert network is not None
    truth, noise = picture[:96, :96], torch.randn(96, 96, 3, generator=torch.Generator().manual_seed(1))
    small, large = (network(truth + sigma * noise, truth) for sigma in (0.02, 0.2))
    assert network(truth, truth) == 0.0 < small < large
    assert network(truth, truth + 0.2 * noise) == pytest.approx(large, rel=1e-5)


def test_scaling_all_features_of_a_pixel_changes_nothing(weights: Weights, picture: torch.Tensor) -> None:
    """Features are compared by direction: a last layer ten times as strong gives the same distance."""
    backbone, linear = weights
    stronger = {name: value * 10 if name.startswith("features.10.") else value for name, value in backbone.items()}
    first, second = lpips_network(backbone, linear)[0], lpips_network(stronger, linear)[0]
    assert first is not None
    assert second is not None
    image, truth = picture[:96, :96].flip(0), picture[:96, :96]
    assert first(image, truth) == pytest.approx(second(image, truth), rel=1e-4)


def test_missing_tensors_are_named(weights: Weights) -> None:
    backbone, linear = weights
    del backbone["features.6.bias"]
    with pytest.raises(KeyError, match=r"features\.6\.bias"):
        lpips_network(backbone, linear)
