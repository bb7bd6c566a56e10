"""Closest points against brute force; signed distances against spheres and boxes."""

from __future__ import annotations

import pytest
import torch

from headcast.errors import HeadcastError
from headcast.geometry.meshes import at_barycentric, sample_surface
from headcast.geometry.queries import closest_point, signed_distance
from headcast.geometry.tetrahedra import kuhn_grid, marching_tetrahedra

Mesh = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def ball() -> Mesh:
    points, tets = kuhn_grid(12, (-1.0,) * 3, (1.0,) * 3)
    vertices, faces, _ = marching_tetrahedra(points, points.norm(dim=1) - 0.7, tets)
    return vertices, faces


def queries(count: int) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(5)) * 0.6


def test_closest_point_is_no_farther_than_any_sample(ball: Mesh) -> None:
    points = queries(200)
    found = closest_point(points, *ball)
    samples, *_ = sample_surface(*ball, 20_000, torch.Generator().manual_seed(0))
    brute = torch.cdist(points, samples).amin(1)
    assert (found.distance <= brute + 1e-6).all()
    assert (brute - found.distance).max() < 0.05
    on = at_barycentric(ball[0], ball[1], found.face, found.barycentric)
    torch.testing.assert_close((on - points).norm(dim=1), found.distance)
    assert found.barycentric.min() > -1e-5


def test_distance_is_differentiable_even_on_the_surface(ball: Mesh) -> None:
    points = torch.cat([queries(20), ball[0][:5]]).requires_grad_()
    vertices = ball[0].clone().requires_grad_()
    closest_point(points, vertices, ball[1]).distance.sum().backward()
    torch.testing.assert_close(points.grad[:20].norm(dim=1), torch.ones(20))
    assert torch.isfinite(points.grad).all() and torch.isfinite(vertices.grad).all()
    torch.testing.assert_close(vertices.grad.sum(0), -points.grad.sum(0), atol=1e-4, rtol=0)


def test_signed_distance_of_a_ball(ball: Mesh) -> None:
    points = queries(500)
    distance = signed_distance(points, *ball)
    analytic = points.norm(dim=1) - 0.7
    assert (distance - analytic).abs().max() < 0.02
    clear = analytic.abs() > 0.03
    assert torch.equal(distance[clear] < 0, analytic[clear] < 0)


def test_signed_distance_survives_a_hole(ball: Mesh) -> None:
    vertices, faces = ball
    open_faces = faces[vertices[faces].mean(1)[:, 2] < 0.66]
    assert len(open_faces) < len(faces)
    assert signed_distance(torch.tensor([[0.0, 0, 0], [0, 0, -0.5], [0, 0, 0.9]]), vertices, open_faces).sign().tolist() == [
        -1,
        -1,
        1,
    ]


def test_mistakes_are_named(ball: Mesh) -> None:
    with pytest.raises(HeadcastError, match="points are not finite"):
        closest_point(torch.full((1, 3), torch.nan), *ball)
    with pytest.raises(HeadcastError, match="no faces"):
        closest_point(torch.zeros(1, 3), ball[0], ball[1][:0])
