"""Area filtering: it conserves light, is the identity at equal size, and equals block means where blocks fit."""

from __future__ import annotations

import numpy as np
import pytest

from headcast.imaging.resample import area_weights, resize


def test_weights_conserve_and_reduce_to_the_identity() -> None:
    weights = area_weights(7, 3)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(weights.sum(0), 3 / 7, rtol=1e-6)
    np.testing.assert_array_equal(area_weights(5, 5), np.eye(5))


def test_shrinking_by_a_whole_factor_is_the_mean_of_blocks() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    blocks = image.reshape(4, 2, 4, 3, 3).mean((1, 3))
    assert np.abs(resize(image, 4, 4) - blocks).max() <= 0.51


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_enlarging_interpolates_between_pixel_centres(channels: tuple[int, ...]) -> None:
    ramp = np.broadcast_to(np.array([0, 100], np.uint8).reshape(1, 2, *([1] * len(channels))), (2, 2, *channels))
    row = resize(np.ascontiguousarray(ramp), 4, 4)[0].reshape(4, -1)[:, 0]
    np.testing.assert_array_equal(row, [0, 25, 75, 100])
