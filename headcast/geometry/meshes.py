"""Triangle meshes as tensors: normals, Laplacians, sampling, subdivision; metres, faces counter-clockwise from outside."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headcast.geometry.queries import Closest as Closest
from headcast.geometry.queries import at_barycentric as at_barycentric
from headcast.geometry.queries import closest_point as closest_point
from headcast.geometry.queries import signed_distance as signed_distance

TINY = 1e-12
Weights = Literal["uniform", "cotangent"]


def edges(faces: Int[Tensor, "T 3"]) -> Int[Tensor, "E 2"]:
    """The undirected edges, each once, smaller index first, in lexicographic order."""
    pairs = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values
    if not len(pairs):
        return pairs
    size = int(pairs.max()) + 1
    keys = torch.unique(pairs[:, 0] * size + pairs[:, 1])
    return torch.stack([keys // size, keys % size], dim=1)


def face_vectors(vertices: Float[Tensor, "*b V 3"], faces: Int[Tensor, "T 3"]) -> Float[Tensor, "*b T 3"]:
    """The outward normal of each face times twice its area (m²)."""
    corner = vertices[..., faces[:, 0], :]
    return torch.linalg.cross(vertices[..., faces[:, 1], :] - corner, vertices[..., faces[:, 2], :] - corner)


def face_areas(vertices: Float[Tensor, "*b V 3"], faces: Int[Tensor, "T 3"]) -> Float[Tensor, "*b T"]:
    """The area of each face (m²)."""
    return face_vectors(vertices, faces).norm(dim=-1) / 2


def volume(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"]) -> Float[Tensor, ""]:
    """The volume (m³) enclosed by a closed mesh, positive when its faces look outward (divergence theorem)."""
    return (vertices[faces[:, 0]] * face_vectors(vertices, faces)).sum() / 6


def _normalize(vectors: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    squared = vectors.square().sum(-1, keepdim=True)
    return vectors * (squared + TINY * TINY).rsqrt()


def vertex_normals(vertices: Float[Tensor, "*b V 3"], faces: Int[Tensor, "T 3"]) -> Float[Tensor, "*b V 3"]:
    """Unit normals, the area-weighted mean of the adjacent faces; zero where a vertex has no face of positive area."""
    vectors = face_vectors(vertices, faces)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total = total.index_add(vertices.ndim - 2, faces[:, corner], vectors)
    return _normalize(total)


def cotangents(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"]) -> Float[Tensor, "T 3"]:
    """Half the cotangent of each corner's angle (Pinkall & Polthier 1993), bounded for degenerate faces."""
    corners = vertices[faces]
    one, two = corners.roll(-1, 1) - corners, corners.roll(-2, 1) - corners
    area = torch.linalg.cross(one, two).norm(dim=-1)
    scale = one.norm(dim=-1) * two.norm(dim=-1)
    return 0.5 * (one * two).sum(-1) / torch.maximum(area, 1e-4 * scale).clamp_min(TINY)


def edge_weights(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"], weights: Weights = "uniform"
) -> tuple[Int[Tensor, "E 2"], Float[Tensor, "E"]]:
    """The undirected edges with weight one (uniform) or the sum of half the cotangents of the opposite angles."""
    pairs = edges(faces)
    if weights == "uniform":
        return pairs, torch.ones(len(pairs), dtype=vertices.dtype, device=vertices.device)
    opposite = torch.stack([faces[:, [1, 2]], faces[:, [2, 0]], faces[:, [0, 1]]], dim=1).sort(dim=2).values.reshape(-1, 2)
    size = len(vertices)
    index = torch.searchsorted(pairs[:, 0] * size + pairs[:, 1], opposite[:, 0] * size + opposite[:, 1])
    total = torch.zeros(len(pairs), dtype=vertices.dtype, device=vertices.device)
    return pairs, total.index_add(0, index, cotangents(vertices, faces).reshape(-1))


def laplacian(
    vertices: Float[Tensor, "*b V 3"], faces: Int[Tensor, "T 3"], weights: Weights = "uniform"
) -> Float[Tensor, "*b V 3"]:
    """Differential coordinates: weighted mean of the neighbours minus the vertex (m); zero for a vertex without neighbours.

    Cotangent weights come from the first mesh of a batch and carry no gradient.
    """
    with torch.no_grad():
        first = vertices.reshape(-1, *vertices.shape[-2:])[0]
        pairs, weight = edge_weights(first, faces, weights)
        degree = torch.zeros_like(first[:, 0]).index_add(0, pairs[:, 0], weight).index_add(0, pairs[:, 1], weight)
        inverse = torch.where(degree.abs() > TINY, 1 / degree, torch.zeros_like(degree))
    flow = weight[:, None] * (vertices[..., pairs[:, 1], :] - vertices[..., pairs[:, 0], :])
    axis = vertices.ndim - 2
    total = torch.zeros_like(vertices).index_add(axis, pairs[:, 0], flow).index_add(axis, pairs[:, 1], -flow)
    return total * inverse[:, None]


def laplacian_matrix(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"], weights: Weights = "uniform"
) -> Float[Tensor, "V V"]:
    """The sparse symmetric positive semi-definite matrix: degrees on the diagonal, minus the edge weights beside it."""
    pairs, weight = edge_weights(vertices, faces, weights)
    first, second = pairs.unbind(1)
    rows, columns = torch.cat([first, second, first, second]), torch.cat([second, first, first, second])
    values = torch.cat([-weight, -weight, weight, weight])
    return torch.sparse_coo_tensor(torch.stack([rows, columns]), values, (len(vertices),) * 2, check_invariants=False).coalesce()


def sample_surface(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"], count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "count 3"], Int[Tensor, "count"], Float[Tensor, "count 3"]]:
    """Draw points uniformly by area; returns positions (differentiable in ``vertices``), faces and barycentric coordinates."""
    area = face_areas(vertices.detach(), faces).double().cumsum(0)
    random = torch.rand(count, 3, generator=generator, dtype=torch.float64, device=generator.device).to(vertices.device)
    face = torch.searchsorted(area, random[:, 0] * area[-1]).clamp_max(len(faces) - 1)
    root = random[:, 1].sqrt()
    barycentric = torch.stack([1 - root, root * (1 - random[:, 2]), root * random[:, 2]], dim=1).to(vertices.dtype)
    return at_barycentric(vertices, faces, face, barycentric), face, barycentric


def subdivide(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"], attributes: Float[Tensor, "V D"] | None = None
) -> tuple[Float[Tensor, "W 3"], Int[Tensor, "U 3"], Float[Tensor, "W D"] | None]:
    """Split each face into four at the middles of its edges; attributes are averaged along the edges."""
    pairs = edges(faces)
    size = len(vertices)
    sides = torch.stack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]], dim=1).sort(dim=2).values
    middle = size + torch.searchsorted(pairs[:, 0] * size + pairs[:, 1], sides[..., 0] * size + sides[..., 1])
    (a, b, c), (ab, bc, ca) = faces.unbind(1), middle.unbind(1)
    parts = [torch.stack(part, dim=1) for part in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
    split = [torch.cat([v, v[pairs].mean(1)]) for v in (vertices, attributes) if v is not None]
    return split[0], torch.cat(parts), split[1] if attributes is not None else None
