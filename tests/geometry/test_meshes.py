"""Mesh measures against a sphere and against brute force."""

from __future__ import annotations

import math

import pytest
import torch

from headcast.geometry import meshes as M
from headcast.geometry.tetrahedra import kuhn_grid, marching_tetrahedra

Mesh = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def sphere() -> Mesh:
    """An octahedron, subdivided and pushed onto the unit sphere: nearly regular triangles."""
    vertices = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    corners = [(x, y, z) for x in (0, 3) for y in (1, 4) for z in (2, 5)]
    faces = torch.tensor([c if sum(i > 2 for i in c) % 2 == 0 else c[::-1] for c in corners])
    for _ in range(4):
        vertices, faces, _ = M.subdivide(vertices, faces)
        vertices = torch.nn.functional.normalize(vertices, dim=1)
    return vertices, faces


def test_subdivision_keeps_shape_and_averages_attributes() -> None:
    points, tets = kuhn_grid(4, (-1.0,) * 3, (1.0,) * 3)
    vertices, faces, _ = marching_tetrahedra(points, points.norm(dim=1) - 0.7, tets)
    finer, split, carried = M.subdivide(vertices, faces, vertices * 2)
    assert len(split) == 4 * len(faces) and len(finer) == len(vertices) + len(M.edges(faces))
    torch.testing.assert_close(M.volume(finer, split), M.volume(vertices, faces))
    torch.testing.assert_close(carried, finer * 2)


def test_sphere_measures(sphere: Mesh) -> None:
    vertices, faces = sphere
    assert float(M.volume(vertices, faces)) == pytest.approx(4 / 3 * math.pi, rel=0.01)
    assert float(M.face_areas(vertices, faces).sum()) == pytest.approx(4 * math.pi, rel=0.01)
    normals = M.vertex_normals(vertices, faces)
    assert torch.cosine_similarity(normals, vertices).min() > 0.999
    batch = torch.stack([vertices, 2 * vertices])
    torch.testing.assert_close(M.vertex_normals(batch, faces)[1], normals)


def test_normals_of_degenerate_faces_are_zero_with_finite_gradients() -> None:
    vertices = torch.zeros(3, 3, requires_grad=True)
    normals = M.vertex_normals(vertices, torch.tensor([[0, 1, 2]]))
    normals.sum().backward()
    assert (normals == 0).all() and torch.isfinite(vertices.grad).all()


@pytest.mark.parametrize("weights", ["uniform", "cotangent"])
def test_laplacian_is_its_matrix_over_the_degrees(sphere: Mesh, weights: M.Weights) -> None:
    vertices, faces = sphere
    matrix = M.laplacian_matrix(vertices, faces, weights).to_dense()
    torch.testing.assert_close(matrix, matrix.T)
    torch.testing.assert_close(matrix.sum(1), torch.zeros(len(vertices), dtype=torch.float64), atol=1e-9, rtol=0)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-9
    expected = -(matrix @ vertices) / matrix.diagonal()[:, None]
    torch.testing.assert_close(M.laplacian(vertices, faces, weights), expected)


def test_cotangent_laplacian_is_the_curvature_normal(sphere: Mesh) -> None:
    """On the unit sphere the mean curvature normal is -2 x (Meyer et al. 2003), with a third of the adjacent areas per vertex."""
    vertices, faces = sphere
    area = torch.zeros(len(vertices), dtype=torch.float64)
    area = area.index_add(0, faces.reshape(-1), M.face_areas(vertices, faces).repeat_interleave(3) / 3)
    curvature = -(M.laplacian_matrix(vertices, faces, "cotangent") @ vertices) / area[:, None]
    assert torch.cosine_similarity(curvature, -vertices).min() > 0.999
    assert float(curvature.norm(dim=1).median()) == pytest.approx(2, rel=0.02)


def test_flat_regular_neighbourhoods_have_no_laplacian() -> None:
    vertices = torch.tensor(
        [[0.0, 0], [1, 0], [0.5, 3**0.5 / 2], [-0.5, 3**0.5 / 2], [-1, 0], [-0.5, -(3**0.5) / 2], [0.5, -(3**0.5) / 2]]
    )
    vertices = torch.nn.functional.pad(vertices, (0, 1))
    faces = torch.tensor([[0, i, i % 6 + 1] for i in range(1, 7)])
    for weights in ("uniform", "cotangent"):
        torch.testing.assert_close(M.laplacian(vertices, faces, weights)[0], torch.zeros(3), atol=1e-6, rtol=0)


def test_samples_are_uniform_by_area_and_repeatable(sphere: Mesh) -> None:
    vertices, faces = sphere
    points, face, barycentric = M.sample_surface(vertices, faces, 4000, torch.Generator().manual_seed(3))
    again, *_ = M.sample_surface(vertices, faces, 4000, torch.Generator().manual_seed(3))
    assert torch.equal(points, again)
    torch.testing.assert_close(M.at_barycentric(vertices, faces, face, barycentric), points)
    assert (barycentric >= 0).all()
    torch.testing.assert_close(barycentric.sum(1), torch.ones(4000, dtype=torch.float64))
    assert points.mean(0).abs().max() < 0.05
    share = (points[:, 2] > 0.5).double().mean()  # the cap above z = 1/2 has a quarter of the sphere's area
    assert float(share) == pytest.approx(0.25, abs=0.025)


def test_edges_are_unique_and_sorted(sphere: Mesh) -> None:
    vertices, faces = sphere
    pairs = M.edges(faces)
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len(vertices) - len(pairs) + len(faces) == 2
    assert M.edges(faces[:0]).shape == (0, 2)
