"""From training views to the hair that joint training starts with: grown through the first frame, its colour and motion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headcast.avatar.canonical import CanonicalHead, skull_track
from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.dynamics import StrandDynamics, simulate
from headcast.avatar.growth import GrowthSettings, grow_strands
from headcast.avatar.hair_volume import HairView, in_skull_frame
from headcast.avatar.mesh_head import MeshHead, Posed
from headcast.avatar.strands import StrandHair, segments
from headcast.capture.camera import Camera
from headcast.rendering.mesh import rasterize
from headcast.training.samples import View, Views

COVERAGE = 0.7
"""Share of the neighbour distance of strands that one strand covers to either side at the start."""
HAIR_SHARE = 0.9


def grow_hair(
    views: Views,
    canonical: CanonicalHead,
    settings: GrowthSettings,
    inside: SignedDistanceGrid | None = None,
    mesh_head: MeshHead | None = None,
) -> tuple[StrandHair, SignedDistanceGrid]:
    """Strands grown through the first frame, in the colour of the hair, and the distance grid of the head below them.

    Hair hangs there as it was groomed: a sequence begins at rest, and so does the simulation of its hair. ``mesh_head`` tells what
    stands before hair that a camera does not see. ``CaptureError`` when the masks show no hair.
    """
    inside = inside or canonical.skull_distance()
    first = int(views.frame[views.training_indices()].min())
    pictures = hair_views(views, first, mesh_head)
    strands, _ = grow_strands(pictures, canonical.vertices, canonical.faces, canonical.scalp, settings, inside)
    return StrandHair(strands, hair_color(views), width=cover_width(strands)), inside


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


@torch.no_grad()
def sway(
    views: Views, points: Float[Tensor, "S P 3"], dynamics: StrandDynamics | None, inside: SignedDistanceGrid | None
) -> Float[Tensor, "F S P 3"]:
    """Displacement (m, skull frame) of hair ``points`` from their place in the groom, in every frame of every sequence."""
    rotations, translations = (track.to(points) for track in skull_track(views.parameters))
    moved = points.new_zeros(views.frames, *points.shape)
    for sequence in range(len(views.sequences)):
        frames = torch.nonzero(views.sequence_of_frame == sequence)[:, 0]
        frames = frames.to(points.device)
        world = simulate(points, rotations[frames], translations[frames], views.time[frames.cpu()], dynamics, inside)
        local = torch.einsum("fspi,fij->fspj", world - translations[frames][:, None, None], rotations[frames])
        moved[frames] = local - points
    return moved
