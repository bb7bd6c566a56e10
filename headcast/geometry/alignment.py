"""The similarity between two sets of corresponding points."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def similarity(
    source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"]
) -> tuple[float, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Scale, rotation and translation that bring ``source`` closest to ``target`` (Umeyama 1991)."""
    centre_source, centre_target = source.mean(axis=0), target.mean(axis=0)
    arms = source - centre_source
    u, sizes, vt = np.linalg.svd((target - centre_target).T @ arms)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((sizes * sign).sum() / (arms**2).sum())
    return scale, rotation, centre_target - scale * rotation @ centre_source
