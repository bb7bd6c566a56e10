"""The camera's share of a picture: colours that can be undone, coverage that is respected."""

from __future__ import annotations

import numpy as np

from headcast.demo import develop


def test_the_srgb_curve_and_its_inverse() -> None:
    values = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(develop.decode_srgb(develop.encode_srgb(values)), values, atol=1e-7)
    np.testing.assert_allclose(develop.encode_srgb(np.array([0.18])), 0.46135613, atol=1e-6)


def test_the_colour_matrix_undoes_the_cast() -> None:
    matrices = develop.color_matrices(["b", "a", "c"])
    assert list(matrices) == ["a", "b", "c"]
    linear = np.random.default_rng(0).uniform(0.05, 0.8, (64, 64, 3))
    for matrix in matrices.values():
        raw = develop.film(linear, matrix, np.random.default_rng(1)).astype(float) / 255
        undone = develop.decode_srgb(raw) @ matrix.T
        assert np.abs(matrix - np.eye(3)).max() < 0.15
        assert np.abs((undone - linear).mean(axis=(0, 1))).max() < 2e-3


def test_noise_has_the_promised_spread_and_follows_its_generator() -> None:
    grey = np.full((200, 200, 3), 0.2)
    one = develop.film(grey, np.eye(3), np.random.default_rng(3))
    assert np.array_equal(one, develop.film(grey, np.eye(3), np.random.default_rng(3)))
    assert abs(one.std() / 255 - develop.NOISE_SIGMA) < 4e-4


def test_colour_is_kept_where_it_was_rendered_and_continued_beyond() -> None:
    picture = np.zeros((40, 40, 4), np.uint8)
    picture[:, :20] = (200, 100, 50, 255)
    colour = develop.subject_colour(picture, np.ones((40, 40), bool))
    expected = develop.decode_srgb(np.array([200, 100, 50]) / 255)
    np.testing.assert_allclose(colour[:, :20], np.broadcast_to(expected, (40, 20, 3)), atol=1e-9)
    np.testing.assert_allclose(colour[:, 20:40], np.broadcast_to(expected, (40, 20, 3)), rtol=1e-3)


def test_over_blends_linear_light() -> None:
    alpha = np.array([[0.0, 0.5, 1.0]])
    result = develop.over(np.full((1, 3, 3), 0.8), alpha, np.full((1, 3, 3), 0.2))
    np.testing.assert_allclose(result[0, :, 0], [0.2, 0.5, 0.8])


def test_strand_contrast_is_off_at_zero_and_keeps_even_hair() -> None:
    colour, hair = np.full((20, 20, 3), 0.3), np.ones((20, 20))
    tone = np.random.default_rng(0).normal(size=(20, 20))
    assert develop.strand_contrast(colour, hair, tone, 0.0) is colour
    np.testing.assert_allclose(develop.strand_contrast(colour, hair, np.full((20, 20), 0.7), 0.3), colour, atol=1e-12)
    assert develop.strand_contrast(colour, hair, tone, 0.3).std() > 0.01
