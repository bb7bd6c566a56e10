"""FLIP: values of an independent implementation, closed forms on flat colours, properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from headcast.evaluation.flip import flip, flip_map


def flat(colour: tuple[float, float, float], side: int = 24) -> torch.Tensor:
    return torch.tensor(colour).expand(side, side, 3).clone()


def lab_hunt(colour: tuple[float, float, float]) -> np.ndarray:
    lightness, a, b = rgb2lab(np.array(colour, np.float64).reshape(1, 1, 3))[0, 0]
    return np.array([lightness, 0.01 * lightness * a, 0.01 * lightness * b])


def flat_flip(first: tuple[float, float, float], second: tuple[float, float, float]) -> float:
    """The paper's equations 3–7 on flat colours (no filter, no feature), with scikit-image's CIELab."""

    def hyab(a: np.ndarray, b: np.ndarray) -> float:
        return float(abs(a[0] - b[0]) + np.hypot(*(a[1:] - b[1:]))) ** 0.7

    largest, value = hyab(lab_hunt((0, 1, 0)), lab_hunt((0, 0, 1))), hyab(lab_hunt(first), lab_hunt(second))
    knee = 0.4 * largest
    return 0.95 * value / knee if value < knee else 0.95 + 0.05 * (value - knee) / (largest - knee)


def test_the_mean_equals_the_authors_program(wave_pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    """0.3248495 is what flip-evaluator 1.7 says of the same pair (LDR, 67.0206 pixels per degree)."""
    truth, image = wave_pair
    assert flip(image, truth, pixels_per_degree=67.02064514160156) == pytest.approx(0.324849516, abs=1e-5)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0, 0, 0), (1, 1, 1)),
        ((0, 1, 0), (0, 0, 1)),
        ((0.5, 0.5, 0.5), (0.52, 0.5, 0.48)),
        ((0.8, 0.6, 0.5), (0.75, 0.55, 0.5)),
        ((1, 0, 0), (0, 1, 0)),
    ],
)
def test_flat_colours_have_their_closed_form(first: tuple[float, float, float], second: tuple[float, float, float]) -> None:
    assert flip(flat(second), flat(first)) == pytest.approx(flat_flip(first, second), abs=2e-3)


def test_equal_images_do_not_differ_and_error_stays_in_range(wave_pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    truth, image = (values[:64, :64] for values in wave_pair)
    assert flip(truth, truth) == 0.0
    error = flip_map(image, truth)
    assert 0.0 <= float(error.min()) <= float(error.max()) <= 1.0


def test_it_is_symmetric_and_grows_with_noise(picture: torch.Tensor) -> None:
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    values = [flip(picture + sigma * noise, picture) for sigma in (0.02, 0.05, 0.1, 0.2)]
    assert values == sorted(values)
    assert values[0] > 0
    image = (picture + 0.1 * noise).clamp(0, 1)
    assert flip(image, picture) == pytest.approx(flip(picture, image), abs=1e-9)


def test_an_added_point_counts_more_than_its_filtered_colour() -> None:
    """A lone bright pixel is blurred away by the sensitivity filter; the point detector keeps it visible."""
    truth = flat((0.4, 0.4, 0.4), 40)
    image = truth.clone()
    image[20, 20] = 1.0
    assert float(flip_map(image, truth)[20, 20]) > 0.3
    assert float(flip_map(image, truth)[2, 2]) == 0.0


def test_a_mask_keeps_only_its_pixels() -> None:
    truth, image = flat((0.4, 0.4, 0.4), 60), flat((0.4, 0.4, 0.4), 60)
    image[:20] = 0.9
    mask = torch.zeros(60, 60)
    mask[45:] = 1.0
    assert flip(image, truth, mask) == 0.0 < flip(image, truth)


def test_more_pixels_per_degree_blur_more(wave_pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    truth, image = (values[:96, :96] for values in wave_pair)
    assert flip(image, truth, pixels_per_degree=200.0) != flip(image, truth, pixels_per_degree=67.0)
