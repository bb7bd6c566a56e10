"""The mesh head's first surface: the fitted head united with what the mattes and labels leave of the space around it.

Space carving (Laurentini, PAMI 1994; Kutulakos & Seitz, IJCV 2000): a point is empty when a view sees background through it, or
when it lies in front of the fitted head where a view sees face or body. What remains near the head is hair and clothes. Below what
is filmed the bust goes straight on: another camera may look lower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int64
from scipy.ndimage import distance_transform_edt, gaussian_filter
from torch import Tensor

from headcast.avatar.canonical import CanonicalHead, skull_track
from headcast.avatar.mesh_head import Lattice
from headcast.errors import CaptureError
from headcast.geometry.hull import sample_matte
from headcast.geometry.meshes import signed_distance
from headcast.geometry.tetrahedra import kuhn_grid
from headcast.rendering.mesh import rasterize
from headcast.training.samples import LABELS, View, Views

REACH = 0.09  # m: how far from the fitted head hair and clothes are looked for
BELOW = 0.06  # m: how far below the fitted head the bust goes on
FILMED_SHARE = 0.15  # share of the views that must have a point in the picture to tell what is there
BOX_CELLS = 24  # resolution at which the seen box is measured
INSIDE_SHARE = 0.92  # share of the views that must see a point inside the subject
FREE_SHARE = 0.3  # share of the views that must see past a point to the head's surface
HAIRY = 0.3  # share of the views that show hair where a point projects, from which on it is hair's
CLEARANCE = 0.006  # m: how far in front of the fitted surface a point must lie to be seen past
BAND_CELLS = 3.3  # the lattice keeps this many cells on either side of the first surface
TRUSTED = 0.008  # m: how near to the fitted face its surface is trusted
CLOSE_POSE_DEG, REFERENCE_FRAMES = 4.0, 2


def reference_frames(views: Views, canonical: CanonicalHead) -> list[int]:
    """The training frames whose head pose is closest to the reference placement (at most two, all within a few degrees)."""
    rotations, translations = skull_track(views.parameters)
    frames = torch.unique(views.frame[views.training_indices()])
    relative = rotations[frames] @ canonical.reference_rotation.T
    angle = torch.rad2deg(torch.acos(((relative.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)))
    offset_mm = 1000 * (translations[frames] - canonical.reference_translation).norm(dim=1)
    score = angle + 0.3 * offset_mm
    order = torch.argsort(score, stable=True)
    close = [int(k) for k in order if score[k] <= max(CLOSE_POSE_DEG, float(score[order[0]]))]
    return [int(frames[k]) for k in close[:REFERENCE_FRAMES]]


def start_lattice(views: Views, canonical: CanonicalHead, grid: int) -> Lattice:
    """The lattice of ``grid`` cells along the longest side around head, hair and shoulders, with its first signed distance."""
    lower, upper = seen_box(views, canonical)
    cell = float((upper - lower).max()) / grid
    cells = [max(4, round(float(side) / cell)) for side in upper - lower]
    points, tets = kuhn_grid(cells, lower, lower + cell * torch.tensor(cells, dtype=torch.float32))
    head = signed_distance(points, canonical.vertices, canonical.faces[canonical.outer()])
    binding = canonical.bind(points, outer=True)
    weight = canonical.bound_weight(binding)
    occupied, hair, filmed = carve(views, canonical, points, weight)
    occupied = go_on_below(occupied & (head < REACH), filmed, [n + 1 for n in cells])
    hull = lattice_distance(occupied, [n + 1 for n in cells], cell)
    distance = torch.minimum(head, hull)
    outside = ((head - 0.5 * cell) / cell).clamp(0, 1)
    weight = torch.maximum(weight, outside * ((hair - HAIRY) / 0.4).clamp(0, 1))
    face = canonical.interpolate(canonical.face.float(), binding) * (hull > -TRUSTED)
    trust = face * torch.exp(-((binding.distance / TRUSTED) ** 2))
    full = Lattice(
        points=points,
        tets=tets,
        neighbours=successors([n + 1 for n in cells]),
        distance=distance,
        weight=weight,
        basis=canonical.bound_basis(binding),
        trust=trust,
        cell=torch.tensor(cell),
    )
    return narrow(full, distance.abs() < BAND_CELLS * cell)


def seen_box(views: Views, canonical: CanonicalHead) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Corners (canonical, m) of the box around the head that enough of the reference views have in the picture, or below it."""
    lower, upper = canonical.vertices.amin(0) - REACH, canonical.vertices.amax(0) + REACH
    lower[1] = canonical.vertices[:, 1].amin() - BELOW
    points, _ = kuhn_grid(BOX_CELLS, lower, upper)
    shown = torch.stack([_pixels(view, world)[2].float() for view, world, _ in _reference_views(views, canonical, points)])
    seen = shown.mean(0) >= FILMED_SHARE
    if not bool(seen.any()):
        raise CaptureError("views", "no camera sees the space around the fitted head", "check the calibration and the fit")
    margin = (upper - lower) / BOX_CELLS
    within = torch.maximum(lower, points[seen].amin(0) - margin)
    within[1] = lower[1]
    return within, torch.minimum(upper, points[seen].amax(0) + margin)


def _reference_views(
    views: Views, canonical: CanonicalHead, points: Float[Tensor, "P 3"], weight: Float[Tensor, "P"] | float = 1.0
) -> Iterator[tuple[View, Float[Tensor, "P 3"], int]]:
    """The training views of the reference frames, the canonical points in the world (m) at their time, and the frame."""
    rotations, translations = skull_track(views.parameters)
    training = views.training_indices()
    for frame in reference_frames(views, canonical):
        world = canonical.place(points, weight, rotations[frame], translations[frame])
        for index in training[views.frame[training] == frame]:
            yield views.at(int(index)), world, frame


def carve(
    views: Views, canonical: CanonicalHead, points: Float[Tensor, "P 3"], weight: Float[Tensor, "P"]
) -> tuple[Bool[Tensor, "P"], Float[Tensor, "P"], Float[Tensor, "P"]]:
    """Which canonical points the views of the reference frames leave standing, the share of hair where they project, and the share
    of the views that have them in the picture. What no view has in it stands.
    """
    rotations, translations = skull_track(views.parameters)
    surfaces: dict[int, Tensor] = {}
    inside, free, hair, count, asked = (torch.zeros(len(points)) for _ in range(5))
    for view, world, frame in _reference_views(views, canonical, points, weight):
        if frame not in surfaces:
            surfaces[frame] = canonical.posed(views.parameters.expression[frame].float(), rotations[frame], translations[frame])
        pixels, place, seen = _pixels(view, world)
        matte, hairy = (torch.nan_to_num(sample_matte(plane, pixels)) for plane in (view.matte, view.hair))
        inside, count, asked = inside + (seen & (matte > 0.5)), count + seen, asked + 1
        free, hair = free + (seen & _past(view, world, place, surfaces[frame], canonical)), hair + hairy * seen
    standing = (inside >= INSIDE_SHARE * count) & (free <= FREE_SHARE * count)
    return standing, hair / count.clamp_min(1), count / asked


def _pixels(view: View, world: Float[Tensor, "P 3"]) -> tuple[Float[Tensor, "P 2"], tuple[Tensor, Tensor], Bool[Tensor, "P"]]:
    """Pixel positions of world points, their rows and columns (clamped to the image), and which lie in the visible picture."""
    height, width = view.matte.shape
    local = world @ view.world_to_camera[:3, :3].T + view.world_to_camera[:3, 3]
    pixels = (local @ view.K.T)[:, :2] / local[:, 2:]
    column, row = pixels.floor().long().unbind(1)
    seen = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (local[:, 2] > 0)
    place = (row.clamp(0, height - 1), column.clamp(0, width - 1))
    return pixels, place, seen & view.visible[place]


def _past(
    view: View, world: Float[Tensor, "P 3"], place: tuple[Tensor, Tensor], surface: Float[Tensor, "V 3"], canonical: CanonicalHead
) -> Bool[Tensor, "P"]:
    """Which points the view sees past, to the head's face or body behind them."""
    height, width = view.matte.shape
    depth = rasterize(surface, canonical.faces[canonical.outer()], view.world_to_camera, view.K, width, height).depth
    bare = (view.labels == LABELS["face"]) | (view.labels == LABELS["body"])
    own = world @ view.world_to_camera[2, :3] + view.world_to_camera[2, 3]
    return bare[place] & (depth[place] > own + CLEARANCE)


def go_on_below(standing: Bool[Tensor, "P"], filmed: Float[Tensor, "P"], shape: Sequence[int]) -> Bool[Tensor, "P"]:
    """Where too few views tell what is there, only what is below something that stands stands (y is the second axis)."""
    told, volume = (plane.reshape(*shape) for plane in (filmed >= FILMED_SHARE, standing.clone()))
    volume[:, -1] &= told[:, -1]
    for level in range(shape[1] - 2, -1, -1):
        volume[:, level] &= told[:, level] | volume[:, level + 1]
    return volume.reshape(-1)


def lattice_distance(occupied: Bool[Tensor, "P"], shape: Sequence[int], cell: float) -> Float[Tensor, "P"]:
    """Signed distance (m, negative inside) to a set of lattice points, smoothed by one cell; far outside if the set is empty."""
    volume = occupied.reshape(*shape).numpy()
    if not volume.any():
        return torch.full((occupied.numel(),), 1e3)
    signed = distance_transform_edt(~volume) - distance_transform_edt(volume)
    smooth = gaussian_filter(signed - (signed > 0) * 0.5 + (signed < 0) * 0.5, 0.8, mode="nearest")
    return torch.from_numpy(smooth).float().reshape(-1) * cell


def successors(shape: Sequence[int]) -> Int64[Tensor, "M 4"]:
    """For each lattice point with successors along x, y and z: its index and theirs."""
    index = torch.arange(shape[0] * shape[1] * shape[2]).reshape(*shape)
    parts = [index[:-1, :-1, :-1], index[1:, :-1, :-1], index[:-1, 1:, :-1], index[:-1, :-1, 1:]]
    return torch.stack([part.reshape(-1) for part in parts], dim=1)


def narrow(lattice: Lattice, keep: Bool[Tensor, "P"]) -> Lattice:
    """The lattice of the kept points and of the tetrahedra and neighbourhoods that lie among them."""
    number = torch.cumsum(keep.long(), 0) - 1
    return Lattice(
        points=lattice.points[keep],
        tets=number[lattice.tets[keep[lattice.tets].all(1)]],
        neighbours=number[lattice.neighbours[keep[lattice.neighbours].all(1)]],
        distance=lattice.distance[keep],
        weight=lattice.weight[keep],
        basis=lattice.basis[keep],
        trust=lattice.trust[keep],
        cell=lattice.cell,
    )
