"""Alpha of a pixel over a known plate: I = α F + (1 − α) B, with F drawn from the sure foreground nearby.

The foreground colour of a pixel is a Gaussian (mean, covariance) gathered from sure pixels over several scales, the
nearest first; alpha is its maximum-likelihood value under that uncertainty and the sensor noise (Chuang et al., "A
Bayesian approach to digital matting", CVPR 2001, with the plate known). The precision of the answer comes with it: where
subject and plate share a colour it is near zero and a smoothness term has to decide. All colours are linear light.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
SUFFICIENT_SUPPORT = 0.02  # share of sure pixels in the window at which a scale is trusted half


def gaussian(image: Float[np.ndarray, "H W *c"], sigma: float) -> Float[np.ndarray, "H W *c"]:
    """Gaussian blur, borders reflected; any number of channels; wide kernels run on a reduced image."""
    height, width = image.shape[:2]
    step = max(1, int(sigma / 3))
    size = (max(1, width // step), max(1, height // step))
    parts = []
    for part in np.array_split(image, -(-image.shape[2] // 4), axis=2) if image.ndim == 3 else [image]:
        small = cv2.resize(part, size, interpolation=cv2.INTER_AREA) if step > 1 else np.ascontiguousarray(part)
        small = cv2.GaussianBlur(small, (0, 0), sigma / step, borderType=cv2.BORDER_REFLECT)
        parts.append(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR) if step > 1 else small)
    return np.concatenate([p.reshape(height, width, -1) for p in parts], 2) if image.ndim == 3 else parts[0]


def local_colours(
    light: Float[np.ndarray, "H W 3"], weight: Float[np.ndarray, "H W"], sigmas: tuple[float, ...]
) -> tuple[Float[np.ndarray, "H W 3"], Float[np.ndarray, "H W 6"]]:
    """Mean and second moments (upper triangle) of the weighted colours around each pixel, finest scale with support first."""
    products = [light[..., i] * light[..., j] for i, j in PAIRS]
    samples = np.concatenate([light, np.stack(products, -1), np.ones_like(light[..., :1])], -1) * weight[..., None]
    moments = None
    for sigma in sorted(sigmas, reverse=True):
        sums = gaussian(samples, sigma)
        support = sums[..., 9:]
        here = sums[..., :9] / (support + 1e-7)
        trust = support / (support + SUFFICIENT_SUPPORT)
        moments = here if moments is None else trust * here + (1 - trust) * moments
    assert moments is not None
    return moments[..., :3], moments[..., 3:]


def _solve(matrix: Float[np.ndarray, "n 3 3"], vector: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Solve n symmetric positive definite 3 × 3 systems by cofactors."""
    a, b, c, d, e, f = (matrix[:, i, j] for i, j in PAIRS)
    u, v, w = d * f - e * e, c * e - b * f, b * e - c * d
    adjugate = np.stack([u, v, w, v, a * f - c * c, b * c - a * e, w, b * c - a * e, a * d - b * b], -1).reshape(-1, 3, 3)
    return np.einsum("nij,nj->ni", adjugate, vector) / (a * u + b * v + c * w)[:, None]


def unmix(
    light: Float[np.ndarray, "n 3"],
    plate: Float[np.ndarray, "n 3"],
    mean: Float[np.ndarray, "n 3"],
    second: Float[np.ndarray, "n 6"],
    noise: Float[np.ndarray, "n 3"],
    *,
    iterations: int = 3,
    floor: float = 4e-5,
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Alpha in [0, 1] and its precision (1/variance) for pixels with foreground colour ~ (``mean``, ``second`` moments).

    ``noise`` is the standard deviation of the sensor per channel, ``floor`` the least variance of the foreground.
    """
    span, difference = mean - plate, light - plate
    covariance = np.empty((len(light), 3, 3), np.float32)
    for k, (i, j) in enumerate(PAIRS):
        covariance[:, i, j] = covariance[:, j, i] = second[:, k] - mean[:, i] * mean[:, j]
    for i in range(3):
        covariance[:, i, i] = np.maximum(covariance[:, i, i], 0) + floor
    alpha, precision = np.full(len(light), 0.7, np.float32), np.zeros(len(light), np.float32)
    for _ in range(iterations):
        total = alpha[:, None, None] ** 2 * covariance
        total[:, range(3), range(3)] += noise**2
        weighted = _solve(total, span)
        precision = np.maximum((weighted * span).sum(-1), 1e-6)
        alpha = np.clip((weighted * difference).sum(-1) / precision, 0, 1)
    return alpha.astype(np.float32), precision.astype(np.float32)
