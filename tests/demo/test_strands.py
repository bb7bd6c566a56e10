"""Strands from their recipe: the same every time, rooted, outside the head, turning with it."""

from __future__ import annotations

import numpy as np
import pytest

from headcast.demo.distance import DEEPEST, DistanceGrid
from headcast.demo.performance import rotation
from tests.demo.conftest import small_recipe

NOWHERE = DistanceGrid(np.full((2, 2, 2), 1.0, np.float32), np.full(3, 50.0), 0.01)
PIVOT = np.array([0, -0.05, 0.01])


def ball(radius: float) -> DistanceGrid:
    lower, spacing = np.full(3, -0.2), 0.01
    axes = lower[0] + spacing * np.arange(41)
    grid = np.stack(np.meshgrid(axes, axes, axes, indexing="ij"), axis=-1)
    return DistanceGrid((np.linalg.norm(grid, axis=-1) - radius).astype(np.float32), lower, spacing)


def test_the_same_seed_gives_the_same_hair(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    for _ in range(2):
        recipe, guides = small_recipe(monkeypatch)
        built.append(recipe.build(guides, np.eye(3), PIVOT, NOWHERE, NOWHERE))
    assert built[0].shape == (60, 32, 3)
    assert np.array_equal(*built)
    np.testing.assert_allclose(built[0][:, 0], recipe.roots, atol=1e-7)


def test_hair_turns_rigidly_with_head_and_guides(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, guides = small_recipe(monkeypatch)
    turn = rotation(np.array([25.0, -8, 5]))
    still = recipe.build(guides, np.eye(3), PIVOT, NOWHERE, NOWHERE)
    turned = recipe.build((guides - PIVOT) @ turn.T + PIVOT, turn, PIVOT, NOWHERE, NOWHERE)
    np.testing.assert_allclose(turned, (still - PIVOT) @ turn.T + PIVOT, atol=1e-6)


def test_hair_stays_out_of_the_skull(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, guides = small_recipe(monkeypatch)
    loose = recipe.build(guides, np.eye(3), PIVOT, NOWHERE, NOWHERE)
    built = recipe.build(guides, np.eye(3), PIVOT, ball(0.07), NOWHERE)
    reachable = np.linalg.norm(loose, axis=-1) > 0.07 - DEEPEST
    reachable[:, :2] = False
    assert np.linalg.norm(loose, axis=-1)[reachable].min() < 0.06
    assert np.linalg.norm(built, axis=-1)[reachable].min() > 0.0685
