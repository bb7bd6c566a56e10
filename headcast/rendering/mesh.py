"""Mesh rasterization by primary rays, with barycentrics and silhouettes that are differentiable in the vertices."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headcast.errors import ConfigError, HeadcastError
from headcast.geometry.meshes import edges
from headcast.geometry.neighbours import nearest

BACKENDS = {"warp": "headcast.rendering.mesh_warp"}
TINY = 1e-12
PROBE = 0.02  # px to either side of an edge, where it is asked whether the mesh is there


class Fragments(NamedTuple):
    """What each pixel's centre sees: a face (-1 if none), barycentric coordinates and camera depth (m); zeros if none."""

    face_id: Int[Tensor, "H W"]
    barycentric: Float[Tensor, "H W 3"]
    depth: Float[Tensor, "H W"]


def rasterize(
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "T 3"],
    world_to_camera: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    width: int,
    height: int,
    backend: str = "warp",
) -> Fragments:
    """The nearest face behind each pixel centre (+0.5), both sides visible.

    Barycentrics and depth are differentiable in ``vertices``: they come from the intersection of the pixel's ray with the
    plane of its face, so they are perspective-correct. Raises ``ConfigError`` for an unknown backend, ``HeadcastError`` for
    coordinates that are not finite.
    """
    if backend not in BACKENDS:
        raise ConfigError("mesh backend", f"{backend!r} is unknown", f"choose one of {', '.join(BACKENDS)}")
    if not torch.isfinite(vertices.detach().sum() + world_to_camera.sum() + K.sum()):
        raise HeadcastError("mesh", "a vertex or the camera is not finite")
    local = to_camera(vertices, world_to_camera)
    rays = pixel_rays(K.to(vertices), width, height)
    face = torch.full((height * width,), -1, dtype=torch.int64, device=vertices.device)
    if len(faces):
        face = import_module(BACKENDS[backend]).first_hit(local.detach(), faces, rays)
    hit = torch.nonzero(face >= 0)[:, 0]
    weights, distance = _intersect(local[faces[face[hit]]], rays[hit])
    barycentric = local.new_zeros(height * width, 3).index_put((hit,), weights)
    depth = local.new_zeros(height * width).index_put((hit,), distance)
    return Fragments(face.reshape(height, width), barycentric.reshape(height, width, 3), depth.reshape(height, width))


def to_camera(points: Float[Tensor, "V 3"], world_to_camera: Float[Tensor, "4 4"]) -> Float[Tensor, "V 3"]:
    """World points in the camera's frame (m)."""
    pose = world_to_camera.to(points)
    return points @ pose[:3, :3].T + pose[:3, 3]


def pixel_rays(K: Float[Tensor, "3 3"], width: int, height: int) -> Float[Tensor, "HW 3"]:
    """The direction through each pixel centre, row by row, with z = 1, in the camera's frame."""
    x, y = (torch.arange(size, dtype=K.dtype, device=K.device) + 0.5 for size in (width, height))
    y, x = torch.meshgrid(y, x, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(-1, 3)
    return pixels @ torch.linalg.inv(K).T


def _intersect(corners: Float[Tensor, "n 3 3"], rays: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n"]]:
    """Barycentrics and ray parameter (= depth, as z = 1) where rays from the origin meet the planes of triangles.

    A corner's weight is the volume spanned by the ray and the other two corners, over the sum of the three.
    """
    volumes = [(rays * torch.linalg.cross(corners[:, i - 2], corners[:, i - 1])).sum(-1) for i in range(3)]
    weights = torch.stack(volumes, dim=-1)
    total = weights.sum(-1, keepdim=True)
    weights = weights / torch.where(total.abs() > TINY, total, torch.full_like(total, TINY))
    return weights, (weights * corners[..., 2]).sum(-1)


def interpolate(attributes: Float[Tensor, "V D"], faces: Int[Tensor, "T 3"], fragments: Fragments) -> Float[Tensor, "H W D"]:
    """Vertex attributes at each pixel, differentiable in the attributes and, by the barycentrics, the vertices; else 0."""
    hit = torch.nonzero(fragments.face_id.reshape(-1) >= 0)[:, 0]
    face = fragments.face_id.reshape(-1)[hit]
    barycentric = fragments.barycentric.reshape(-1, 3)[hit]
    values = sum((attributes[faces[face, i]] * barycentric[:, i, None] for i in range(3)), start=attributes.new_zeros(()))
    height, width = fragments.face_id.shape
    return attributes.new_zeros(height * width, attributes.shape[1]).index_put((hit,), values).reshape(height, width, -1)


def soft_silhouette(
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "T 3"],
    world_to_camera: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    width: int,
    height: int,
    sigma: float = 1.0,
    fragments: Fragments | None = None,
) -> Float[Tensor, "H W"]:
    """Coverage in [0, 1], differentiable in the vertices: the normal distribution, σ in px, of the signed distance to the outline.

    Like DIB-R (Chen et al., NeurIPS 2019) a pixel learns from the nearest projected edge, but only from edges of the visible
    outline, and pixels inside it learn as well, so that a mesh that is too large shrinks as readily as one that is too small
    grows. Gradients reach 3 σ to either side. Pass ``fragments`` if the view is rasterized already.
    """
    fragments = fragments or rasterize(vertices, faces, world_to_camera, K, width, height)
    covered = fragments.face_id >= 0
    outline = outline_edges(vertices.detach(), faces, world_to_camera)
    ends = _to_pixels(to_camera(vertices, world_to_camera), K.to(vertices))[outline]
    pixel = torch.nonzero(_band(covered, math.ceil(3 * sigma)).reshape(-1))[:, 0]
    value = covered.reshape(-1).to(vertices.dtype)
    if not len(pixel) or not len(ends):
        return value.reshape(height, width)
    centers = torch.stack([pixel % width, pixel // width], dim=1).to(ends) + 0.5
    hits = _hits(vertices, faces, world_to_camera, K)
    distance = segment_distance(centers, ends[nearest_segment(centers, ends.detach(), covered, hits)])
    signed = torch.where(covered.reshape(-1)[pixel], distance, -distance)
    return value.index_put((pixel,), 0.5 * (1 + torch.erf(signed / (sigma * math.sqrt(2))))).reshape(height, width)


def _band(covered: Tensor, reach: int) -> Tensor:
    """Pixels at most ``reach`` columns and rows away from both a covered and an empty pixel."""
    both = torch.stack([covered, ~covered]).float()[None]
    for size, padding in (((2 * reach + 1, 1), (reach, 0)), ((1, 2 * reach + 1), (0, reach))):
        both = torch.nn.functional.max_pool2d(both, size, stride=1, padding=padding)
    return (both > 0).all(1)[0]


def _hits(vertices: Tensor, faces: Tensor, world_to_camera: Tensor, K: Tensor) -> Callable[[Tensor], Tensor]:
    """Whether the mesh covers exact positions in the image ("n 2", px)."""
    local, inverse = to_camera(vertices.detach(), world_to_camera), torch.linalg.inv(K.to(vertices))

    def hits(positions: Tensor) -> Tensor:
        rays = torch.nn.functional.pad(positions, (0, 1), value=1.0) @ inverse.T
        return import_module(BACKENDS["warp"]).first_hit(local, faces, rays) >= 0

    return hits


@torch.no_grad()
def nearest_segment(
    points: Float[Tensor, "n 2"], ends: Float[Tensor, "E 2 2"], covered: Tensor, hits: Callable[[Tensor], Tensor]
) -> Int[Tensor, "n"]:
    """The segment nearest to each point (px) among those with the mesh on one side only, to half a pixel.

    Contours inside the picture of the mesh (a nose before a cheek) are left out, unless nothing else is there.
    """
    count = (2 * (ends[:, 1] - ends[:, 0]).norm(dim=1)).clamp(1, 4096).ceil().long()
    segment = torch.repeat_interleave(torch.arange(len(ends), device=ends.device), count)
    step = torch.arange(len(segment), device=ends.device) - torch.repeat_interleave(count.cumsum(0) - count, count)
    samples = torch.lerp(ends[segment, 0], ends[segment, 1], ((step + 0.5) / count[segment]).to(ends)[:, None])
    column, row = samples.floor().long().unbind(1)
    height, width = covered.shape
    near = _band(covered, 2)[row.clamp(0, height - 1), column.clamp(0, width - 1)]
    segment, samples = (tensor[near] for tensor in (segment, samples)) if near.any() else (segment, samples)
    along = torch.nn.functional.normalize(ends[segment, 1] - ends[segment, 0], dim=1)
    aside = PROBE * torch.stack([-along[:, 1], along[:, 0]], dim=1)
    left, right = hits(torch.cat([samples + aside, samples - aside])).chunk(2)
    border = left != right
    segment, samples = (tensor[border] for tensor in (segment, samples)) if border.any() else (segment, samples)
    return segment[nearest(points, samples, 1)[1][:, 0]]


def _to_pixels(local: Float[Tensor, "V 3"], K: Float[Tensor, "3 3"]) -> Float[Tensor, "V 2"]:
    depth = local[:, 2:].clamp_min(1e-6)
    return (local @ K.T)[:, :2] / depth


def outline_edges(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"], world_to_camera: Float[Tensor, "4 4"]
) -> Int[Tensor, "E 2"]:
    """Edges between a face towards and a face away from the camera, and border edges: where the picture of the mesh can end."""
    local = to_camera(vertices, world_to_camera)
    corners = local[faces]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = ((normal * corners[:, 0]).sum(-1) < 0).long()
    pairs = edges(faces)
    sides = torch.stack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]], dim=1).sort(dim=2).values
    size = len(vertices)
    index = torch.searchsorted(pairs[:, 0] * size + pairs[:, 1], sides[..., 0] * size + sides[..., 1])
    front = torch.zeros(len(pairs), dtype=torch.int64, device=faces.device).index_add(
        0, index.reshape(-1), facing.repeat_interleave(3)
    )
    number = torch.zeros_like(front).index_add(0, index.reshape(-1), torch.ones_like(index).reshape(-1))
    ahead = (local[pairs, 2] > 1e-3).all(1)
    return pairs[ahead & ((number == 1) | ((front > 0) & (front < number)))]


def segment_distance(points: Float[Tensor, "n 2"], ends: Float[Tensor, "n 2 2"]) -> Float[Tensor, "n"]:
    """The distance (px) of each point to its segment, with a finite gradient at zero."""
    along = ends[:, 1] - ends[:, 0]
    offset = points - ends[:, 0]
    share = ((offset * along).sum(-1) / along.square().sum(-1).clamp_min(TINY)).clamp(0, 1)
    return ((offset - share[:, None] * along).square().sum(-1) + TINY).sqrt()
