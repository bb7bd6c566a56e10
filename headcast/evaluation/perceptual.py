"""LPIPS, computed only with the true weights of its network (Zhang et al., CVPR 2018, version 0.1, AlexNet).

Nothing is downloaded and nothing is made up: without weights there is no network, and the reason says so.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

ABSENT = "not computed: the AlexNet backbone and LPIPS linear weights are not installed"

# Convolutions of AlexNet's feature extractor: state-dict index, stride, padding, max pool (3 × 3, stride 2) before it?
LAYERS = ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False))
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)


class Lpips:
    """The learned perceptual distance of two images; lower is better."""

    def __init__(self, backbone: Mapping[str, Tensor], linear: Mapping[str, Tensor]) -> None:
        """Take the state dicts of torchvision's AlexNet and of LPIPS' linear heads; ``KeyError`` names what is missing."""
        self.kernels = [(backbone[f"features.{index}.weight"], backbone[f"features.{index}.bias"]) for index, *_ in LAYERS]
        self.heads = [linear[f"lin{layer}.model.1.weight"] for layer in range(len(LAYERS))]

    def features(self, image: Float[Tensor, "H W 3"]) -> list[Float[Tensor, "1 D h w"]]:
        """Rectified responses of the five convolutions; the image is sRGB-encoded in [0, 1]."""
        shift, scale = image.new_tensor(SHIFT), image.new_tensor(SCALE)
        signal = ((2.0 * image - 1.0 - shift) / scale).permute(2, 0, 1)[None]
        responses = []
        for (_, stride, padding, pooled), (weight, bias) in zip(LAYERS, self.kernels, strict=True):
            signal = functional.max_pool2d(signal, 3, 2) if pooled else signal
            signal = functional.relu(functional.conv2d(signal, weight.to(signal), bias.to(signal), stride, padding))
            responses.append(signal)
        return responses

    @torch.no_grad()
    def __call__(self, image: Float[Tensor, "H W 3"], truth: Float[Tensor, "H W 3"]) -> float:
        """Sum over layers of the weighted squared difference of unit features, averaged over the layer's positions."""
        distance = 0.0
        for first, second, head in zip(self.features(image.float()), self.features(truth.float()), self.heads, strict=True):
            difference = functional.normalize(first, dim=1, eps=1e-10) - functional.normalize(second, dim=1, eps=1e-10)
            distance += float(functional.conv2d(difference**2, head.to(difference)).mean())
        return distance


def lpips_network(backbone: Mapping[str, Tensor] | None, linear: Mapping[str, Tensor] | None) -> tuple[Lpips | None, str]:
    """The network, or ``None`` with the reason why LPIPS is not computed."""
    if backbone is None or linear is None:
        return None, ABSENT
    return Lpips(backbone, linear), "AlexNet, version 0.1"
