"""Tetrahedral grids fill their box; surfaces cut out of them are closed, oriented and as large as the analytic ones."""

from __future__ import annotations

import math

import pytest
import torch

from headcast.errors import HeadcastError
from headcast.geometry.meshes import edges, face_areas, volume
from headcast.geometry.tetrahedra import kuhn_grid, marching_tetrahedra


def euler(vertices: torch.Tensor, faces: torch.Tensor) -> int:
    return len(vertices) - len(edges(faces)) + len(faces)


def assert_closed(faces: torch.Tensor) -> None:
    """Each directed edge occurs once and so does its opposite: watertight and consistently oriented."""
    directed = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()
    assert len({tuple(edge) for edge in directed}) == len(directed)
    assert {(a, b) for a, b in directed} == {(b, a) for a, b in directed}


def test_kuhn_grid_fills_its_box_with_positive_tetrahedra() -> None:
    points, tets = kuhn_grid((3, 4, 5), (-1.0, 0.0, 2.0), (0.5, 1.0, 4.0))
    corners = points[tets].double()
    volumes = torch.linalg.det(corners[:, 1:] - corners[:, :1]) / 6
    assert len(points) == 4 * 5 * 6 and len(tets) == 6 * 3 * 4 * 5
    assert volumes.min() > 0
    assert volumes.sum() == pytest.approx(1.5 * 1.0 * 2.0, rel=1e-6)


def test_sphere_has_its_volume_area_and_topology() -> None:
    points, tets = kuhn_grid(32, (-1.0,) * 3, (1.0,) * 3)
    vertices, faces, _ = marching_tetrahedra(points, points.norm(dim=1) - 0.7, tets)
    assert_closed(faces)
    assert euler(vertices, faces) == 2
    assert float(volume(vertices, faces)) == pytest.approx(4 / 3 * math.pi * 0.7**3, rel=5e-3)
    assert float(face_areas(vertices, faces).sum()) == pytest.approx(4 * math.pi * 0.7**2, rel=5e-3)


def test_torus_has_a_hole() -> None:
    points, tets = kuhn_grid(24, (-1.0, -1.0, -0.5), (1.0, 1.0, 0.5))
    ring = points[:, :2].norm(dim=1) - 0.6
    vertices, faces, _ = marching_tetrahedra(points, torch.hypot(ring, points[:, 2]) - 0.2, tets)
    assert_closed(faces)
    assert euler(vertices, faces) == 0
    assert float(volume(vertices, faces)) == pytest.approx(2 * math.pi**2 * 0.6 * 0.2**2, rel=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_random_fields_give_closed_surfaces(seed: int) -> None:
    points, tets = kuhn_grid(6, (0.0,) * 3, (1.0,) * 3)
    sdf = torch.randn(len(points), generator=torch.Generator().manual_seed(seed))
    border = ((points == 0) | (points == 1)).any(1)
    _, faces, _ = marching_tetrahedra(points, torch.where(border, 1.0, sdf), tets)
    assert_closed(faces)


def test_linear_fields_are_met_exactly_and_features_travel_along() -> None:
    points, tets = kuhn_grid(5, (-1.0,) * 3, (1.0,) * 3)
    normal = torch.tensor([0.3, -0.5, 0.8])
    vertices, faces, features = marching_tetrahedra(
        points, points @ normal - 0.1, tets, points @ torch.tensor([[1.0, 2], [-3, 0.5], [0.2, -1]])
    )
    torch.testing.assert_close(vertices @ normal, torch.full((len(vertices),), 0.1), atol=1e-5, rtol=0)
    solved = torch.linalg.lstsq(vertices, features).solution
    torch.testing.assert_close(vertices @ solved, features, atol=1e-4, rtol=1e-4)
    a, b, c = vertices[faces].unbind(1)
    assert (torch.linalg.cross(b - a, c - a) @ normal > -1e-7).all()


def test_vertices_are_differentiable_in_distances_and_points() -> None:
    points, tets = kuhn_grid(2, (-1.0,) * 3, (1.0,) * 3)
    points = points.double() + 0.05 * torch.randn(points.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sdf = points.norm(dim=1) - 0.8
    inputs = (points.requires_grad_(), sdf.detach().requires_grad_())
    assert torch.autograd.gradcheck(lambda p, s: marching_tetrahedra(p, s, tets).vertices, inputs)


def test_nothing_inside_gives_nothing() -> None:
    points, tets = kuhn_grid(3, (-1.0,) * 3, (1.0,) * 3)
    vertices, faces, _ = marching_tetrahedra(points, torch.ones(len(points)), tets)
    assert vertices.shape == (0, 3) and faces.shape == (0, 3)


def test_mistakes_are_named() -> None:
    points, tets = kuhn_grid(2, (-1.0,) * 3, (1.0,) * 3)
    with pytest.raises(HeadcastError, match="not finite"):
        marching_tetrahedra(points, torch.full((len(points),), torch.nan), tets)
    with pytest.raises(HeadcastError, match="resolution"):
        kuhn_grid(0, (-1.0,) * 3, (1.0,) * 3)
