"""Mattes by the network of Lin et al., "Real-time high-resolution background matting", CVPR 2021 (BackgroundMattingV2, ResNet-101).

A coarse network sees image and plate at a reduced size and says alpha, foreground, its own error and 32 features; a refiner
solves the patches where the error is large at full size. Names of the parts are those of the published checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from headcast.networks.onnx_network import open_network
from headcast.networks.residual import RESNET101, stage
from headcast.networks.runtime import pictures

NAME = "BackgroundMattingV2 (ResNet-101)"
RATES = (3, 6, 9)
COARSE_SIDE, LARGEST_SCALE = 512, 0.5  # px that the coarse network sees at most, and its share of the picture
ERROR = 0.1  # patches that the coarse network expects to miss by more are refined
PATCH = 4


class Coarse(NamedTuple):
    """What the first network says: alpha in [0, 1], foreground minus image, expected error in [0, 1], features."""

    alpha: Float[Tensor, "B 1 h w"]
    foreground: Float[Tensor, "B 3 h w"]
    error: Float[Tensor, "B 1 h w"]
    hidden: Float[Tensor, "B 32 h w"]


class Backbone(nn.Module):
    """ResNet-101 on image and plate, its last stage dilated: features at 1/2, 1/4, 1/8 and 1/16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(6, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.layer1 = stage(64, 64, RESNET101[0])
        self.layer2 = stage(256, 128, RESNET101[1], stride=2)
        self.layer3 = stage(512, 256, RESNET101[2], stride=2)
        self.layer4 = stage(1024, 512, RESNET101[3], dilations=(1, 2))

    def forward(self, x: Float[Tensor, "B 6 H W"]) -> tuple[Tensor, ...]:
        """Features from fine to coarse, the input first."""
        half = F.relu(self.bn1(self.conv1(x)))
        quarter = self.layer1(F.max_pool2d(half, 3, 2, 1))
        eighth = self.layer2(quarter)
        return x, half, quarter, eighth, self.layer4(self.layer3(eighth))


class Pooled(nn.Sequential):
    """The mean of the picture at every pixel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), *_block(inputs, outputs, 1))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        """Pooled, mixed, spread again."""
        return F.interpolate(super().forward(x), x.shape[2:], mode="bilinear")


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al., DeepLabv3, 2017)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        wide = (_block(inputs, width, 3, rate) for rate in RATES)
        self.convs = nn.ModuleList([_block(inputs, width, 1), *wide, Pooled(inputs, width)])
        self.project = _block(width * len(self.convs), width, 1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        """All rates together."""
        return self.project(torch.cat([conv(x) for conv in self.convs], 1))


class Decoder(nn.Module):
    """Back to the input's size, joined to the backbone's features on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(512 + 256, 128, 3, padding=1, bias=False), nn.BatchNorm2d(128)
        self.conv2, self.bn2 = nn.Conv2d(256 + 128, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
        self.conv3, self.bn3 = nn.Conv2d(64 + 64, 48, 3, padding=1, bias=False), nn.BatchNorm2d(48)
        self.conv4 = nn.Conv2d(6 + 48, 1 + 3 + 1 + 32, 3, padding=1)

    def forward(self, x: Tensor, skips: Sequence[Tensor]) -> Float[Tensor, "B 37 H W"]:
        """``skips`` from coarse to fine, the input last."""
        layers = ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3))
        for (conv, norm), skip in zip(layers, skips, strict=False):
            x = F.relu(norm(conv(_joined(x, skip))))
        return self.conv4(_joined(x, skips[-1]))


class Refiner(nn.Module):
    """Alpha and foreground at full size from the coarse ones and both pictures: two layers at 1/2, two at 1/1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(32 + 4 + 6, 24, 3, bias=False), nn.BatchNorm2d(24)
        self.conv2, self.bn2 = nn.Conv2d(24, 16, 3, bias=False), nn.BatchNorm2d(16)
        self.conv3, self.bn3 = nn.Conv2d(16 + 6, 12, 3, bias=False), nn.BatchNorm2d(12)
        self.conv4 = nn.Conv2d(12, 4, 3)

    def forward(self, both: Float[Tensor, "B 6 H W"], coarse: Coarse) -> Float[Tensor, "B 1 H W"]:
        """Alpha: refined in the patches whose expected error is large, the coarse one elsewhere."""
        height, width = both.shape[2:]
        half = (height // 2, width // 2)
        context = _resized(torch.cat([coarse.hidden, coarse.alpha, coarse.foreground], 1), half)
        x = F.pad(torch.cat([context, _resized(both, half)], 1), (3, 3, 3, 3))
        x = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        x = torch.cat([F.interpolate(x, (height + 4, width + 4), mode="nearest"), F.pad(both, (2, 2, 2, 2))], 1)
        refined = self.conv4(F.relu(self.bn3(self.conv3(x))))[:, :1]
        wrong = (_resized(coarse.error, (height // PATCH, width // PATCH)) > ERROR).to(refined.dtype)
        chosen = F.interpolate(wrong, (height, width), mode="nearest") > 0
        return torch.where(chosen, refined, _resized(coarse.alpha, (height, width)))


class BackgroundMatting(nn.Module):
    """Coarse network and refiner."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.aspp, self.decoder, self.refiner = Backbone(), Pyramid(2048, 256), Decoder(), Refiner()

    def forward(self, images: Float[Tensor, "B 3 H W"], plates: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 H W"]:
        """Alpha in [0, 1]; the sides are multiples of four."""
        both = torch.cat([images, plates], 1)
        high, wide = (int(side) for side in both.shape[2:])  # numbers also where the network is traced
        scale = min(LARGEST_SCALE, COARSE_SIDE / max(high, wide))
        small = _resized(both, (round(high * scale), round(wide * scale)))
        *skips, deepest = self.backbone(small)
        said = self.decoder(self.aspp(deepest), skips[::-1])
        coarse = Coarse(said[:, :1].clamp(0, 1), said[:, 1:4], said[:, 4:5].clamp(0, 1), F.relu(said[:, 5:]))
        return self.refiner(both, coarse).clamp(0, 1)


class PlateMatter:
    """Mattes of views against the plates of their cameras."""

    def __init__(self, network: nn.Module) -> None:
        """``network`` is a `BackgroundMatting` or an export of one."""
        self._network = network

    @torch.inference_mode()
    def mattes(
        self, images: Sequence[UInt8[np.ndarray, "H W 3"]], plates: Sequence[UInt8[np.ndarray, "H W 3"]]
    ) -> Float[np.ndarray, "B H W"]:
        """Alpha of sRGB images of one size (sides multiples of four), each over its plate."""
        alpha = self._network(pictures(self._network, images), pictures(self._network, plates))
        return alpha[:, 0].float().cpu().numpy()


def load(weights: Path, half: bool = False) -> PlateMatter:
    """The network with the weights of ``weights``, or its ONNX export; raises ``AssetMissing`` or ``BadFile``."""
    return PlateMatter(open_network(BackgroundMatting, weights, NAME, inputs=2, half=half))


def _block(inputs: int, outputs: int, size: int, rate: int = 1) -> nn.Sequential:
    padding = rate * (size // 2)
    conv = nn.Conv2d(inputs, outputs, size, padding=padding, dilation=rate, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def _resized(x: Float[Tensor, "B C H W"], size: tuple[int, int]) -> Float[Tensor, "B C h w"]:
    return F.interpolate(x, size, mode="bilinear")


def _joined(x: Tensor, skip: Tensor) -> Tensor:
    return torch.cat([F.interpolate(x, skip.shape[2:], mode="bilinear"), skip], 1)
