"""Image and geometry losses; every image term is an average over the ``visible`` pixels only.

Images are H W C float in [0, 1]; masks H W; a term whose mask is empty is 0 (and still differentiable).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


def masked_mean(values: Float[Tensor, "..."], mask: Float[Tensor, "..."] | Bool[Tensor, "..."] | None) -> Float[Tensor, ""]:
    """The average of ``values`` weighted by ``mask`` (broadcast over trailing channels); 0 where nothing is seen."""
    if mask is None:
        return values.mean()
    weight = mask.to(values.dtype)
    weight = weight.reshape(weight.shape + (1,) * (values.ndim - weight.ndim)).expand_as(values)
    return (values * weight).sum() / weight.sum().clamp_min(1e-6)


def l1(image: Float[Tensor, "H W C"], truth: Float[Tensor, "H W C"], visible: Tensor | None = None) -> Float[Tensor, ""]:
    """Mean absolute error over the visible pixels."""
    return masked_mean((image - truth).abs(), visible)


def gaussian_window(size: int, sigma: float, like: Tensor) -> Float[Tensor, "size"]:
    """A normalised Gaussian of ``size`` taps."""
    offsets = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    window = torch.exp(-0.5 * (offsets / sigma) ** 2)
    return window / window.sum()


@lru_cache(maxsize=8)
def band(size: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "h size"]:
    """The matrix that blurs ``size`` samples with the window of SSIM, without padding (h = size − 10).

    A blur along rows and columns as ``B X Bᵀ``: the gradient of two products is much cheaper on a CPU than that of a convolution.
    """
    window = gaussian_window(SSIM_WINDOW, SSIM_SIGMA, torch.zeros(1, dtype=dtype, device=device))
    rows = size - SSIM_WINDOW + 1
    eye = torch.eye(rows, dtype=dtype, device=device)
    shifted = [functional.pad(eye, (k, size - rows - k)) * window[k] for k in range(SSIM_WINDOW)]
    return torch.stack(shifted).sum(0)


def ssim_map(image: Float[Tensor, "H W C"], truth: Float[Tensor, "H W C"]) -> Float[Tensor, "h w C"]:
    """Structural similarity (Wang et al. 2004; σ 1.5, 11 taps, data range 1) of the windows that lie inside the image.

    ``h = H − 10``; images smaller than the window raise ``ValueError``.
    """
    if min(image.shape[:2]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs at least {SSIM_WINDOW} × {SSIM_WINDOW} pixels, not {image.shape[0]} × {image.shape[1]}")
    rows, columns = (band(size, image.dtype, image.device) for size in image.shape[:2])
    x, y = image.permute(2, 0, 1), truth.permute(2, 0, 1)
    moments = (rows @ torch.cat((x, y, x * x, y * y, x * y)) @ columns.T).split(image.shape[2])
    mean_x, mean_y, square_x, square_y, product = moments
    both, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    numerator = (2 * both + SSIM_C1) * (2 * (product - both) + SSIM_C2)
    denominator = (squares + SSIM_C1) * (square_x + square_y - squares + SSIM_C2)
    return (numerator / denominator).permute(1, 2, 0)


def dssim(
    image: Float[Tensor, "H W C"], truth: Float[Tensor, "H W C"], visible: Bool[Tensor, "H W"] | None = None
) -> Float[Tensor, ""]:
    """(1 − SSIM) / 2 over the windows that see no invisible pixel."""
    values = (1 - ssim_map(image, truth)) / 2
    if visible is None:
        return values.mean()
    rows, columns = (band(size, image.dtype, image.device) for size in image.shape[:2])
    return masked_mean(values, rows @ (~visible.bool()).to(image.dtype) @ columns.T < 1e-6)


def matte_loss(alpha: Float[Tensor, "H W"], matte: Float[Tensor, "H W"], visible: Tensor | None = None) -> Float[Tensor, ""]:
    """Mean absolute difference of coverage."""
    return masked_mean((alpha - matte).abs(), visible)


def silhouette_loss(alpha: Float[Tensor, "H W"], matte: Float[Tensor, "H W"], visible: Tensor | None = None) -> Float[Tensor, ""]:
    """1 − soft intersection over union, which does not depend on the size of the subject in the image."""
    weight = torch.ones_like(alpha) if visible is None else visible.to(alpha.dtype)
    intersection = (alpha * matte * weight).sum()
    union = ((alpha + matte - alpha * matte) * weight).sum()
    return 1 - intersection / union.clamp_min(1e-6)


def doubled_angle(angle: Float[Tensor, "..."]) -> Float[Tensor, "... 2"]:
    """(cos 2a, sin 2a) of an undirected angle in radians: the space in which orientations average and compare."""
    return torch.stack([torch.cos(2 * angle), torch.sin(2 * angle)], dim=-1)


def orientation_loss(
    predicted: Float[Tensor, "H W 2"],
    angle: Float[Tensor, "H W"],
    confidence: Float[Tensor, "H W"],
    visible: Tensor | None = None,
) -> Float[Tensor, ""]:
    """Circular distance (1 − cos 2Δ) / 2 of undirected angles, 0 for parallel and 1 for crossing lines, weighted by confidence.

    ``predicted`` is a doubled-angle vector of any length; pixels with NaN in ``angle`` do not count.
    """
    known = torch.isfinite(angle) & torch.isfinite(confidence)
    weight = torch.where(known, confidence, torch.zeros_like(confidence))
    weight = weight if visible is None else weight * visible.to(weight.dtype)
    target = doubled_angle(torch.where(known, angle, torch.zeros_like(angle)))
    cosine = (functional.normalize(predicted, dim=-1, eps=1e-6) * target).sum(-1)
    return masked_mean((1 - cosine) / 2, weight)


def multiscale_gradient(
    image: Float[Tensor, "H W C"], truth: Float[Tensor, "H W C"], visible: Tensor | None = None, levels: int = 4
) -> Float[Tensor, ""]:
    """Mean absolute difference of image gradients over a pyramid: a documented perceptual term without network weights.

    At each level forward differences along x and y of ``image − truth`` are averaged over pixel pairs that are both visible,
    then the pyramid halves (2 × 2 box); the levels weigh the same.
    """
    error = (image - truth).permute(2, 0, 1)[None]
    mask = torch.ones_like(error[:, :1]) if visible is None else visible.to(error.dtype)[None, None]
    error = error * mask
    total, used = error.new_zeros(()), 0
    for _ in range(levels):
        if min(error.shape[-2:]) < 2:
            break
        across, down = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
        seen_across, seen_down = mask[..., 1:] * mask[..., :-1], mask[..., 1:, :] * mask[..., :-1, :]
        total = (
            total + masked_mean(across.abs(), seen_across.expand_as(across)) + masked_mean(down.abs(), seen_down.expand_as(down))
        )
        used += 1
        error, mask = functional.avg_pool2d(error, 2), (functional.avg_pool2d(mask, 2) > 0.999).to(error.dtype)
    return total / max(2 * used, 1)


def laplacian_vectors(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"]) -> Float[Tensor, "V 3"]:
    """Each vertex minus the mean of its neighbours (uniform weights, edges counted once per face; m)."""
    start = torch.cat([faces[:, 0], faces[:, 1], faces[:, 2], faces[:, 1], faces[:, 2], faces[:, 0]])
    end = torch.cat([faces[:, 1], faces[:, 2], faces[:, 0], faces[:, 0], faces[:, 1], faces[:, 2]])
    total = torch.zeros_like(vertices).index_add(0, start, vertices[end])
    degree = vertices.new_zeros(len(vertices)).index_add(0, start, vertices.new_ones(len(start)))
    return vertices - total / degree.clamp_min(1)[:, None]


def laplacian_loss(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"]) -> Float[Tensor, ""]:
    """Mean squared length of the uniform Laplacian (m²)."""
    return laplacian_vectors(vertices, faces).square().sum(-1).mean()


def landmark_loss(
    projected: Float[Tensor, "L 2"], truth: Float[Tensor, "L 2"], size: float, confidence: Float[Tensor, "L"] | None = None
) -> Float[Tensor, ""]:
    """Mean distance of projected landmarks to the observed ones, in shares of the image side ``size`` (px); NaN are skipped."""
    known = torch.isfinite(truth).all(-1) & torch.isfinite(projected).all(-1)
    target = torch.where(known[:, None], truth, torch.zeros_like(truth))
    source = torch.where(known[:, None], projected, torch.zeros_like(projected))
    distance = ((source - target).square().sum(-1) / size**2 + 1e-8).sqrt()
    return masked_mean(distance, known if confidence is None else known * confidence)
