"""A coarse prior of where the person is: MediaPipe's selfie segmentation, whose weights are in the wheel (Apache-2.0)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from headcast.errors import AssetMissing


@functools.cache
def _segmenter() -> Any:
    try:
        import mediapipe
    except ModuleNotFoundError as error:
        raise AssetMissing("mediapipe", "the selfie prior needs this package", "install mediapipe 0.10.21") from error
    return mediapipe.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)


def selfie_prior(image: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W"]:
    """Probability that a pixel of a square sRGB crop belongs to the person (float32 in [0, 1], smooth, ± 10 px at 416 px).

    Raises ``AssetMissing`` when mediapipe is not installed.
    """
    mask = _segmenter().process(np.ascontiguousarray(image)).segmentation_mask
    return np.clip(np.nan_to_num(np.asarray(mask, np.float32)), 0.0, 1.0)
