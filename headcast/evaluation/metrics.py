"""Image and mask metrics, each as its paper defines it.

Images are ``H W 3`` float tensors in [0, 1], sRGB-encoded; masks are ``H W`` floats in [0, 1], counted where they exceed one half.
Nothing here rounds to 8 bits. A mean over no pixel is NaN, never zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

GAUSSIAN_SIGMA = 1.5
GAUSSIAN_RADIUS = 5
SSIM_C1 = 0.01**2
SSIM_C2 = 0.03**2
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MASK_THRESHOLD = 0.5


def gaussian_kernel(sigma: float, radius: int) -> Float[Tensor, " k"]:
    """A sampled, normalised Gaussian of ``2 radius + 1`` taps (float64)."""
    taps = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-(taps**2) / (2.0 * sigma**2))
    return kernel / kernel.sum()


def filter_separable(
    image: Float[Tensor, "H W D"], rows: Float[Tensor, " k"], columns: Float[Tensor, " l"]
) -> Float[Tensor, "H W D"]:
    """Correlate every channel with ``rows`` (vertically) and ``columns`` (horizontally), border replicated, same size."""
    return _correlate(_correlate(image, rows, 0), columns, 1)


def _correlate(image: Float[Tensor, "H W D"], taps: Float[Tensor, " k"], axis: int) -> Float[Tensor, "H W D"]:
    """A sum of shifted images: several times faster in float64 on a CPU than ``conv2d``."""
    count, radius = image.shape[axis], len(taps) // 2
    places = torch.arange(-radius, count + radius, device=image.device).clamp(0, count - 1)
    padded = image.index_select(axis, places)
    total = torch.zeros_like(image)
    for shift, weight in enumerate(taps.tolist()):
        total.add_(padded.narrow(axis, shift, count), alpha=weight)
    return total


def masked_mean(values: Float[Tensor, "H W"], mask: Float[Tensor, "H W"] | None = None) -> float:
    """Mean of ``values`` over all pixels, or over those where ``mask`` exceeds one half; NaN where there is none."""
    chosen = values if mask is None else values[mask > MASK_THRESHOLD]
    return float(chosen.mean(dtype=torch.float64)) if chosen.numel() else float("nan")


def psnr(image: Float[Tensor, "H W D"], truth: Float[Tensor, "H W D"], mask: Float[Tensor, "H W"] | None = None) -> float:
    """Peak signal-to-noise ratio in dB for a peak of one, over the image or the pixels of ``mask``; infinite for equal images."""
    error = masked_mean((image - truth).double().square().mean(dim=-1), mask)
    return float(-10.0 * torch.log10(torch.tensor(error, dtype=torch.float64)))


def _similarity(image: Float[Tensor, "H W D"], truth: Float[Tensor, "H W D"]) -> tuple[Tensor, Tensor]:
    """Full SSIM and its contrast–structure part for every pixel and channel (window moments of eq. 14–16)."""
    kernel = gaussian_kernel(GAUSSIAN_SIGMA, GAUSSIAN_RADIUS)
    x, y = image.double(), truth.double()
    moments = filter_separable(torch.cat([x, y, x * x, y * y, x * y], dim=-1), kernel, kernel)
    mean_x, mean_y, xx, yy, xy = moments.split(x.shape[-1], dim=-1)
    structure = (2 * (xy - mean_x * mean_y) + SSIM_C2) / (xx - mean_x**2 + yy - mean_y**2 + SSIM_C2)
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    return luminance * structure, structure


def _interior(values: Float[Tensor, "H W *D"]) -> Float[Tensor, "h w *D"]:
    """The pixels whose whole window lies inside the image."""
    r = GAUSSIAN_RADIUS
    return values[r:-r, r:-r]


def ssim_map(image: Float[Tensor, "H W D"], truth: Float[Tensor, "H W D"]) -> Float[Tensor, "H W"]:
    """Structural similarity of each pixel, mean over channels (Wang et al. 2004: Gaussian window 11 × 11, σ 1.5, K 0.01, 0.03).

    The border is replicated for windows that reach over it.
    """
    return _similarity(image, truth)[0].mean(dim=-1)


def ssim(image: Float[Tensor, "H W D"], truth: Float[Tensor, "H W D"], mask: Float[Tensor, "H W"] | None = None) -> float:
    """Mean structural similarity (Wang et al. 2004).

    Over the image only whole windows count, as in the authors' code; over a ``mask`` every mask pixel counts.
    NaN where the image is smaller than the window or the mask is empty.
    """
    if mask is not None:
        return masked_mean(ssim_map(image, truth), mask)
    return interior_mean(ssim_map(image, truth))


def interior_mean(similarity: Float[Tensor, "H W"]) -> float:
    """Mean of a similarity map over the pixels whose whole window lies inside the image; NaN where there is none."""
    return masked_mean(_interior(similarity)) if min(similarity.shape) > 2 * GAUSSIAN_RADIUS else float("nan")


def ms_ssim_scales(height: int, width: int) -> int:
    """How many of the five scales fit: the 11-pixel window must fit into the coarsest one (five from 176 px on; 0: none)."""
    scales = 0
    while scales < len(MS_SSIM_WEIGHTS) and min(height, width) >> scales >= 2 * GAUSSIAN_RADIUS + 1:
        scales += 1
    return scales


def ms_ssim(image: Float[Tensor, "H W D"], truth: Float[Tensor, "H W D"]) -> float:
    """Multi-scale structural similarity (Wang, Simoncelli, Bovik 2003, eq. 7), mean over channels.

    Images under 176 px use the fewer scales that fit (``ms_ssim_scales``) with their weights renormalised to a sum of one.
    Negative means, which a power cannot take, count as zero. NaN where not even one scale fits.
    """
    scales = ms_ssim_scales(*image.shape[:2])
    if scales == 0:
        return float("nan")
    weights = torch.tensor(MS_SSIM_WEIGHTS[:scales], dtype=torch.float64)
    weights = weights / weights.sum()
    product = torch.ones(image.shape[-1], dtype=torch.float64, device=image.device)
    for scale in range(scales):
        full, structure = _similarity(image, truth)
        part = full if scale == scales - 1 else structure
        product = product * _interior(part).mean(dim=(0, 1)).clamp(min=0.0) ** weights[scale].item()
        image, truth = _halve(image), _halve(truth)
    return float(product.mean())


def _halve(image: Float[Tensor, "H W D"]) -> Float[Tensor, "h w D"]:
    """Average 2 × 2 blocks; an odd last row or column is dropped."""
    return functional.avg_pool2d(image.permute(2, 0, 1)[None], 2)[0].permute(1, 2, 0)


def binary(mask: Float[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """Where a soft mask exceeds one half."""
    return mask > MASK_THRESHOLD


def iou(predicted: Float[Tensor, "H W"] | Bool[Tensor, "H W"], truth: Float[Tensor, "H W"] | Bool[Tensor, "H W"]) -> float:
    """Intersection over union of two masks (soft ones at one half); NaN where both are empty."""
    a, b = binary(predicted.float()), binary(truth.float())
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else float("nan")


def temporal_iou(
    predicted: tuple[Float[Tensor, "H W"], Float[Tensor, "H W"]], truth: tuple[Float[Tensor, "H W"], Float[Tensor, "H W"]]
) -> float:
    """Temporal consistency of a mask over one pair of consecutive frames (earlier, later).

    The published measure (Liu et al., ECCV 2020; Varghese et al., CVPRW 2020) carries the earlier prediction to the later frame and
    takes its IoU with the later prediction. They carry it by optical flow; here the truth itself says what moved: what the true
    mask gained is added, what it lost is removed. So 1 means "changed exactly where the truth changed": a constant bias costs
    little, flicker, lag and frozen hair cost what they get wrong. NaN where nothing is left to compare.
    """
    before, after = binary(truth[0]), binary(truth[1])
    carried = (binary(predicted[0]) | (after & ~before)) & ~(before & ~after)
    return iou(carried, binary(predicted[1]))


def change_iou(
    predicted: tuple[Float[Tensor, "H W"], Float[Tensor, "H W"]], truth: tuple[Float[Tensor, "H W"], Float[Tensor, "H W"]]
) -> float:
    """IoU of the regions that changed between two consecutive frames, predicted against true (stricter than the above)."""
    changed = [binary(earlier) ^ binary(later) for earlier, later in (predicted, truth)]
    return iou(changed[0], changed[1])


def angular_error(angle: Float[Tensor, "*n"], truth: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """The angle between two undirected directions (rad in, rad in [0, π/2] out), on the doubled angle so that 0 and π are one."""
    doubled = 2.0 * (angle - truth)
    return torch.atan2(torch.sin(doubled), torch.cos(doubled)).abs() / 2.0


def mean_finite(values: Iterable[float]) -> float:
    """Mean of the values that are not NaN; NaN where there is none."""
    kept = [float(value) for value in values if not math.isnan(value)]
    return sum(kept) / len(kept) if kept else float("nan")
