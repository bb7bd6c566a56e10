"""Rasterized meshes against analytic rays, finite differences and areas."""

from __future__ import annotations

import math

import pytest
import torch

from headcast.errors import ConfigError, HeadcastError
from headcast.geometry.tetrahedra import kuhn_grid, marching_tetrahedra
from headcast.rendering.mesh import interpolate, rasterize, segment_distance, soft_silhouette

WIDTH, HEIGHT = 60, 48


@pytest.fixture(scope="module")
def view() -> tuple[torch.Tensor, torch.Tensor]:
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, 3] = torch.tensor([0.01, -0.005, 0.6])
    return pose, torch.tensor([[150.0, 0, 31], [0, 140, 23], [0, 0, 1]], dtype=torch.float64)


@pytest.fixture(scope="module")
def ball() -> tuple[torch.Tensor, torch.Tensor]:
    points, tets = kuhn_grid(16, (-0.08,) * 3, (0.08,) * 3)
    vertices, faces, _ = marching_tetrahedra(points, points.norm(dim=1) - 0.06, tets)
    return vertices.double(), faces


def pixels() -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    return torch.stack([x, y], -1).double()


def test_interpolated_positions_project_back_to_their_pixels(ball: tuple, view: tuple) -> None:
    fragments = rasterize(*ball, *view, WIDTH, HEIGHT)
    hit = fragments.face_id >= 0
    positions = interpolate(ball[0], ball[1], fragments)[hit]
    local = positions @ view[0][:3, :3].T + view[0][:3, 3]
    projected = local @ view[1].T
    torch.testing.assert_close(projected[:, :2] / projected[:, 2:], pixels()[hit], atol=1e-8, rtol=0)
    torch.testing.assert_close(local[:, 2], fragments.depth[hit])
    torch.testing.assert_close(fragments.barycentric[hit].sum(1), torch.ones(int(hit.sum()), dtype=torch.float64))
    assert fragments.barycentric[hit].min() > -1e-3
    assert (positions.norm(dim=1) - 0.06).abs().max() < 2e-3
    assert (positions[:, 2] < 0.01).all()  # the near side
    assert (fragments.barycentric[~hit] == 0).all() and (fragments.depth[~hit] == 0).all()


def test_nearer_face_hides_the_farther(view: tuple) -> None:
    square = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], dtype=torch.float64)
    vertices = torch.cat([square + torch.tensor([0, 0, 0.5]), 0.02 * square])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    fragments = rasterize(vertices, faces, *view, WIDTH, HEIGHT)
    assert set(fragments.face_id.unique().tolist()) == {0, 1, 2, 3}
    torch.testing.assert_close(fragments.depth.round(decimals=9).unique(), torch.tensor([0.6, 1.1], dtype=torch.float64))


def test_barycentrics_and_depth_pass_gradcheck(view: tuple) -> None:
    vertices = torch.tensor([[-0.03, -0.02, 0.0], [0.04, -0.03, 0.05], [0.01, 0.05, -0.04]], dtype=torch.float64)
    view = (view[0], view[1] * torch.tensor([[0.1], [0.1], [1]]))

    def pictures(vertices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        fragments = rasterize(vertices, torch.tensor([[0, 1, 2]]), *view, 7, 5)
        return fragments.barycentric, fragments.depth

    assert (pictures(vertices)[1] > 0).any()
    assert torch.autograd.gradcheck(pictures, vertices.requires_grad_())


def test_silhouette_covers_the_disc_and_matches_finite_differences(ball: tuple, view: tuple) -> None:
    vertices, faces = ball

    def area(scale: torch.Tensor) -> torch.Tensor:
        return soft_silhouette(vertices * scale, faces, *view, WIDTH, HEIGHT).sum()

    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    value = area(scale)
    value.backward()
    assert value.item() == pytest.approx(
        math.pi * 150 * 140 * 0.06**2 / (0.6**2 - 0.06**2), rel=0.025
    )  # inscribed: a little smaller
    step = 1e-3
    numeric = (area(scale.detach() + step) - area(scale.detach() - step)) / (2 * step)
    assert scale.grad.item() == pytest.approx(numeric.item(), rel=0.02)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_silhouette_pulls_a_wrong_size_to_the_right_one(ball: tuple, view: tuple, factor: float) -> None:
    vertices, faces = ball
    target = (rasterize(vertices, faces, *view, WIDTH, HEIGHT).face_id >= 0).double()
    scale = torch.tensor(factor, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([scale], lr=0.02)
    for _ in range(25):
        optimizer.zero_grad()
        (soft_silhouette(vertices * scale, faces, *view, WIDTH, HEIGHT, sigma=1.0) - target).square().sum().backward()
        optimizer.step()
    assert scale.item() == pytest.approx(1, abs=0.02)


def test_contours_inside_the_picture_do_not_count(ball: tuple, view: tuple) -> None:
    """A small ball before a large one changes nothing."""
    vertices, faces = ball
    small = 0.3 * vertices - torch.tensor([0, 0, 0.1])
    both = soft_silhouette(torch.cat([vertices, small]), torch.cat([faces, faces + len(vertices)]), *view, WIDTH, HEIGHT)
    torch.testing.assert_close(both, soft_silhouette(vertices, faces, *view, WIDTH, HEIGHT))


def test_empty_pictures(view: tuple, ball: tuple) -> None:
    behind = ball[0] - torch.tensor([0, 0, 5.0])
    for vertices, faces in ((behind, ball[1]), (ball[0], ball[1][:0])):
        fragments = rasterize(vertices, faces, *view, WIDTH, HEIGHT)
        assert (fragments.face_id == -1).all()
        assert (soft_silhouette(vertices, faces, *view, WIDTH, HEIGHT) == 0).all()
        assert (interpolate(vertices, faces, fragments) == 0).all()


def test_segment_distance_is_finite_on_degenerate_segments() -> None:
    ends = torch.tensor([[[0.0, 0], [2, 0]], [[1, 1], [1, 1]]], requires_grad=True)
    distance = segment_distance(torch.tensor([[3.0, 0], [1, 1]]), ends)
    distance.sum().backward()
    assert distance[0].item() == pytest.approx(1) and torch.isfinite(ends.grad).all()


def test_mistakes_are_named(ball: tuple, view: tuple) -> None:
    with pytest.raises(ConfigError, match="warp"):
        rasterize(*ball, *view, WIDTH, HEIGHT, backend="kaolin")
    with pytest.raises(HeadcastError, match="not finite"):
        rasterize(ball[0] * math.nan, ball[1], *view, WIDTH, HEIGHT)
