"""Pictures that the metric tests share."""

from __future__ import annotations

import numpy as np
import pytest
import torch


def waves(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth picture with checks, and the same under a ripple: given by formula, so that other programs can make it too."""
    j, i = np.mgrid[:height, :width]
    checks = ((i // 9 + j // 6) % 2) * 0.8 + 0.1
    truth = np.stack([0.5 + 0.4 * np.sin(i / 7 + j / 11), 0.5 + 0.4 * np.cos(i / 5 - j / 13), checks], axis=-1)
    ripple = 0.15 * np.sin(i / 3.0)[..., None] * np.array([1, -0.5, 0.3]) + 0.05 * np.cos(j * 2.0)[..., None]
    return torch.from_numpy(truth.astype(np.float32)), torch.from_numpy(np.clip(truth + ripple, 0, 1).astype(np.float32))


@pytest.fixture
def wave_pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Truth and image, 256 × 256."""
    return waves(256, 256)


@pytest.fixture
def picture() -> torch.Tensor:
    """A small picture with edges and gradients."""
    return waves(180, 184)[0]
