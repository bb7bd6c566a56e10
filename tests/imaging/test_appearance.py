"""What a surface looks like in light and in shade: only one feature may change."""

from __future__ import annotations

import numpy as np

from headcast.imaging.appearance import features, in_any_shade
from headcast.imaging.color import ENCODED


def textured(colour: tuple[float, float, float], roughness: float, light: float) -> np.ndarray:
    """A surface of linear ``colour`` with multiplicative texture, lit with ``light``."""
    noise = np.exp(roughness * np.random.default_rng(0).standard_normal((48, 48, 1)))
    linear = np.clip(np.array(colour) * noise * light, 0, 1)
    return np.rint(ENCODED[np.rint(linear * 4095).astype(int)]).astype(np.uint8)


def test_shade_changes_luminance_alone() -> None:
    lit, shaded = (features(textured((0.6, 0.35, 0.25), 0.1, light), 1.0).mean((0, 1)) for light in (1.0, 0.3))
    assert abs(lit[0] - shaded[0] + np.log(0.3)) < 0.05
    np.testing.assert_allclose(lit[1:], shaded[1:], atol=0.06)


def test_texture_and_colour_tell_hair_from_shaded_skin() -> None:
    skin, hair = (
        features(textured(*of), 1.0).mean((0, 1)) for of in (((0.6, 0.35, 0.25), 0.01, 0.3), ((0.2, 0.1, 0.05), 0.3, 1.0))
    )
    assert abs(skin[0] - hair[0]) < 0.5
    assert hair[3] - skin[3] > 1
    assert hair[2] - skin[2] > 0.2


def test_relit_samples_keep_all_but_luminance_and_never_brighten() -> None:
    samples = np.random.default_rng(1).standard_normal((100, 4))
    both = in_any_shade(samples, np.random.default_rng(2))
    np.testing.assert_array_equal(both[:100], samples)
    np.testing.assert_array_equal(both[100:, 1:], samples[:, 1:])
    assert (both[100:, 0] <= samples[:, 0]).all()
