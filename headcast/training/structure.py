"""Structural dissimilarity as two banded matrix products: the value of ``losses.dssim``, much cheaper to differentiate on a CPU.

The gradient of a small convolution takes the time there; a blur along rows and columns is also ``B X Bᵀ`` with a banded matrix B.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from headcast.training.losses import SSIM_C1, SSIM_C2, SSIM_SIGMA, SSIM_WINDOW, gaussian_window, masked_mean


@lru_cache(maxsize=8)
def band(size: int, device: torch.device) -> Float[Tensor, "h size"]:
    """The matrix that blurs ``size`` samples with the window of SSIM, without padding (h = size − 10)."""
    window = gaussian_window(SSIM_WINDOW, SSIM_SIGMA, torch.zeros(1))
    rows = size - SSIM_WINDOW + 1
    shifted = [functional.pad(torch.eye(rows), (k, size - rows - k)) * window[k] for k in range(SSIM_WINDOW)]
    return torch.stack(shifted).sum(0).to(device)


def structural_dissimilarity(
    image: Float[Tensor, "H W C"], truth: Float[Tensor, "H W C"], visible: Tensor | None = None
) -> Float[Tensor, ""]:
    """(1 − SSIM) / 2 (Wang et al. 2004) over the windows that see no invisible pixel; needs at least 11 × 11 pixels."""
    rows, columns = band(image.shape[0], image.device), band(image.shape[1], image.device).T
    x, y = image.permute(2, 0, 1), truth.permute(2, 0, 1)
    moments = (rows @ torch.cat((x, y, x * x, y * y, x * y)) @ columns).split(image.shape[2])
    mean_x, mean_y, square_x, square_y, product = moments
    both, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    similarity = (2 * both + SSIM_C1) * (2 * (product - both) + SSIM_C2)
    similarity = similarity / ((squares + SSIM_C1) * (square_x + square_y - squares + SSIM_C2))
    values = ((1 - similarity) / 2).permute(1, 2, 0)
    if visible is None:
        return values.mean()
    hidden = (~visible.bool()).to(image.dtype)
    return masked_mean(values, rows @ hidden @ columns < 1e-6)
