"""Mattes by the network of Ke et al., "MODNet: real-time trimap-free portrait matting via objective decomposition", AAAI 2022.

A MobileNetV2 (Sandler et al., CVPR 2018) says where the person is, a second branch sees the detail of the edge, a third joins
them. Names of the parts are those of the published checkpoint; its heads that only training reads are kept and not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from headcast.imaging.guided import at_size_of
from headcast.networks.onnx_network import open_network
from headcast.networks.runtime import pictures

NAME = "MODNet"
SIDE, STEP = 512, 32  # px of the shorter side that the network was trained at; sides are multiples of the step
SHARPNESS = 1e-4  # variance of the guide that counts as an edge when a matte is enlarged
INVERTED = (  # expansion, channels, repeats, stride
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)
ENCODED = (16, 24, 32, 96, 1280)  # channels at 1/2, 1/4, 1/8, 1/16 and 1/32
WIDTH = 32


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU6()]


class Inverted(nn.Module):
    """Widen, filter each channel, narrow again; with a shortcut where the shape allows."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        widen = _convolution(inputs, inner, 1) if expansion > 1 else []
        narrow = [nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*widen, *_convolution(inner, inner, 3, stride, inner), *narrow)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """The block's features."""
        return x + self.conv(x) if self.shortcut else self.conv(x)


class MobileNet(nn.Module):
    """MobileNetV2 without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Sequential(*_convolution(3, 32, 3, 2))]
        channels = 32
        for expansion, outputs, repeats, stride in INVERTED:
            for repeat in range(repeats):
                layers.append(Inverted(channels, outputs, stride if repeat == 0 else 1, expansion))
                channels = outputs
        self.features = nn.Sequential(*layers, nn.Sequential(*_convolution(channels, ENCODED[-1], 1)))


class Backbone(nn.Module):
    """The features that the branches read: at 1/2, 1/4 and 1/32."""

    def __init__(self) -> None:
        super().__init__()
        self.model = MobileNet()

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, Tensor, Tensor]:
        """From fine to coarse."""
        half = self.model.features[:2](x)
        quarter = self.model.features[2:4](half)
        return half, quarter, self.model.features[4:](quarter)


class HalfNorm(nn.Module):
    """Batch normalisation of one half of the channels, instance normalisation of the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bnorm, self.inorm = nn.BatchNorm2d(channels // 2), nn.InstanceNorm2d(channels - channels // 2)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """The normalised halves, side by side."""
        batch, instance = x.split([self.bnorm.num_features, self.inorm.num_features], 1)
        return torch.cat([self.bnorm(batch), self.inorm(instance)], 1)


class Layer(nn.Module):
    """Convolution with bias, `HalfNorm` and ReLU; ``plain`` without the latter two."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, plain: bool = False) -> None:
        super().__init__()
        rest = [] if plain else [HalfNorm(outputs), nn.ReLU()]
        self.layers = nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, size // 2), *rest)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """The layer's features."""
        return self.layers(x)


class Excitation(nn.Module):
    """Weighs channels by what the whole picture holds (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        inner = channels // reduction
        layers = [nn.Linear(channels, inner, bias=False), nn.ReLU(), nn.Linear(inner, channels, bias=False), nn.Sigmoid()]
        self.fc = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """The weighed channels."""
        return x * self.fc(x.mean((2, 3)))[..., None, None]


class Semantic(nn.Module):
    """Where the person is, at 1/8."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone, self.se_block = backbone, Excitation(ENCODED[4])
        self.conv_lr16x = Layer(ENCODED[4], ENCODED[3], 5)
        self.conv_lr8x = Layer(ENCODED[3], ENCODED[2], 5)
        self.conv_lr = Layer(ENCODED[2], 1, 3, 2, plain=True)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the backbone at 1/2 and 1/4, and those of the person at 1/8."""
        half, quarter, deepest = self.backbone(image)
        return half, quarter, self.conv_lr8x(_twice(self.conv_lr16x(_twice(self.se_block(deepest)))))


class Detail(nn.Module):
    """What the edge looks like, at 1/2."""

    def __init__(self) -> None:
        super().__init__()
        self.tohr_enc2x, self.conv_enc2x = Layer(ENCODED[0], WIDTH, 1), Layer(WIDTH + 3, WIDTH, 3, 2)
        self.tohr_enc4x, self.conv_enc4x = Layer(ENCODED[1], WIDTH, 1), Layer(2 * WIDTH, 2 * WIDTH, 3)
        quarter = (Layer(3 * WIDTH + 3, 2 * WIDTH, 3), Layer(2 * WIDTH, 2 * WIDTH, 3), Layer(2 * WIDTH, WIDTH, 3))
        self.conv_hr4x = nn.Sequential(*quarter)
        half = (Layer(2 * WIDTH, 2 * WIDTH, 3), Layer(2 * WIDTH, WIDTH, 3), Layer(WIDTH, WIDTH, 3), Layer(WIDTH, WIDTH, 3))
        self.conv_hr2x = nn.Sequential(*half)
        self.conv_hr = nn.Sequential(Layer(WIDTH + 3, WIDTH, 3), Layer(WIDTH, 1, 1, plain=True))

    def forward(self, image: Tensor, half: Tensor, quarter: Tensor, person: Tensor) -> Float[Tensor, "B 32 h w"]:
        """Features from the image and those of `Semantic`."""
        small, smaller = (F.interpolate(image, scale_factor=scale, mode="bilinear") for scale in (1 / 2, 1 / 4))
        half = self.tohr_enc2x(half)
        x = self.conv_enc2x(torch.cat([small, half], 1))
        x = self.conv_enc4x(torch.cat([x, self.tohr_enc4x(quarter)], 1))
        x = self.conv_hr4x(torch.cat([x, _twice(person), smaller], 1))
        return self.conv_hr2x(torch.cat([_twice(x), half], 1))


class Fusion(nn.Module):
    """Alpha at full size from both."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_lr4x, self.conv_f2x = Layer(ENCODED[2], WIDTH, 5), Layer(2 * WIDTH, WIDTH, 3)
        self.conv_f = nn.Sequential(Layer(WIDTH + 3, WIDTH // 2, 3), Layer(WIDTH // 2, 1, 1, plain=True))

    def forward(self, image: Tensor, person: Tensor, detail: Tensor) -> Float[Tensor, "B 1 H W"]:
        """Alpha in [0, 1]."""
        x = self.conv_f2x(torch.cat([_twice(self.conv_lr4x(_twice(person))), detail], 1))
        return torch.sigmoid(self.conv_f(torch.cat([_twice(x), image], 1)))


class Modnet(nn.Module):
    """The three branches; the checkpoint holds the backbone under the whole and under its first branch."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.lr_branch, self.hr_branch, self.f_branch = Semantic(self.backbone), Detail(), Fusion()

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 H W"]:
        """Alpha in [0, 1] of images in [-1, 1] whose sides are multiples of 32."""
        half, quarter, person = self.lr_branch(image)
        return self.f_branch(image, person, self.hr_branch(image, half, quarter, person))


class PortraitMatter:
    """Mattes of views without any plate."""

    def __init__(self, network: nn.Module) -> None:
        """``network`` is a `Modnet` or an export of one."""
        self._network = network

    @torch.inference_mode()
    def mattes(
        self, images: Sequence[UInt8[np.ndarray, "H W 3"]], plates: Sequence[UInt8[np.ndarray, "H W 3"]] = ()
    ) -> Float[np.ndarray, "B H W"]:
        """Alpha of sRGB images of one size, solved at the network's size; ``plates`` are not looked at."""
        batch = pictures(self._network, images)
        scale = SIDE / min(batch.shape[2:])
        size = [max(STEP, round(length * scale / STEP) * STEP) for length in batch.shape[2:]]
        batch = F.interpolate(batch, size, mode="bilinear", antialias=scale < 1) if scale != 1 else batch
        alpha = self._network(2 * batch - 1)[:, 0].float().cpu().numpy()
        return np.stack([at_size_of(image, small, SHARPNESS) for image, small in zip(images, alpha, strict=True)])


def load(weights: Path, half: bool = False) -> PortraitMatter:
    """The network with the weights of ``weights``, or its ONNX export; raises ``AssetMissing`` or ``BadFile``."""
    return PortraitMatter(open_network(Modnet, weights, NAME, inputs=1, half=half))


def _twice(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h w"]:
    return F.interpolate(x, scale_factor=2, mode="bilinear")
