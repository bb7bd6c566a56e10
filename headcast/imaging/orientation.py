"""Undirected 2-D orientation of hair by oriented filters, agreed upon within a small neighbourhood.

Difference of Gaussians → bank of real, zero-mean Gabor filters → |response| normalised to a distribution over angles →
arg-max refined by a parabola, spread about it as its variance (Paris, Briceño, Sillion, "Capture of hair geometry from
multiple images", SIGGRAPH 2004) → vote of the neighbours on the doubled angle, weighted by response and certainty.

The bank of all angles is evaluated through its singular vectors: some forty products of spectra instead of 180, equal to 1e-3.
Filters are 0.23 cycles/px as in the literature, but 5 px long instead of 2.4 and without response to flat grey: single
pixels of real and rendered hair are too noisy for short ones. Images above 512 px add one octave per doubling.

Angles are radians in [0, π): 0 = image vertical, increasing towards the horizontal, image direction ± (sin a, cos a)
with x right and y down.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.fft import next_fast_len
from torch import Tensor
from torch.fft import irfft2, rfft2
from torch.nn.functional import conv2d, interpolate, pad

from headcast.errors import CaptureError

REFERENCE_SIDE = 512
HAIR = 0.02  # share of hair from which on a pixel has an orientation
CHUNK = {"cpu": 1 << 12}  # hair pixels at a time: what fits the cache; larger on a GPU
GPU_CHUNK = 1 << 18
FILTERS, GPU_FILTERS = 4, 64  # of the basis at a time: as many maps are held


class Filters(NamedTuple):
    """The bank: cycles per pixel, extent across and along the strand (σ, px), band-pass (σ, px), vote (σ, px at 512 px)."""

    frequency: float = 0.23
    across: float = 1.8
    along: float = 5.0
    fine: float = 0.4
    coarse: float = 10.0
    vote: float = 4.5


def gabor_bank(angles: int, filters: Filters) -> Float[np.ndarray, "A k k"]:
    """Real Gabor filters of ``angles`` orientations over [0, π): no response to a constant, equal L1 norm."""
    radius = math.ceil(3 * max(filters.across, filters.along))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float64)
    angle = (np.pi * np.arange(angles) / angles)[:, None, None]
    across, along = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    envelope = np.exp(-0.5 * ((across / filters.across) ** 2 + (along / filters.along) ** 2))
    wave = envelope * np.cos(2 * np.pi * filters.frequency * across)
    wave -= envelope * (wave.sum((1, 2)) / envelope.sum((1, 2)))[:, None, None]
    return wave / np.abs(wave).sum((1, 2), keepdims=True)


@functools.cache
def steerable(angles: int, filters: Filters, tolerance: float = 1e-3) -> tuple[Float[Tensor, "A r"], Float[Tensor, "r 1 k k"]]:
    """The bank as ``weights @ basis``: every filter a mix of a few, to a relative error of ``tolerance``."""
    bank = gabor_bank(angles, filters)
    left, values, right = np.linalg.svd(bank.reshape(angles, -1), full_matrices=False)
    rank = int((values > tolerance * values[0]).sum())
    basis = right[:rank].reshape(rank, 1, *bank.shape[1:])
    return torch.from_numpy((left * values)[:, :rank].astype(np.float32)), torch.from_numpy(basis.astype(np.float32))


def filtered(band: Float[Tensor, "1 H W"], basis: Float[Tensor, "r k k"]) -> Iterator[Float[Tensor, "c H W"]]:
    """Responses of the basis, some filters at a time, as products of spectra; outside the picture the border repeats."""
    height, width = band.shape[1:]
    margin = basis.shape[-1] // 2
    size = [next_fast_len(side + 2 * margin, real=True) for side in (height, width)]
    spectrum = rfft2(pad(band[None], (margin,) * 4, mode="replicate")[0], s=size)
    for some in basis.split(GPU_FILTERS if band.is_cuda else FILTERS):
        yield irfft2(spectrum * rfft2(some, s=size).conj(), s=size)[:, :height, :width]


def _blur(maps: Float[Tensor, "n H W"], sigma: float) -> Float[Tensor, "n H W"]:
    """Separable Gaussian blur; outside the picture the border repeats."""
    radius = max(1, math.ceil(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=maps.device, dtype=maps.dtype) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    wide = pad(maps[:, None], (radius, radius, radius, radius), mode="replicate")
    return conv2d(conv2d(wide, kernel[None, None, None]), kernel[None, None, :, None])[:, 0]


def _responses(
    grey: Float[Tensor, "H W"], inside: Tensor, angles: int, filters: Filters, octaves: int
) -> list[tuple[Float[Tensor, "A r"], Float[Tensor, "r n"]]]:
    """Basis responses at the pixels ``inside`` for each octave, coarser ones computed on a reduced picture."""
    weights, basis = (part.to(grey.device) for part in steerable(angles, filters))
    found = []
    for octave in range(octaves):
        small = interpolate(grey[None, None], scale_factor=0.5**octave, mode="area")[0] if octave else grey[None]
        band = _blur(small, filters.fine) - _blur(small, filters.coarse)
        parts = []
        for maps in filtered(band, basis[:, 0]):
            whole = interpolate(maps[None], size=grey.shape, mode="bilinear", align_corners=False)[0] if octave else maps
            parts.append(whole[:, inside])
        found.append((weights, torch.cat(parts)))
    return found


def _peak(response: Float[Tensor, "A n"]) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"], Float[Tensor, "n"]]:
    """Angle of the strongest response, spread about it (rad²) and total response, for each column."""
    angles = len(response)
    total = response.sum(0)
    share = response / total.clamp_min(1e-12)
    best = share.argmax(0)
    low, middle, high = (share.gather(0, ((best + step) % angles)[None])[0] for step in (-1, 0, 1))
    offset = 0.5 * (low - high) / (low - 2 * middle + high).clamp_max(-1e-9)
    angle = (best + offset.clamp(-0.5, 0.5)) * (math.pi / angles)
    grid = torch.arange(angles, device=response.device, dtype=response.dtype) * (math.pi / angles)
    away = torch.remainder(grid[:, None] - angle + math.pi / 2, math.pi) - math.pi / 2
    return torch.remainder(angle, math.pi), (share * away**2).sum(0), total


def _box(mask: Float[np.ndarray, "H W"], margin: int) -> tuple[slice, slice] | None:
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if not len(rows):
        return None
    return (
        slice(max(rows[0] - margin, 0), min(rows[-1] + 1 + margin, mask.shape[0])),
        slice(max(columns[0] - margin, 0), min(columns[-1] + 1 + margin, mask.shape[1])),
    )


def orientation(
    image: UInt8[np.ndarray, "H W 3"] | UInt8[np.ndarray, "H W"],
    mask: Float[np.ndarray, "H W"],
    *,
    angles: int = 180,
    filters: Filters | None = None,
    device: str | torch.device = "cpu",
) -> tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
    """Angle (rad, NaN where there is no hair) and confidence in [0, 1] (0 there) of the hair in ``mask`` (soft, [0, 1]).

    Confidence is the length of the neighbours' mean doubled-angle vector: 1 where all agree. Raises ``CaptureError`` when
    image and mask differ in size.
    """
    if image.shape[:2] != mask.shape:
        raise CaptureError("orientation", f"image {image.shape[:2]} and mask {mask.shape} differ in size")
    filters = filters or Filters()
    unit = max(mask.shape) / REFERENCE_SIDE
    angle, confidence = np.full(mask.shape, np.nan, np.float32), np.zeros(mask.shape, np.float32)
    box = _box(mask > HAIR, round(3 * filters.coarse))
    if box is None:
        return angle, confidence
    octaves = 1 + max(0, round(math.log2(unit)))
    grey = _grey(torch.from_numpy(np.ascontiguousarray(image[box])).to(device))
    weight = torch.from_numpy(mask[box].astype(np.float32)).to(device).nan_to_num_()
    found, agreed = _orient(grey, weight, angles, filters, octaves, max(1.0, filters.vote * unit))
    outside = weight <= HAIR
    angle[box] = _to_host(found.masked_fill_(outside, math.nan))
    confidence[box] = _to_host(agreed.masked_fill_(outside, 0))
    return angle, confidence


def _to_host(values: Float[Tensor, "H W"]) -> Float[np.ndarray, "H W"]:
    """Values on a GPU through memory that it can reach."""
    if values.is_cuda:
        values = torch.empty(values.shape, pin_memory=True).copy_(values)
    return values.numpy()


def _grey(image: UInt8[Tensor, "H W *c"]) -> Float[Tensor, "H W"]:
    picture = image.float() / 255
    return picture @ picture.new_tensor([0.299, 0.587, 0.114]) if picture.ndim == 3 else picture


def _orient(
    grey: Float[Tensor, "H W"], weight: Float[Tensor, "H W"], angles: int, filters: Filters, octaves: int, vote: float
) -> tuple[Float[Tensor, "H W"], Float[Tensor, "H W"]]:
    """Peaks of the bank at every hair pixel, then the vote of the neighbours on the doubled angle."""
    inside = weight > HAIR
    scales = _responses(grey, inside, angles, filters, octaves)
    votes = torch.zeros((3, *grey.shape), device=grey.device)
    flat = torch.zeros((3, int(inside.sum())), device=grey.device)
    step = CHUNK.get(grey.device.type, GPU_CHUNK)
    for start in range(0, flat.shape[1], step):
        part = slice(start, start + step)
        response = torch.zeros((), device=grey.device)
        for mix, basis in scales:
            response = (mix @ basis[:, part]).abs_().add_(response)
        angle, variance, total = _peak(response)
        certain = total * (1 - variance / (math.pi**2 / 12)).clamp(0, 1) ** 2
        flat[:, part] = torch.stack([torch.cos(2 * angle), torch.sin(2 * angle), torch.ones_like(angle)]) * certain
    votes[:, inside] = flat * weight[inside]
    mean = _blur(votes, vote)
    angle = torch.remainder(0.5 * torch.atan2(mean[1], mean[0]), math.pi)
    return angle, (torch.hypot(mean[0], mean[1]) / mean[2].clamp_min(1e-12)).clamp(0, 1)
