"""The residual backbone that two networks share (He et al., "Deep residual learning", CVPR 2016): stages of bottlenecks.

Names of the parts are those under which published checkpoints keep them.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

EXPANSION = 4
RESNET101 = (3, 4, 23, 3)


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 and 1 × 1 convolution around a shortcut; ``width`` channels inside, four times as many outside."""

    def __init__(self, inputs: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        outputs = EXPANSION * width
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """The block's features."""
        inner = F.relu(self.bn1(self.conv1(x)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        return F.relu(self.bn3(self.conv3(inner)) + (x if self.downsample is None else self.downsample(x)))


def stage(inputs: int, width: int, blocks: int, stride: int = 1, dilations: tuple[int, int] = (1, 1)) -> nn.Sequential:
    """``blocks`` bottlenecks; ``dilations`` of the first and of the others."""
    first = Bottleneck(inputs, width, stride, dilations[0])
    return nn.Sequential(first, *(Bottleneck(EXPANSION * width, width, 1, dilations[1]) for _ in range(blocks - 1)))
