"""Human parsing by Liu et al., "CDGNet: class distribution guided network for human parsing", CVPR 2022, trained on LIP.

ResNet-101, pyramid pooling (Zhao et al., CVPR 2017), an attention by how each class is spread over rows and columns, edges, and
a decoder in which like pixels share their votes. Names of the parts are those of the published checkpoint; its heads that only
training reads are kept and not run.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from headcast.networks.residual import RESNET101, stage

CLASSES = 20
POOLED = (1, 2, 3, 6)  # cells a side of the pyramid
ROWS = 473 // 4  # cells of the attention, whatever the picture's size


class Stem(nn.Module):
    """ResNet-101 with three small first layers, its last stage dilated."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
        self.conv3, self.bn3 = nn.Conv2d(64, 128, 3, padding=1, bias=False), nn.BatchNorm2d(128)
        self.layer1 = stage(128, 64, RESNET101[0])
        self.layer2 = stage(256, 128, RESNET101[1], stride=2)
        self.layer3 = stage(512, 256, RESNET101[2], stride=2)
        self.layer4 = stage(1024, 512, RESNET101[3], dilations=(2, 2))

    def features(self, x: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features at 1/4, 1/8 and twice at 1/16."""
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(norm(conv(x)))
        quarter = self.layer1(F.max_pool2d(x, 3, 2, 1))
        eighth = self.layer2(quarter)
        sixteenth = self.layer3(eighth)
        return quarter, eighth, sixteenth, self.layer4(sixteenth)


class Pyramid(nn.Module):
    """Means over the cells of ever finer grids, joined to the features."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList([nn.Sequential(nn.AdaptiveAvgPool2d(cells), *_layer(inputs, width, 1)) for cells in POOLED])
        self.bottleneck = nn.Sequential(*_layer(inputs + len(POOLED) * width, width, 3))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        """The joined features."""
        return self.bottleneck(torch.cat([*(_resized(cells(x), x.shape[2:]) for cells in self.stages), x], 1))


class Distribution(nn.Module):
    """Weighs features by what their row and their column hold."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
        self.conv_hgt1, self.conv_hgt2 = _line(channels, inner), _line(channels, inner)
        self.conv_hwPred1, self.conv_hwPred2 = _gate(inner, CLASSES, 3), _gate(inner, CLASSES, 3)
        self.conv_upDim1, self.conv_upDim2 = _gate(inner, channels, 7), _gate(inner, channels, 7)
        self.cmbFea = nn.Sequential(*_plain(channels * 3, channels, 3))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Features, weighed features and weights, mixed."""
        rows = F.adaptive_avg_pool2d(x, (ROWS, 1))[..., 0]
        columns = F.adaptive_avg_pool2d(x, (1, ROWS))[:, :, 0]
        rows = _resized(self.conv_upDim1(self.conv_hgt1(rows))[..., None], x.shape[2:])
        columns = _resized(self.conv_upDim2(self.conv_hgt2(columns))[:, :, None], x.shape[2:])
        weight = self.beta * columns + self.gamma * rows
        return self.cmbFea(torch.cat([x, x * weight, weight], 1))


class Edges(nn.Module):
    """Features of the edges between parts."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (nn.Sequential(*_layer(inputs, 256, 1)) for inputs in (256, 512, 1024))
        self.conv4, self.conv5 = nn.Conv2d(256, 2, 3, padding=1), nn.Conv2d(6, 2, 1)

    def forward(self, quarter: Tensor, eighth: Tensor, sixteenth: Tensor) -> Float[Tensor, "B 768 h w"]:
        """All at 1/4."""
        scales = (self.conv1(quarter), self.conv2(eighth), self.conv3(sixteenth))
        return torch.cat([_resized(scale, quarter.shape[2:]) for scale in scales], 1)


class Decoder(nn.Module):
    """Coarse features joined to fine ones, and to what the pixels that look alike say together."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(*_layer(512, 256, 1))
        self.conv2 = nn.Sequential(*_layer(256, 48, 3))
        self.conv3 = nn.Sequential(*_layer(256 + 48, 256, 3), *_layer(256, 256, 1))
        self.conv4 = nn.Conv2d(256, CLASSES, 1)
        self.addCAM = nn.Sequential(*_layer(512, 256, 3))

    def forward(self, coarse: Tensor, fine: Tensor, looks: Tensor) -> Float[Tensor, "B 256 h w"]:
        """At the size of ``fine``; ``looks`` says which pixels are alike."""
        size = fine.shape[2:]
        x = self.conv3(torch.cat([_resized(self.conv1(coarse), size), self.conv2(fine)], 1))
        return self.addCAM(torch.cat([x, _resized(_shared(F.relu(x), looks), size)], 1))


def _shared(votes: Float[Tensor, "B C H W"], looks: Float[Tensor, "B D h w"]) -> Float[Tensor, "B C h w"]:
    """What every pixel gets when each spreads its votes over those that look like it (softmax of scaled dot products)."""
    flat = looks.flatten(2)
    likeness = torch.softmax(flat.shape[1] ** -0.5 * (flat.transpose(1, 2) @ flat), -1)
    mixed = _resized(votes, looks.shape[2:]).flatten(2) @ likeness
    return mixed.unflatten(2, looks.shape[2:])


class Cdgnet(Stem):
    """Scores of the 20 classes of LIP at a quarter of the picture's size."""

    def __init__(self) -> None:
        super().__init__()
        self.layer5, self.edge_layer, self.layer6 = Pyramid(2048, 512), Edges(), Decoder()
        self.layer7 = nn.Sequential(*_layer(256 + 768, 256, 3), nn.Dropout2d(0.1), nn.Conv2d(256, CLASSES, 1))
        self.sq4, self.sq5 = nn.Sequential(*_layer(1024, 256, 1)), nn.Sequential(*_layer(256, 256, 1))
        self.f9 = nn.Sequential(*_layer(256 + 256 + 3, 256, 1))
        self.hwAttention, self.L = Distribution(512, 256), nn.Conv2d(1024, CLASSES, 1)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 20 h w"]:
        """Scores before the softmax."""
        quarter, eighth, sixteenth, deepest = self.features(image)
        size = sixteenth.shape[2:]
        coarse = self.hwAttention(self.layer5(deepest))
        looks = [_resized(image, size), _resized(self.sq5(quarter), size), self.sq4(sixteenth)]
        x = self.layer6(coarse, quarter, self.f9(torch.cat(looks, 1)))
        return self.layer7(torch.cat([x, self.edge_layer(quarter, eighth, sixteenth)], 1))


def _layer(inputs: int, outputs: int, size: int) -> list[nn.Module]:
    """A convolution, and its normalisation with the ReLU as one part, as the checkpoint counts them."""
    conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
    return [conv, nn.Sequential(nn.BatchNorm2d(outputs), nn.ReLU())]


def _plain(inputs: int, outputs: int, size: int) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


def _line(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm1d(outputs), nn.ReLU())


def _gate(inputs: int, outputs: int, size: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(inputs, outputs, size, padding=size // 2), nn.Sigmoid())


def _resized(x: Float[Tensor, "B C H W"], size: tuple[int, ...]) -> Float[Tensor, "B C h w"]:
    return F.interpolate(x, size, mode="bilinear", align_corners=True)
