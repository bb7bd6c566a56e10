"""Where the Gaussians of a head start: spread over the fitted head and over the parts of the first-stage mesh that it lacks.

Density follows what can be seen and how much it matters: the face gets most, what no training camera ever faces gets little.
Colours are read from the training views, weighted by how frontally they see the surface.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from headcast.avatar.canonical import CanonicalHead, skull_track
from headcast.avatar.gaussian_head import Seeds
from headcast.geometry.meshes import face_areas, face_vectors, vertex_normals
from headcast.geometry.neighbours import nearest
from headcast.training.samples import View, Views

FACE_DENSITY, HIDDEN_DENSITY = 3.0, 0.15
APART = 0.012
"""The first-stage mesh contributes where it is farther (m) than this from the fitted head."""
WIDTH = 0.6
"""Standard deviation of a disc in units of the spacing of its neighbours."""
MOST_VIEWS = 64
BARELY = 0.02
"""A place whose mean squared cosine towards the cameras is smaller tells nothing: it is seen edge-on, or not at all."""
BUST = 0.1
"""What moves with the head more than this learns however little is seen of it: the fold under a chin has no like beside it."""
FAINTLY = 0.01
"""From here on a place is seen so little that the first-stage mesh may lie anywhere behind what is."""
NEIGHBOURS = 8
FILMED = 0.99
RARELY = 0.1
"""What fewer of the views have in the picture, none tells of."""
CLOTH = 0.06
"""So far (m) beyond what is filmed of a garment it goes on."""
ALIKE = 0.5
"""… where it faces the same way: cosine of the normals."""
SHADE = 0.4
"""The mouth starts this much darker than what is mostly seen in its place: the closed lips in front of it."""


class Surface(NamedTuple):
    """Triangles to seed, canonical frame (m), with what they sample per area."""

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "T 3"]
    density: Float[Tensor, "T"]


class Sighting(NamedTuple):
    """What the training views show at points: mean colour, hair and matte share, the weight of it all (0 = never faced).

    ``filmed`` is the share of the views that have the point in the picture.
    """

    color: Float[Tensor, "P 3"]
    hair: Float[Tensor, "P"]
    matte: Float[Tensor, "P"]
    weight: Float[Tensor, "P"]
    filmed: Float[Tensor, "P"]


def seed_head(
    views: Views,
    canonical: CanonicalHead,
    mesh: tuple[Float[Tensor, "V 3"], Int[Tensor, "T 3"]] | None,
    count: int,
    generator: torch.Generator,
) -> Seeds:
    """``count`` seeds on the fitted head and on the first-stage ``mesh`` (canonical vertices and faces) where it shows no hair."""
    surfaces = [model_surface(views, canonical)]
    if mesh is not None:
        surfaces.append(mesh_surface(views, canonical, *mesh))
    surface = join(surfaces)
    points, normals, spacing = spread(surface, count, generator)
    sight = look(views, canonical, points, normals)
    colors = spread_sight(points, sight).color
    binding = canonical.bind(points)
    cavity = canonical.interpolate(canonical.mouth_interior.float(), binding) > 0.5
    colors = torch.where(cavity[:, None], colors * SHADE, colors)
    seen = sight.weight > torch.where(canonical.bound_weight(binding) > BUST, 0.0, BARELY)
    return Seeds(points, normals, spacing * WIDTH, colors, seen)


def spread_sight(points: Float[Tensor, "P 3"], sight: Sighting) -> Sighting:
    """What is seen at the points; where next to nothing is, what the nearest points show where something is; else grey."""
    known = sight.weight > BARELY
    if not bool(known.any()):
        return sight._replace(color=torch.full_like(sight.color, 0.5))
    if bool(known.all()):
        return sight
    _, index = nearest(points[~known], points[known], min(NEIGHBOURS, int(known.sum())))
    values = sight._asdict()
    for name in ("color", "hair", "matte"):
        values[name] = values[name].clone()
        values[name][~known] = values[name][known][index].mean(1)
    return Sighting(**values)


def model_surface(views: Views, canonical: CanonicalHead) -> Surface:
    """The fitted head: dense on the face, eyes and mouth, thin where no training camera looks."""
    normals = vertex_normals(canonical.vertices, canonical.faces)
    sight = look(views, canonical, canonical.vertices, normals)
    special = canonical.face | canonical.mouth_interior | canonical.eyes
    density = torch.where(special, FACE_DENSITY, torch.where(sight.weight > 0.05, 1.0, HIDDEN_DENSITY))
    density = torch.where((sight.matte < 0.5) & (sight.weight > 0.05), 0.0, density)
    return Surface(canonical.vertices, canonical.faces, density[canonical.faces].mean(1))


def mesh_surface(views: Views, canonical: CanonicalHead, vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"]) -> Surface:
    """The part of the first-stage mesh that is away from the fitted head and seen to be neither hair nor background: clothes, neck.

    Where cameras film and none looks, a shoulder would reach back as far as the mattes let it: nothing is better than that. Beside
    the pictures, what is seen at their edge goes on: another camera may look there.
    """
    vertices = vertices.detach()
    distance, normals = canonical.bind(vertices).distance, vertex_normals(vertices, faces)
    sight = look(views, canonical, vertices, normals)
    piece = pieces(len(vertices), faces)
    away = (distance > APART) & (piece == torch.bincount(piece).argmax())  # the rest are crumbs that no view carved away
    known = away & (sight.weight > FAINTLY) & (sight.hair < 0.4) & (sight.matte > 0.7)
    keep = known | (away & (sight.filmed < RARELY) & continues(vertices, normals, known))
    held = pieces(len(vertices), faces[keep[faces].all(1)])
    keep &= torch.isin(held, held[known])
    density = torch.where(sight.weight > 0.05, 1.0, HIDDEN_DENSITY) * keep
    return Surface(vertices, faces, density[faces].mean(1))


def continues(points: Float[Tensor, "P 3"], normals: Float[Tensor, "P 3"], known: Bool[Tensor, "P"]) -> Bool[Tensor, "P"]:
    """Which points lie near a known one and face the same way."""
    if not bool(known.any()):
        return known
    reach, index = (found[:, 0] for found in nearest(points, points[known], 1))
    return (reach < CLOTH) & ((normals * normals[known][index]).sum(1) > ALIKE)


def pieces(count: int, faces: Int[Tensor, "T 3"]) -> Int[Tensor, "V"]:
    """Number of the connected piece that each of ``count`` vertices belongs to."""
    edges = torch.cat((faces[:, :2], faces[:, 1:])).numpy()
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return torch.from_numpy(connected_components(graph, directed=False)[1]).long()


def join(surfaces: list[Surface]) -> Surface:
    """One surface of several."""
    starts = torch.tensor([0] + [len(surface.vertices) for surface in surfaces]).cumsum(0)
    faces = torch.cat([surface.faces + start for surface, start in zip(surfaces, starts[:-1].tolist(), strict=True)])
    return Surface(torch.cat([s.vertices for s in surfaces]), faces, torch.cat([s.density for s in surfaces]))


def spread(
    surface: Surface, count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"], Float[Tensor, "N"]]:
    """Points, normals and spacing (m) of ``count`` samples by density, stratified along the list of triangles."""
    share = face_areas(surface.vertices, surface.faces).double() * surface.density.double()
    total = share.cumsum(0)
    where = (torch.arange(count, dtype=torch.float64) + torch.rand(count, generator=generator, dtype=torch.float64)) / count
    face = torch.searchsorted(total, where * total[-1]).clamp_max(len(share) - 1)
    random = torch.rand(count, 2, generator=generator)
    root = random[:, :1].sqrt()
    barycentric = torch.cat((1 - root, root * (1 - random[:, 1:]), root * random[:, 1:]), dim=1)
    corners = surface.faces[face]
    points = (surface.vertices[corners] * barycentric[..., None]).sum(1)
    smooth = (vertex_normals(surface.vertices, surface.faces)[corners] * barycentric[..., None]).sum(1)
    flat = face_vectors(surface.vertices, surface.faces)[face]
    normals = torch.where(smooth.norm(dim=-1, keepdim=True) > 0.1, smooth, flat)
    spacing = (total[-1] / count / surface.density[face].double().clamp_min(1e-6)).sqrt().float()
    return points, torch.nn.functional.normalize(normals, dim=-1), spacing


@torch.no_grad()
def look(views: Views, canonical: CanonicalHead, points: Float[Tensor, "P 3"], normals: Float[Tensor, "P 3"]) -> Sighting:
    """Project canonical points into up to 64 training views, spread evenly, at the pose of each frame, expressions included.

    A view counts with the squared cosine at which it faces the point, if the camera filmed there; its colour by the matte besides.
    Occlusion is not tested: what is seen is an average.
    """
    rotations, translations = skull_track(views.parameters)
    binding = canonical.bind(points)
    basis, weight = canonical.bound_basis(binding), canonical.bound_weight(binding)
    indices = views.training_indices()
    indices = indices[torch.linspace(0, len(indices) - 1, min(MOST_VIEWS, len(indices))).long()]
    color, total, filmed = torch.zeros(len(points), 4), torch.zeros(len(points), 3), torch.zeros(len(points))
    for index in indices.tolist():
        view = views.at(index)
        rotation = rotations[view.frame]
        moved = points + torch.einsum("e,pec->pc", views.parameters.expression[view.frame].to(basis), basis)
        world = canonical.place(moved, weight, rotation, translations[view.frame])
        facing = torch.einsum("pij,pj->pi", canonical.rotations(weight, rotation), normals)
        seen, inside, cosine = _sample(view, world, facing)
        share, one = (cosine.square() * inside)[:, None], torch.ones(len(points), 1)
        color += torch.cat((seen[:, :3], one), dim=1) * share * seen[:, 3:4].clamp_min(0.01)
        total += torch.cat((seen[:, 3:], one), dim=1) * share
        filmed += inside
    matte, hair = (total[:, :2] / total[:, 2:].clamp_min(1e-9)).unbind(1)
    mean = color[:, :3] / color[:, 3:].clamp_min(1e-9)
    return Sighting(mean, hair, matte, total[:, 2] / len(indices), filmed / len(indices))


def _sample(
    view: View, world: Float[Tensor, "P 3"], facing: Float[Tensor, "P 3"]
) -> tuple[Float[Tensor, "P 5"], Bool[Tensor, "P"], Float[Tensor, "P"]]:
    """Colour, matte and hair at the projections (bilinear), whether they were filmed, and the cosine to the viewing ray."""
    local = world @ view.world_to_camera[:3, :3].T + view.world_to_camera[:3, 3]
    pixel = (local @ view.K.T)[:, :2] / local[:, 2:].clamp_min(1e-6)
    size = torch.tensor([view.image.shape[1], view.image.shape[0]], dtype=torch.float32)
    grid = pixel / size * 2 - 1
    planes = torch.cat((view.image, *(plane.float()[..., None] for plane in (view.matte, view.hair, view.visible))), dim=-1)
    values = torch.nn.functional.grid_sample(
        planes.permute(2, 0, 1)[None], grid[None, None], padding_mode="border", align_corners=False
    )[0, :, 0].T
    filmed = (grid.abs() <= 1).all(-1) & (local[:, 2] > 0) & (values[:, 5] > FILMED)
    normal = facing @ view.world_to_camera[:3, :3].T
    cosine = -(torch.nn.functional.normalize(normal, dim=-1) * torch.nn.functional.normalize(local, dim=-1)).sum(-1)
    return values[:, :5], filmed, cosine.clamp_min(0)
