"""A similarity is found back from corresponding points."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from headcast.geometry.alignment import similarity


def test_similarity_is_recovered() -> None:
    rng = np.random.default_rng(2)
    points, rotation = rng.normal(size=(9, 3)), Rotation.random(random_state=3).as_matrix()
    scale, found, translation = similarity(points, 1.7 * points @ rotation.T + [1, 2, 3])
    assert scale == pytest.approx(1.7)
    np.testing.assert_allclose(found, rotation, atol=1e-12)
    np.testing.assert_allclose(translation, [1, 2, 3], atol=1e-12)
