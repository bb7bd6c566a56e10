"""LDR-FLIP: the difference a person sees when flipping between two images.

Andersson, Nilsson, Akenine-Möller, Oskarsson, Åström, Fairchild: "FLIP: A Difference Evaluator for Alternating Images", HPG 2020.
Written from the paper: contrast sensitivity filters in YCxCz, Hunt-adjusted CIELab, HyAB distance, edge and point features.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headcast.evaluation.metrics import filter_separable, masked_mean

PIXELS_PER_DEGREE = 67.0
"""The paper's default observer: 0.7 m from a 0.7 m wide screen of 3840 pixels."""

# Contrast sensitivity in the spatial domain: sums of a √(π/b) exp(−π²x²/b), x in degrees (table 1); rows are Y, Cx, Cz.
SENSITIVITY = (((1.0, 0.0047),), ((1.0, 0.0053),), ((34.1, 0.04), (13.5, 0.025)))
COLOUR_EXPONENT = 0.7
COLOUR_SHARE = 0.4
COLOUR_SHARE_VALUE = 0.95
FEATURE_WIDTH_DEG = 0.082
FEATURE_EXPONENT = 0.5

# Linear sRGB primaries under D65 to CIE XYZ, as rational numbers exact to the white point of (1, 1, 1).
RGB_TO_XYZ = (
    (10135552 / 24577794, 8788810 / 24577794, 4435075 / 24577794),
    (2613072 / 12288897, 8788810 / 12288897, 887015 / 12288897),
    (1425312 / 73733382, 8788810 / 73733382, 70074185 / 73733382),
)


def flip_map(
    image: Float[Tensor, "H W 3"], truth: Float[Tensor, "H W 3"], pixels_per_degree: float = PIXELS_PER_DEGREE
) -> Float[Tensor, "H W"]:
    """The FLIP error of each pixel in [0, 1]; both images sRGB-encoded in [0, 1]."""
    first, second = _to_opponent(truth.double().clamp(0, 1)), _to_opponent(image.double().clamp(0, 1))
    colour = _colour_difference(first, second, pixels_per_degree)
    feature = _feature_difference(first[..., 0], second[..., 0], pixels_per_degree)
    return colour ** (1.0 - feature)


def flip(
    image: Float[Tensor, "H W 3"],
    truth: Float[Tensor, "H W 3"],
    mask: Float[Tensor, "H W"] | None = None,
    pixels_per_degree: float = PIXELS_PER_DEGREE,
) -> float:
    """Mean FLIP error over the image, or over the pixels of ``mask`` (NaN where it is empty). Zero is equal, lower is better."""
    return masked_mean(flip_map(image, truth, pixels_per_degree), mask)


def _matrix(like: Tensor) -> Float[Tensor, "3 3"]:
    return torch.tensor(RGB_TO_XYZ, dtype=like.dtype, device=like.device)


def _white(like: Tensor) -> Float[Tensor, " 3"]:
    """The XYZ of linear RGB (1, 1, 1)."""
    return _matrix(like).sum(dim=1)


def _decode(encoded: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """sRGB to linear RGB (IEC 61966-2-1)."""
    return torch.where(encoded > 0.04045, ((encoded.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, encoded / 12.92)


def _to_opponent(encoded: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """sRGB to the linear opponent space YCxCz."""
    x, y, z = (_decode(encoded) @ _matrix(encoded).T / _white(encoded)).unbind(dim=-1)
    return torch.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], dim=-1)


def _opponent_to_linear(opponent: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """YCxCz to linear RGB, clamped to the gamut."""
    luminance, cx, cz = opponent.unbind(dim=-1)
    y = (luminance + 16.0) / 116.0
    xyz = torch.stack([y + cx / 500.0, y, y - cz / 200.0], dim=-1) * _white(opponent)
    return (xyz @ torch.linalg.inv(_matrix(opponent)).T).clamp(0.0, 1.0)


def _linear_to_lab(linear: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """Linear RGB to CIELab under the white of ``RGB_TO_XYZ``."""
    xyz = linear @ _matrix(linear).T / _white(linear)
    delta = 6.0 / 29.0
    root = torch.where(xyz > delta**3, xyz.clamp(min=delta**3) ** (1.0 / 3.0), xyz / (3.0 * delta**2) + 4.0 / 29.0)
    x, y, z = root.unbind(dim=-1)
    return torch.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], dim=-1)


def _hunt(lab: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """Chroma scaled with luminance (Hunt effect)."""
    lightness = lab[..., :1]
    return torch.cat([lightness, 0.01 * lightness * lab[..., 1:]], dim=-1)


def _hyab(first: Float[Tensor, "*n 3"], second: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n"]:
    """City-block distance in lightness plus Euclidean distance in chroma."""
    difference = first - second
    return difference[..., 0].abs() + torch.linalg.vector_norm(difference[..., 1:], dim=-1)


def _sensitivity_radius(pixels_per_degree: float) -> int:
    """Three standard deviations of the widest filter, in pixels; one support for all channels."""
    widest = max(b for terms in SENSITIVITY for _, b in terms)
    return math.ceil(3.0 * math.sqrt(widest / (2.0 * math.pi**2)) * pixels_per_degree)


def _filter_sensitivity(opponent: Float[Tensor, "H W 3"], pixels_per_degree: float) -> Float[Tensor, "H W 3"]:
    """Blur each opponent channel by its contrast sensitivity: a normalised sum of separable Gaussians."""
    radius = _sensitivity_radius(pixels_per_degree)
    degrees = torch.arange(-radius, radius + 1, dtype=opponent.dtype) / pixels_per_degree
    channels = []
    for channel, terms in enumerate(SENSITIVITY):
        image, total, filtered = opponent[..., channel, None], 0.0, torch.zeros_like(opponent[..., :1])
        for a, b in terms:
            taps = torch.exp(-(math.pi**2) * degrees**2 / b)
            weight = a * math.sqrt(math.pi / b)
            total += weight * float(taps.sum()) ** 2
            filtered = filtered + weight * filter_separable(image, taps, taps)
        channels.append(filtered / total)
    return torch.cat(channels, dim=-1)


def _perceived(opponent: Float[Tensor, "H W 3"], pixels_per_degree: float) -> Float[Tensor, "H W 3"]:
    return _hunt(_linear_to_lab(_opponent_to_linear(_filter_sensitivity(opponent, pixels_per_degree))))


def _largest_colour_distance(like: Tensor) -> float:
    """HyAB distance between Hunt-adjusted green and blue, the largest that sRGB holds, to the colour exponent."""
    green, blue = torch.eye(3, dtype=like.dtype, device=like.device)[1:]
    return float(_hyab(_hunt(_linear_to_lab(green)), _hunt(_linear_to_lab(blue)))) ** COLOUR_EXPONENT


def _colour_difference(
    first: Float[Tensor, "H W 3"], second: Float[Tensor, "H W 3"], pixels_per_degree: float
) -> Float[Tensor, "H W"]:
    """HyAB on filtered images, compressed and mapped to [0, 1]: small differences fill [0, 0.95], large ones the rest."""
    distance = _hyab(_perceived(first, pixels_per_degree), _perceived(second, pixels_per_degree)) ** COLOUR_EXPONENT
    largest = _largest_colour_distance(first)
    knee = COLOUR_SHARE * largest
    low = COLOUR_SHARE_VALUE / knee * distance
    high = COLOUR_SHARE_VALUE + (distance - knee) / (largest - knee) * (1.0 - COLOUR_SHARE_VALUE)
    return torch.where(distance < knee, low, high).clamp(0.0, 1.0)


def _unit_lobes(taps: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """Scale the positive weights to a sum of 1 and the negative ones to −1."""
    return torch.where(taps > 0, taps / taps.clamp(min=0).sum(), taps / -taps.clamp(max=0).sum())


def _feature_filters(pixels_per_degree: float) -> tuple[Tensor, Tensor, Tensor]:
    """Gaussian, edge (first derivative) and point (second derivative) taps, width 0.082 degrees."""
    sigma = 0.5 * FEATURE_WIDTH_DEG * pixels_per_degree
    radius = math.ceil(3.0 * sigma)
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    gaussian = torch.exp(-(x**2) / (2.0 * sigma**2))
    return gaussian / gaussian.sum(), _unit_lobes(-x * gaussian), _unit_lobes((x**2 / sigma**2 - 1.0) * gaussian)


def _feature_strength(luminance: Float[Tensor, "H W"], derivative: Tensor, gaussian: Tensor) -> Float[Tensor, "H W"]:
    horizontal = filter_separable(luminance[..., None], gaussian, derivative)
    vertical = filter_separable(luminance[..., None], derivative, gaussian)
    return torch.sqrt(horizontal**2 + vertical**2)[..., 0]


def _feature_difference(
    first: Float[Tensor, "H W"], second: Float[Tensor, "H W"], pixels_per_degree: float
) -> Float[Tensor, "H W"]:
    """How much more edge or point one image has than the other, in [0, 1], on normalised luminance."""
    gaussian, edge, point = _feature_filters(pixels_per_degree)
    pair = [(y + 16.0) / 116.0 for y in (first, second)]
    edges = [_feature_strength(y, edge, gaussian) for y in pair]
    points = [_feature_strength(y, point, gaussian) for y in pair]
    difference = torch.maximum((edges[0] - edges[1]).abs(), (points[0] - points[1]).abs())
    return (difference / math.sqrt(2.0)).clamp(0.0, 1.0) ** FEATURE_EXPONENT
