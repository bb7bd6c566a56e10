"""What labels of a view are, whoever found them: inside the matte, hair over face over body, none of them twice."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

BACKGROUND, BODY, FACE, HAIR = range(4)


class Labels(NamedTuple):
    """Per pixel 0 background, 1 body, 2 face up to the hair, 3 hair; and the soft hair matte, never above alpha."""

    labels: UInt8[np.ndarray, "H W"]
    hair: Float[np.ndarray, "H W"]


def compose(hair: Float[np.ndarray, "H W"], face: Bool[np.ndarray, "H W"], alpha: Float[np.ndarray, "H W"]) -> Labels:
    """Labels from the share of hair in the person, where the face is, and the matte (shares in [0, 1])."""
    labels = np.full(alpha.shape, BODY, np.uint8)
    labels[face] = FACE
    labels[hair > 0.5] = HAIR
    labels[alpha < 0.5] = BACKGROUND
    return Labels(labels, np.clip(hair * alpha, 0, alpha).astype(np.float32))
