"""How many frames without a face the fit bears, and what it says of more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headcast.errors import CaptureError
from headcast.imaging.landmarks import Landmarks
from headcast.stages.fit_head import require_faces

PATH = Path("results/demo/HAIR/landmarks/manifest.json")


def landmarks(missing: list[int]) -> Landmarks:
    points, dense = np.ones((10, 2, 68, 2)), np.ones((10, 2, 478, 2))
    points[missing] = np.nan
    points[:, 1] = np.nan  # the second camera never sees a face
    return Landmarks(("c0", "c1"), points, np.isfinite(points[..., 0]).astype(float), dense)


def test_a_few_frames_without_a_face_lie_between_the_others() -> None:
    require_faces(landmarks([]), 0.0, PATH)
    require_faces(landmarks([3, 7]), 0.2, PATH)


def test_more_are_an_error_that_names_the_first_and_the_setting() -> None:
    with pytest.raises(CaptureError, match=r"frame 3 \(3 of 10 frames\).*max_missing_frames") as caught:
        require_faces(landmarks([3, 7, 8]), 0.2, PATH)
    assert str(PATH) in str(caught.value) and "\n" not in str(caught.value)
