"""The work of a training step as Gaussian Head Avatar (Xu et al., CVPR 2024) publishes it, written anew from its description.

Six networks per point that take expression and pose repeated for every point, 32 channels at a quarter of the picture, an
upsampler over the full frame, L1, D-SSIM and a VGG-16 perceptual distance on a part of 512². The widths of the networks are the
published ones; the upsampler is one of about the published cost. Nothing here is trained: it is timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from headcast.rendering.splat import render
from headcast.training.losses import dssim, l1

FEATURE, EXPRESSION, POSE, CHANNELS, LATENT_POINT = 128, 64, 54, 32, 27
NETWORKS = {
    "exp_color": (FEATURE + EXPRESSION, 256, 256, CHANNELS),
    "pose_color": (FEATURE + POSE, 128, CHANNELS),
    "exp_attributes": (FEATURE + EXPRESSION, 256, 256, 256, 8),
    "pose_attributes": (FEATURE + POSE, 128, 128, 8),
    "exp_deform": (LATENT_POINT + EXPRESSION, 256, 256, 256, 256, 256, 3),
    "pose_deform": (LATENT_POINT + POSE, 256, 256, 3),
}
VGG = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)
"""Widths of VGG-16's convolutions; 0 halves the picture. The distance compares what precedes each halving, and the end."""


def chain(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with rectifiers between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Perceptual(nn.Module):
    """Distance of unit features of VGG-16 with random weights: the time of LPIPS, not its judgement."""

    def __init__(self) -> None:
        super().__init__()
        inputs = 3
        self.layers = nn.ModuleList()
        for width in VGG:
            self.layers.append(nn.Conv2d(inputs, width, 3, padding=1) if width else nn.MaxPool2d(2))
            inputs = width or inputs
        self.requires_grad_(False)

    def features(self, image: Float[Tensor, "S S 3"]) -> list[Float[Tensor, "1 D h w"]]:
        """What precedes each halving, and the end."""
        signal, kept = image.permute(2, 0, 1)[None], []
        for layer in self.layers:
            if isinstance(layer, nn.MaxPool2d):
                kept.append(signal)
                signal = layer(signal)
            else:
                signal = functional.relu(layer(signal))
        return [*kept, signal]

    def forward(self, drawn: Float[Tensor, "S S 3"], truth: Float[Tensor, "S S 3"]) -> Float[Tensor, ""]:
        """Mean squared difference of unit features, summed over the layers."""
        with torch.no_grad():
            wanted = self.features(truth)
        pairs = zip(self.features(drawn), wanted, strict=True)
        return sum((functional.normalize(a, dim=1) - functional.normalize(b, dim=1)).square().mean() for a, b in pairs)  # type: ignore[return-value]


class Upsampler(nn.Module):
    """32 channels → three, four times the size: two doublings with two convolutions each."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(CHANNELS, 128, 3, padding=1)
        self.middle = nn.Sequential(nn.Conv2d(128, 128, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(128, 64, 3, padding=1))
        self.last = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(64, 64, 3, padding=1))
        self.color = nn.Conv2d(64, 3, 1)

    def forward(self, planes: Float[Tensor, "C h w"]) -> Float[Tensor, "3 H W"]:
        """The enlarged picture."""
        signal = functional.leaky_relu(self.first(planes[None]), 0.2)
        for block in (self.middle, self.last):
            signal = functional.leaky_relu(block(functional.interpolate(signal, scale_factor=2, mode="bilinear")), 0.2)
        return self.color(signal)[0].sigmoid()


class PublishedStep:
    """Points with features under the published networks, and one step on a picture of ``size`` px."""

    def __init__(self, count: int, size: int, device: str, splatter: str) -> None:
        generator = torch.Generator().manual_seed(0)
        directions = functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
        self.points = nn.Parameter((0.1 * directions).to(device))
        self.feature = nn.Parameter(torch.randn(count, FEATURE, generator=generator).to(device))
        self.scales = nn.Parameter(torch.full((count, 3), 1.2e-3 * (1e5 / count) ** 0.5).log().to(device))
        self.quats = nn.Parameter(torch.randn(count, 4, generator=generator).to(device))
        self.opacities = nn.Parameter(torch.zeros(count, device=device))
        self.networks = nn.ModuleDict({name: chain(widths) for name, widths in NETWORKS.items()}).to(device)
        self.upsampler, self.perceptual = Upsampler().to(device), Perceptual().to(device)
        self.expression, self.pose = (torch.randn(size, generator=generator).to(device) for size in (EXPRESSION, POSE))
        self.truth = torch.rand(size, size, 3, generator=generator).to(device)
        self.size, self.splatter = size, splatter
        own = [self.points, self.feature, self.scales, self.quats, self.opacities]
        self.parameters = [*own, *self.networks.parameters(), *self.upsampler.parameters()]
        self.optimiser = torch.optim.Adam(self.parameters, lr=1e-5)
        side = size // 4
        self.K = torch.tensor([[side / 0.36, 0, side / 2], [0, side / 0.36, side / 2], [0, 0, 1.0]], device=device)
        self.view = torch.eye(4, device=device)
        self.view[2, 3] = 1.0

    def attributes(self) -> list[Float[Tensor, "N *c"]]:
        """Means, rotations, scales, opacities and 32 channels of all points; the codes are repeated for every point."""
        count = len(self.points)
        expression, pose = (code.expand(count, -1) for code in (self.expression, self.pose))
        waves = [wave(self.points * 10 * 2**octave) for octave in range(4) for wave in (torch.sin, torch.cos)]
        place = torch.cat((self.points, *waves), dim=-1)
        given = {
            "exp_color": (self.feature, expression), "pose_color": (self.feature, pose),
            "exp_attributes": (self.feature, expression), "pose_attributes": (self.feature, pose),
            "exp_deform": (place, expression), "pose_deform": (place, pose),
        }  # fmt: skip
        out = {name: self.networks[name](torch.cat(parts, dim=-1)) for name, parts in given.items()}
        change = 0.2 * (out["exp_attributes"] + out["pose_attributes"])
        return [
            self.points + 0.003 * torch.tanh(out["exp_deform"] + out["pose_deform"]),
            self.quats + change[:, :4],
            (self.scales + 0.1 * torch.tanh(change[:, 4:7])).exp(),
            (self.opacities + change[:, 7]).sigmoid(),
            out["exp_color"] + out["pose_color"],
        ]

    def drawn(self, attributes: list[Tensor]) -> Float[Tensor, "C h w"]:
        """32 channels at a quarter of the picture."""
        side = self.size // 4
        picture = render(*attributes, self.view, self.K, side, side, backend=self.splatter)
        return picture.image.permute(2, 0, 1)

    def loss(self, picture: Float[Tensor, "3 H W"]) -> Float[Tensor, ""]:
        """L1 and D-SSIM over the frame, the perceptual distance on a part of 512²."""
        image, part = picture.permute(1, 2, 0), slice(0, min(512, self.size))
        return l1(image, self.truth) + dssim(image, self.truth) + self.perceptual(image[part, part], self.truth[part, part])

    def __call__(self) -> None:
        """One step with Adam."""
        self.optimiser.zero_grad(set_to_none=True)
        self.loss(self.upsampler(self.drawn(self.attributes()))).backward()
        self.optimiser.step()
