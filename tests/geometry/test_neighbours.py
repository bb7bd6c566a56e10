"""Nearest neighbours against the full distance matrix."""

from __future__ import annotations

import pytest
import torch

from headcast.errors import HeadcastError
from headcast.geometry.neighbours import mean_neighbour_distance, nearest


def test_nearest_agrees_with_the_distance_matrix() -> None:
    points = torch.randn(80, 3, generator=torch.Generator().manual_seed(0))
    distance, index = nearest(points[:10] + 0.1, points, 4)
    expected = torch.cdist(points[:10] + 0.1, points).topk(4, largest=False)
    torch.testing.assert_close(distance, expected.values)
    assert torch.equal(index, expected.indices)


def test_mean_neighbour_distance_leaves_the_point_itself_out() -> None:
    grid = torch.cartesian_prod(*[torch.arange(4.0)] * 3)
    torch.testing.assert_close(mean_neighbour_distance(grid * 0.5), torch.full((64,), 0.5))
    assert torch.isnan(mean_neighbour_distance(torch.zeros(1, 3))).all()


def test_mistakes_are_named() -> None:
    with pytest.raises(HeadcastError, match="2 neighbours"):
        nearest(torch.zeros(1, 3), torch.zeros(1, 3), 2)
    with pytest.raises(HeadcastError, match="not finite"):
        nearest(torch.zeros(1, 3), torch.full((3, 3), torch.inf), 1)
