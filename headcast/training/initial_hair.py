"""The hair that joint training starts with: grown through the pictures of a frame, or strands from elsewhere put on this head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headcast.avatar.canonical import CanonicalHead, skull_track
from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.groom import (
    DEEPEST,
    Curves,
    Groom,
    Rooted,
    Surface,
    cleared,
    resample_curves,
    rooted,
    seated,
    strand_lengths,
)
from headcast.avatar.growth import GrowthSettings, grow_strands
from headcast.avatar.hair_volume import HairView, in_skull_frame
from headcast.avatar.mesh_head import MeshHead, Posed
from headcast.avatar.orientation_field import OrientationField, outer_surface, principal
from headcast.avatar.strands import segments
from headcast.capture.camera import Camera
from headcast.errors import CaptureError
from headcast.rendering.mesh import rasterize
from headcast.training.samples import View, Views

COVERAGE = 0.7
"""Share of the neighbour distance of strands that one strand covers to either side at the start."""
HAIR_SHARE = 0.9
ON_SCALP = 1e-3
"""Grown strands begin on the scalp within this (m)."""
SEEN = 0.05
OUTER_LAYER = 0.5
"""Voxels at the border of the hair that lie further in than this layer border on the head, not on the air."""
UPRIGHT = {"y": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), "z": ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))}
"""Rows that turn a frame with this axis up into the skull's: y up and z out of the face, or z up and −y out of the face."""


@dataclass(frozen=True)
class Start:
    """A groom, how it came about in figures, and the surface of the carved hair where it was grown."""

    groom: Groom
    facts: dict[str, Any]
    surface: Surface | None = None


@dataclass(frozen=True)
class Placement:
    """How strands from elsewhere get onto a head.

    ``scale`` is metres per unit of theirs, ``up`` their upward axis. Their frame is the skull's, or, with ``seat``, one that is
    shifted against it. Roots further from the scalp than ``reach`` (m) and strands shorter than ``shortest`` (m) are left out.
    """

    strands: int
    points: int
    scale: float = 1.0
    up: str = "y"
    seat: bool = False
    reach: float = 0.02
    shortest: float = 0.02
    clearance: float = 0.0008
    seed: int = 0


def grown_hair(views: Views, canonical: CanonicalHead, settings: GrowthSettings, mesh_head: MeshHead | None = None) -> Start:
    """Strands grown through the first frame of ``views``, in the colour of the hair.

    Hair hangs there as it was groomed: a sequence begins at rest, and so does the simulation of its hair. ``mesh_head`` tells what
    stands before hair that a camera does not see. ``CaptureError`` when the masks show no hair.
    """
    head = canonical.skull_distance()
    first = int(views.frame[views.training_indices()].min())
    pictures = hair_views(views, first, mesh_head)
    strands, field = grow_strands(pictures, canonical.vertices, canonical.faces, canonical.scalp, settings, head)
    found = rooted(strands, canonical.vertices, canonical.faces, canonical.scalp, ON_SCALP)
    surface = hair_surface(field)
    facts = {
        "views": len(pictures),
        "wanted": settings.strands,
        "volume_l": round(1000 * float(field.occupancy.sum()) * field.grid.spacing**3, 4),
        "surface_voxels": len(surface.points),
        "seen_share": round(float((surface.confidence > SEEN).float().mean()), 4),
    }
    return finished(found, head, settings.clearance, views, facts, surface)


def adopted_hair(curves: Curves, views: Views, canonical: CanonicalHead, placement: Placement) -> Start:
    """Strands from elsewhere, put on this head, in the colour of the hair of ``views``; ``CaptureError`` when none is left.

    Of more strands than wanted a random choice is taken, so that dense places stay dense.
    """
    head = canonical.skull_distance()
    strands = resample_curves(curves, placement.points) * placement.scale @ torch.tensor(UPRIGHT[placement.up]).T
    long = strand_lengths(strands) >= placement.shortest
    strands = strands[long]
    facts: dict[str, Any] = {"read": len(curves.counts), "wanted": placement.strands, "too_short": int((~long).sum())}
    if len(strands) == 0:
        wrong = f"of {len(curves.counts)} strands none is longer than {1000 * placement.shortest:.0f} mm"
        raise CaptureError("hair.file", wrong, "check hair.file_scale and hair.shortest")
    if placement.seat:
        shift = seated(strands[:, 0], canonical.vertices, canonical.faces, canonical.scalp)
        strands = strands + shift
        facts["shift_m"] = [round(float(value), 5) for value in shift]
    found = rooted(strands, canonical.vertices, canonical.faces, canonical.scalp, placement.reach)
    facts["away_from_scalp"] = int((~found.kept).sum())
    if len(found.strands) == 0:
        wrong = f"of {len(curves.counts)} strands none is rooted within {1000 * placement.reach:.0f} mm of the scalp"
        raise CaptureError("hair.file", wrong, "check hair.file_frame, hair.file_scale and hair.file_up")
    generator = torch.Generator().manual_seed(placement.seed)
    chosen = torch.randperm(len(found.strands), generator=generator)[: placement.strands].sort().values
    found = Rooted(found.strands[chosen], found.face[chosen], found.barycentric[chosen], found.kept)
    return finished(found, head, placement.clearance, views, facts)


def finished(
    found: Rooted,
    head: SignedDistanceGrid,
    clearance: float,
    views: Views,
    facts: dict[str, Any],
    surface: Surface | None = None,
) -> Start:
    """The groom of rooted strands, cleared of the head, with its figures."""
    before = head(found.strands) < -DEEPEST
    strands, kept = cleared(found.strands, head, clearance)
    if len(strands) == 0:
        raise CaptureError("hair growth", "no strand lies outside the head", "check the fitted head and the placement of the hair")
    color = hair_color(views).expand(len(strands), 3).contiguous()
    groom = Groom(strands, found.face[kept], found.barycentric[kept], color, cover_width(strands))
    told = {
        "strands": len(strands),
        "points_per_strand": strands.shape[1],
        "length_m": spread(strand_lengths(strands)),
        "inside_head_before": round(float(before.float().mean()), 6),
        "inside_head": round(float((head(strands) < -DEEPEST).float().mean()), 6),
        "stuck_in_head": int((~kept).sum()),
    }
    return Start(groom, {**facts, **told}, surface)


def spread(values: Float[Tensor, "n"]) -> dict[str, float]:
    """Median and the tenth and ninetieth of a hundred."""
    marks = torch.quantile(values.double(), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)).tolist()
    return {name: round(value, 5) for name, value in zip(("p10", "median", "p90"), marks, strict=True)}


def hair_surface(field: OrientationField) -> Surface:
    """The voxels of the hair that border on the air, with their lines."""
    outer = (outer_surface(field.occupancy) & (field.layer > OUTER_LAYER)).flatten()
    lines = principal(field.tensors.reshape(-1, 6)[outer])
    return Surface(field.grid.centers()[outer], lines, field.confidence.flatten()[outer])


def hair_views(views: Views, frame: int, mesh_head: MeshHead | None = None) -> list[HairView]:
    """The training views of a frame as pictures of still hair in the skull's frame, with the depth of ``mesh_head`` if given."""
    rotations, translations = skull_track(views.parameters)
    indices = [i for i in views.training_indices().tolist() if int(views.frame[i]) == frame]
    pictures = [views.at(i) for i in indices]
    placed = [hair_view(picture, rotations, translations, views.cameras) for picture in pictures]
    if mesh_head is None:
        return placed
    with torch.no_grad():
        pose = views.parameters.expression[frame].float(), rotations[frame], translations[frame]
        mesh = mesh_head.posed(*pose, colours=False)
        return [replace(view, surface=surface_depth(mesh, picture)) for view, picture in zip(placed, pictures, strict=True)]


def surface_depth(mesh: Posed, view: View) -> Float[np.ndarray, "H W"]:
    """Camera depth (m) of a mesh in a view, inf where it is not."""
    seen = rasterize(mesh.vertices, mesh.faces, view.world_to_camera, view.K, view.hair.shape[1], view.hair.shape[0])
    return torch.where(seen.face_id >= 0, seen.depth, torch.inf).numpy()


def hair_view(
    view: View, rotations: Float[Tensor, "F 3 3"], translations: Float[Tensor, "F 3"], cameras: tuple[str, ...]
) -> HairView:
    """One view with its camera placed in the skull's frame."""
    height, width = view.hair.shape
    camera = Camera(cameras[view.camera], view.K.double().numpy(), view.world_to_camera.double().numpy(), width, height)
    placed = in_skull_frame(camera, rotations[view.frame].double().numpy(), translations[view.frame].double().numpy())
    return HairView(placed, view.hair.numpy(), view.angle.numpy().astype(np.float32), view.confidence.numpy())


def hair_color(views: Views) -> Float[Tensor, "3"]:
    """The median colour (sRGB-encoded) of pixels that are hair alone, over the training views; grey when there are none."""
    indices = views.training_indices()
    picked = [views.images[i][views.hair[i] > HAIR_SHARE * 255] for i in indices.tolist()]
    pixels = torch.cat(picked).float() / 255
    return pixels.median(0).values if len(pixels) else torch.full((3,), 0.5)


def cover_width(strands: Float[Tensor, "S P 3"]) -> float:
    """The standard deviation across (m) at which S strands cover an area as large as their roots' surroundings grown to mid-length.

    Hair of total length L over a surface A has neighbours A / L apart; A is estimated from the box of the strands.
    """
    length = float(segments(strands).lengths.sum())
    size = (strands.flatten(0, 1).amax(0) - strands.flatten(0, 1).amin(0)).tolist()
    area = 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    return float(np.clip(COVERAGE * area / max(length, 1e-6) / 2, 3e-4, 4e-3))
