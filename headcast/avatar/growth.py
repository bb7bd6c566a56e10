"""Strands grown from the scalp through the orientation field: rooted, ordered in layers, inside the hair, outside the head.

Each root is traced along the dominant direction of the tensor field with the sign of its last step (tensorlines: Weinstein et al.,
Visualization 1999). Where it would leave the carved hair it slides along the border, and it ends where the border stands in its
way: hair ends at its tips, not at its sides. Strands lie over those that leave the scalp further downstream: with a metres
of scalp above a root and b passed below it, layer (b + rise) / (a + b + rise). Not observed and hence priors: this order and its
random spread, the sign at the root (away from the scalp, down, towards thicker hair), and the direction of hair that no two cameras
see (diffused, weakly pulled down along the head).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.groom import resample, scalp_faces, strand_lengths
from headcast.avatar.hair_volume import CONSENSUS, HairView, hair_occupancy, pool_view
from headcast.avatar.orientation_field import OrientationField, apply, orientation_field, principal
from headcast.avatar.voxel_grid import VoxelGrid
from headcast.errors import CaptureError
from headcast.geometry.meshes import sample_surface
from headcast.geometry.neighbours import farthest_order, nearest

logger = logging.getLogger(__name__)

CANDIDATES = 6
SPARE = 1.3
SIGN_NEIGHBOURS, SIGN_ROUNDS = 12, 10
SLOPE_NEIGHBOURS, THICKEST = 40, 0.05
OUTWARD_WEIGHT, THICKER_WEIGHT = 0.3, 4.0
POWER_STEPS = 3
LONGEST_SCALP = 0.4
COHERENT = 0.6
"""Neighbouring directions whose mean is shorter than this part from each other."""


@dataclass(frozen=True)
class GrowthSettings:
    """How strands are grown; lengths in metres, the rest without unit."""

    strands: int = 1500
    points: int = 16
    voxel: float = 0.004
    step: float = 0.002
    consensus: float = CONSENSUS
    """Share of the views with a say that must see hair at a voxel; lower it for noisy masks."""
    longest: float = 0.5
    shortest: float = 0.02
    clearance: float = 0.0008
    rise: float = 0.015
    """Arc length within which a strand at a parting reaches its layer."""
    steepest: float = 0.8
    """Largest slope against the field with which a strand seeks its layer."""
    sink: float = 0.3
    """Largest slope with which hair that hangs free of the scalp may still come nearer to the head."""
    margin: float = 0.003
    """How far strands stay below the carved border: a hull is always somewhat too large."""
    least_advance: float = 0.6
    """A strand ends where the border leaves less than this part of a step."""
    grace: float = 0.01
    """Arc length from the root along which a strand may lie outside the carved hair: thin hair is lost between voxels."""
    lowest_layer: float = 0.3
    """No strand is drawn deeper than this layer (0 the head, 1 the outer surface of the hair)."""
    disorder: float = 0.3
    """Width of the random spread of layers about the order in which strands leave the scalp."""
    seed: int = 0


def scalp_roots(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"], scalp: Float[Tensor, "V"], count: int, seed: int
) -> Float[Tensor, "n 3"]:
    """At most ``count`` points on the scalp (weight > 0.5) as far apart as can be, in an order whose every prefix is so too.

    Farthest-point order of area-uniform candidates: a progressive Poisson-disk set. CaptureError when the model has no scalp.
    """
    on_scalp = faces[scalp_faces(faces, scalp)]
    generator = torch.Generator(device="cpu").manual_seed(seed)
    points = sample_surface(vertices.cpu(), on_scalp.cpu(), CANDIDATES * count, generator)[0].to(vertices)
    return points[farthest_order(points, count)]


def thickness_slope(field: OrientationField, roots: Float[Tensor, "n 3"], outward: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """How the thickness of the hair (m) changes along the scalp (m): the least-squares gradient over neighbouring roots."""
    heights = torch.arange(0.5, THICKEST / field.grid.spacing, device=roots.device) * field.grid.spacing
    probes = (roots[:, None] + heights[:, None] * outward[:, None]).flatten(0, 1)
    occupied = field.grid.sample(field.occupancy[..., None].to(roots), probes).reshape(len(roots), -1)
    thickness = occupied.sum(1) * field.grid.spacing
    index = nearest(roots, roots, min(SLOPE_NEIGHBOURS, len(roots)))[1]
    offset, rise = roots[index] - roots[:, None], thickness[index] - thickness[:, None]
    scatter = torch.einsum("nki,nkj->nij", offset, offset)
    damping = 0.1 * scatter.diagonal(dim1=1, dim2=2).sum(-1)[:, None, None] * torch.eye(3).to(roots)
    return torch.linalg.solve(scatter + damping + 1e-12 * torch.eye(3).to(roots), torch.einsum("nki,nk->ni", offset, rise))


def root_directions(field: OrientationField, roots: Float[Tensor, "n 3"], outward: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Unit directions in which hair leaves the scalp: the line of the field just above it, with a sign.

    Hair leaves the scalp outwards, downwards, and away from partings, where it is thin, to where strands pile up. Neighbouring
    roots vote, so that a sign follows its surroundings where nothing else tells.
    """
    line = principal(field.grid.sample(field.tensors, roots + 1.5 * field.grid.spacing * outward))
    index = nearest(roots, roots, min(SIGN_NEIGHBOURS, len(roots)))[1]
    slope = (line * thickness_slope(field, roots, outward)).sum(-1)
    prior = -line[:, 1] + OUTWARD_WEIGHT * (line * outward).sum(-1) + THICKER_WEIGHT * slope
    vote = prior
    for _ in range(SIGN_ROUNDS):
        signed = line * torch.tanh(4 * vote)[:, None]
        vote = prior + 0.5 * (line[:, None] * signed[index]).sum(-1).mean(1)
    return line * torch.where(vote < 0, -1.0, 1.0)[:, None]


def scalp_distances(
    roots: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"], head: SignedDistanceGrid, step: float = 0.004
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """How much scalp (m) lies upstream and downstream of each root along the flow of ``directions``, to its edge or a parting."""
    mesh_size = float(nearest(roots, roots, 2)[0][:, 1].median())
    around = directions[nearest(roots, roots, min(SIGN_NEIGHBOURS, len(roots)))[1]]
    parting = around.mean(1).norm(dim=-1) < COHERENT
    flow = functional.normalize((around * (around * directions[:, None]).sum(-1, keepdim=True).clamp_min(0)).sum(1), dim=-1)
    distances = []
    for sign in (-1.0, 1.0):
        here, before = roots, flow
        alive = torch.ones(len(roots), dtype=torch.bool, device=roots.device)
        walked = torch.zeros_like(roots[:, 0])
        for _ in range(int(LONGEST_SCALP / step)):
            here = here + sign * step * before
            here = here - head(here)[:, None] * head.gradient(here)
            away, index = nearest(here, roots, 1)
            ahead = flow[index[:, 0]]
            alive = alive & (away[:, 0] < 2 * mesh_size) & ((ahead * before).sum(-1) > COHERENT)
            alive = alive & ~(parting[index[:, 0]] & (sign < 0))
            walked, before = walked + step * alive, torch.where(alive[:, None], ahead, before)
            if not bool(alive.any()):
                break
        distances.append(walked)
    return distances[0], distances[1]


def _next_direction(
    field: OrientationField,
    settings: GrowthSettings,
    points: Float[Tensor, "n 3"],
    before: Float[Tensor, "n 3"],
    outward: Float[Tensor, "n 3"],
    target: Float[Tensor, "n"],
    hanging: Bool[Tensor, "n"],
) -> Float[Tensor, "n 3"]:
    tensors = field.grid.sample(field.tensors, points)
    along = before
    for _ in range(POWER_STEPS):
        along = functional.normalize(apply(tensors, along) + 1e-3 * before, dim=-1)
    layer = field.grid.sample(field.layer[..., None], points)[:, 0]
    slope = (3 * (target - layer)).clamp(-settings.steepest, settings.steepest)
    slope = torch.where(hanging & (layer < 0.95), slope.clamp_min(-settings.sink), slope)
    across = outward - (outward * along).sum(-1, keepdim=True) * along
    return functional.normalize(along + slope[:, None] * across, dim=-1)


def trace(
    field: OrientationField,
    head: SignedDistanceGrid,
    roots: Float[Tensor, "n 3"],
    shift: Float[Tensor, "n"],
    settings: GrowthSettings,
) -> tuple[Float[Tensor, "n M 3"], Int[Tensor, "n"]]:
    """Paths from the roots in steps of ``settings.step`` and how many of their points count; the rest repeats the last one.

    ``shift`` moves each strand's layer away from its place in the order.
    """
    outward = head.gradient(roots)
    direction = root_directions(field, roots, outward)
    upstream, downstream = scalp_distances(roots, direction, head)
    path, alive = [roots], torch.ones(len(roots), dtype=torch.bool, device=roots.device)
    counts = torch.ones(len(roots), dtype=torch.long, device=roots.device)
    for step in range(int(settings.longest / settings.step)):
        arc = (step + 1) * settings.step
        passed = downstream.clamp(max=arc)
        ordered = (passed + settings.rise) / (passed + settings.rise + upstream)
        target = (ordered + shift).clamp(settings.lowest_layer, 1) * min(1.0, arc / settings.rise)
        here = path[-1]
        bent = _next_direction(field, settings, here, direction, head.gradient(here), target, arc > downstream)
        there = field.border.pull_in(here + settings.step * bent, settings.margin)
        there = head.push_out(there, settings.clearance, rounds=1)
        advance = ((there - here) * bent).sum(-1) / settings.step
        goes_on = (field.border(there) < 0) & (advance > settings.least_advance)  # the border of a bare head is that of no hair
        alive = alive & (goes_on | (step * settings.step < settings.grace))
        direction = torch.where(alive[:, None], functional.normalize(there - here, dim=-1), direction)
        path.append(torch.where(alive[:, None], there, here))
        counts = counts + alive
        if not bool(alive.any()):
            break
    return torch.stack(path, dim=1), counts


def stratified(count: int, lowest: float, seed: int) -> Float[Tensor, "n"]:
    """Numbers evenly spread over (lowest, 1) in random order."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    order = torch.randperm(count, generator=generator)
    return lowest + (1 - lowest) * (order + torch.rand(count, generator=generator)) / count


def grow(
    field: OrientationField, head: SignedDistanceGrid, roots: Float[Tensor, "n 3"], settings: GrowthSettings
) -> Float[Tensor, "S P 3"]:
    """Strands (m, skull frame) from the first ``settings.strands`` roots whose hair is longer than ``settings.shortest``."""
    shift = settings.disorder * (stratified(len(roots), 0.0, settings.seed).to(roots) - 0.5)
    paths, _ = trace(field, head, roots, shift, settings)
    strands = resample(paths[strand_lengths(paths) >= settings.shortest], settings.points)
    strands[:, 1:] = head.push_out(strands[:, 1:], settings.clearance)
    strands = strands[strand_lengths(strands) >= settings.shortest][: settings.strands]
    if len(strands) == 0:
        raise CaptureError("hair growth", "no strand is long enough", "check hair masks, head placement and hair.shortest")
    return strands


def grow_strands(
    views: list[HairView],
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "T 3"],
    scalp: Float[Tensor, "V"],
    settings: GrowthSettings | None = None,
    head: SignedDistanceGrid | None = None,
) -> tuple[Float[Tensor, "S P 3"], OrientationField]:
    """Grow hair from pictures: views in the skull frame, the canonical head mesh (m) and its scalp weights; device of ``vertices``.

    Returns strands (m, skull frame, root first) and the field they follow. CaptureError when masks leave no hair or no strand.
    """
    settings = settings or GrowthSettings()
    head = head or SignedDistanceGrid.from_mesh(vertices, faces)
    roots = scalp_roots(vertices, faces, scalp, int(SPARE * settings.strands), settings.seed).to(head.lower)
    pooled = [pool_view(view, head, settings.voxel) for view in views]
    grid = VoxelGrid.around(head.lower, head.upper, settings.voxel)
    field = orientation_field(grid, hair_occupancy(grid, pooled, head, settings.consensus), pooled, head)
    strands = grow(field, head, roots, settings)
    logger.info("grew %d strands, median length %.0f mm", len(strands), 1000 * float(strand_lengths(strands).median()))
    return strands, field
