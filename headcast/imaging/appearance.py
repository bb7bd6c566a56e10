"""What a subject's hair, skin and clothes look like: one Gaussian mixture a class for all views and frames.

Features are what a shadow changes in one coordinate only: the logarithm of luminance, two logarithmic ratios of linear colour,
and the relative local contrast: hair is textured, skin and cloth are not, in light and in shade. Mixtures are fitted by
expectation-maximisation from k-means++ seeds (Bishop, PRML, ch. 9), deterministically.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from headcast.imaging.color import DECODED
from headcast.imaging.unmixing import gaussian

FEATURES = 4
COMPONENTS = 4
FINE, POOL = 0.7, 3.0  # px: detail of luminance, and the neighbourhood that shares it
LEAST_VARIANCE = np.array([0.04, 0.002, 0.002, 0.04])
DARKEST = 0.004  # linear light that counts as black: below it the ratios are noise
LEAST_CONTRAST = 1e-5  # squared
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
DEEPEST_SHADE = 0.08  # share of the light that reaches skin under hair and chin


def features(image: UInt8[np.ndarray, "H W 3"], unit: float) -> Float[np.ndarray, "H W 4"]:
    """Log luminance, log red : green and log green : blue of linear light blurred by ``unit`` px; log relative contrast."""
    linear = DECODED[image]
    blurred = gaussian(linear, unit) + DARKEST
    ratios = np.log(blurred[..., :2] / blurred[..., 1:])
    fine = np.log(linear @ LUMINANCE + DARKEST)
    detail = fine - gaussian(fine, max(FINE * unit, 0.5))
    contrast = 0.5 * np.log(gaussian(detail * detail, POOL * unit) + LEAST_CONTRAST)
    return np.concatenate([np.log(blurred @ LUMINANCE)[..., None], ratios, contrast[..., None]], -1).astype(np.float32)


def in_any_shade(samples: Float[np.ndarray, "n 4"], rng: np.random.Generator) -> Float[np.ndarray, "m 4"]:
    """The samples and, once more, the same surfaces with less light on them: only their luminance falls."""
    shaded = samples.copy()
    shaded[:, 0] += np.log(rng.uniform(DEEPEST_SHADE, 1, len(samples)))
    return np.concatenate([samples, shaded])


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture: log weights, means, inverse Cholesky factors and log determinants of its components."""

    log_weight: Float[np.ndarray, "k"]
    mean: Float[np.ndarray, "k d"]
    whiten: Float[np.ndarray, "k d d"]
    log_scale: Float[np.ndarray, "k"]

    def log_likelihood(self, samples: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n"]:
        """Log density of each sample (up to the same constant for all mixtures of one dimension)."""
        return np.logaddexp.reduce(self._joint(samples), axis=1)

    def _joint(self, samples: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        columns = []
        for k in range(len(self.mean)):
            white = (samples - self.mean[k]) @ self.whiten[k].T
            columns.append(self.log_weight[k] + self.log_scale[k] - 0.5 * np.einsum("nd,nd->n", white, white))
        return np.stack(columns, 1)


def fit_mixture(samples: Float[np.ndarray, "n d"], weight: Float[np.ndarray, "n"], seed: int = 0, rounds: int = 12) -> Mixture:
    """Weighted expectation-maximisation; as many components as the samples can carry, at most ``COMPONENTS``."""
    count = max(1, min(COMPONENTS, len(samples) // 50))
    rng = np.random.default_rng(seed)
    centres = samples[[int(rng.integers(len(samples)))]]
    scale = samples.std(0) + 1e-6
    while len(centres) < count:
        distance = (((samples[:, None] - centres) / scale) ** 2).sum(-1).min(1) * weight
        centres = np.vstack([centres, samples[np.searchsorted(np.cumsum(distance), rng.random() * distance.sum())]])
    nearest = (((samples[:, None] - centres) / scale) ** 2).sum(-1).argmin(1)
    share = np.eye(count)[nearest]
    mixture = _maximise(samples, share * weight[:, None])
    for _ in range(rounds):
        joint = mixture._joint(samples)
        share = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
        mixture = _maximise(samples, share * weight[:, None])
    return mixture


def _maximise(samples: Float[np.ndarray, "n d"], share: Float[np.ndarray, "n k"]) -> Mixture:
    mass = share.sum(0) + 1e-6
    mean = share.T @ samples / mass[:, None]
    whiten, log_scale = [], []
    for k in range(share.shape[1]):
        centred = samples - mean[k]
        covariance = (centred * share[:, k : k + 1]).T @ centred / mass[k] + np.diag(LEAST_VARIANCE[: samples.shape[1]])
        inverse = np.linalg.inv(np.linalg.cholesky(covariance))
        whiten.append(inverse)
        log_scale.append(np.log(np.diag(inverse)).sum())
    return Mixture(np.log(mass / mass.sum()), mean, np.stack(whiten), np.array(log_scale))
