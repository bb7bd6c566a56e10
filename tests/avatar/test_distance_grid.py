"""The distance grid against the analytic sphere."""

from __future__ import annotations

import pytest
import torch

from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.strand_losses import anchoring, inside_head, length_preservation, smoothness
from headcast.avatar.voxel_grid import VoxelGrid, trilinear
from headcast.errors import BadFile

RADIUS = 0.1


def octasphere(rounds: int = 4, radius: float = RADIUS) -> tuple[torch.Tensor, torch.Tensor]:
    """A subdivided octahedron; winding outwards."""
    vertices = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    faces = torch.tensor([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
    for _ in range(rounds):
        corners = vertices[faces]
        middles = torch.nn.functional.normalize(corners + corners.roll(-1, 1), dim=-1)
        count = len(vertices)
        a, b, c = faces.T
        ab, bc, ca = (count + torch.arange(3 * len(faces)).reshape(-1, 3)).T
        vertices = torch.cat((vertices, middles.flatten(0, 1)))
        faces = torch.cat([torch.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return radius * vertices, faces


def analytic(spacing: float = 0.005) -> SignedDistanceGrid:
    grid = VoxelGrid.around(torch.full((3,), -0.15), torch.full((3,), 0.15), spacing)
    return SignedDistanceGrid((grid.centers().norm(dim=-1) - RADIUS).reshape(grid.shape), grid.lower, spacing)


def test_a_mesh_becomes_its_distance() -> None:
    grid = SignedDistanceGrid.from_mesh(*octasphere(), spacing=0.006)
    points = 0.07 * torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    inside_grid = ((points > grid.lower) & (points < grid.upper)).all(-1)
    points = points[inside_grid & (points.norm(dim=-1) > 0.03)]
    truth = points.norm(dim=-1) - RADIUS
    error = (grid(points) - truth).abs()
    assert float(error.max()) < 3e-3 and float(error[truth.abs() < 0.012].max()) < 6e-4


def test_trilinear_is_exact_for_linear_fields() -> None:
    grid = VoxelGrid.around(torch.zeros(3), torch.ones(3), 0.25)
    slope = torch.tensor([1.0, -2.0, 0.5])
    values = (grid.centers() @ slope).reshape(*grid.shape, 1)
    points = torch.rand(100, 3, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(trilinear(values, points / 0.25)[:, 0], points @ slope, atol=1e-5)
    assert float(grid.sample(values, torch.tensor([[2.0, 0.5, 0.5]]))) == 0.0
    assert torch.equal(grid.nearest(grid.centers()), torch.arange(len(grid.centers())))


def test_distance_grows_beyond_the_grid() -> None:
    grid = analytic()
    near, far = grid(torch.tensor([[0.15, 0.0, 0.0], [0.45, 0.0, 0.0]]))
    assert float(far - near) == pytest.approx(0.3, abs=1e-4)


def test_gradient_and_push_out_point_away_from_the_head() -> None:
    grid = analytic()
    points = 0.09 * torch.nn.functional.normalize(torch.randn(200, 3, generator=torch.Generator().manual_seed(2)), dim=-1)
    cosine = (grid.gradient(points) * torch.nn.functional.normalize(points, dim=-1)).sum(-1)
    assert float(cosine.min()) > 0.99
    assert float(grid.push_out(points, 0.001).norm(dim=-1).min()) > RADIUS + 0.0005
    outside = points * 1.3
    assert torch.equal(grid.push_out(outside), outside)


def test_the_grid_is_differentiable_in_the_points() -> None:
    points = torch.tensor([[0.12, 0.0, 0.0]], requires_grad=True)
    analytic()(points).sum().backward()
    assert torch.allclose(points.grad, torch.tensor([[1.0, 0.0, 0.0]]), atol=0.05)


def test_bad_samples_are_refused() -> None:
    with pytest.raises(BadFile, match="finite"):
        SignedDistanceGrid(torch.full((3, 3, 3), torch.nan), torch.zeros(3), 0.01)


def test_losses_have_their_units() -> None:
    straight = torch.stack((torch.zeros(5), -0.01 * torch.arange(5.0), torch.full((5,), 0.12)), dim=-1)[None]
    rest = torch.full((1, 4), 0.01)
    assert float(smoothness(straight, rest)) == pytest.approx(0.0, abs=1e-9)
    assert float(length_preservation(straight, rest)) == pytest.approx(0.0, abs=1e-6)
    assert float(length_preservation(1.1 * straight, rest)) == pytest.approx(0.01, rel=1e-3)
    assert float(anchoring(straight + torch.tensor([0.01, 0.0, 0.0]), straight)) == pytest.approx(1.0, rel=1e-4)
    corner = torch.tensor([[[0.0, 0.0, 0.0], [0.01, 0.0, 0.0], [0.01, 0.01, 0.0]]])
    assert float(smoothness(corner, torch.full((1, 2), 0.01))) == pytest.approx(2.0, rel=1e-4)


def test_inside_head_counts_depth_in_square_centimetres() -> None:
    grid = analytic()
    inside = torch.tensor([[[0.1, 0.0, 0.0], [0.09, 0.0, 0.0], [0.12, 0.0, 0.0]]])
    assert float(inside_head(inside, grid)) == pytest.approx(0.5, rel=0.05)
    assert float(inside_head(inside[:, ::2], grid)) == 0.0
