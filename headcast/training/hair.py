"""From training views to the hair that joint training starts with: strands grown through calm frames, their colour and motion."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headcast.avatar.canonical import CanonicalHead, skull_track
from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.dynamics import StrandDynamics, simulate
from headcast.avatar.growth import GrowthSettings, grow_strands
from headcast.avatar.hair_volume import HairView, in_skull_frame
from headcast.avatar.strands import StrandHair, segments
from headcast.capture.camera import Camera
from headcast.training.samples import View, Views

CALM_FRAMES = 2
COVERAGE = 0.7
"""Share of the neighbour distance of strands that one strand covers to either side at the start."""
HAIR_SHARE = 0.9


def grow_hair(
    views: Views, canonical: CanonicalHead, settings: GrowthSettings, inside: SignedDistanceGrid | None = None
) -> tuple[StrandHair, SignedDistanceGrid]:
    """Strands grown through the calmest training frames, in the colour of the hair, and the distance grid of the head below them.

    ``CaptureError`` when the masks show no hair.
    """
    inside = inside or canonical.skull_distance()
    frames = calm_frames(views, CALM_FRAMES)
    strands, _ = grow_strands(hair_views(views, frames), canonical.vertices, canonical.faces, canonical.scalp, settings, inside)
    return StrandHair(strands, hair_color(views), width=cover_width(strands)), inside


def calm_frames(views: Views, count: int) -> list[int]:
    """The training frames with the slowest heads: one of each sequence first, ties by order; hair hangs as it was groomed there."""
    _, translations = skull_track(views.parameters)
    turn = views.parameters.rotation.float()
    speed = torch.zeros(views.frames)
    for frame in range(1, views.frames):
        if views.sequence_of_frame[frame] == views.sequence_of_frame[frame - 1]:
            step = (turn[frame] - turn[frame - 1]).norm() + 10 * (translations[frame] - translations[frame - 1]).norm()
            speed[frame] = 0.5 * speed[frame - 1] + step
    known = torch.unique(views.frame[views.training_indices()]).tolist()
    ranked = sorted(known, key=lambda frame: (float(speed[frame]), frame))
    firsts = [
        next(f for f in ranked if int(views.sequence_of_frame[f]) == s)
        for s in sorted({int(views.sequence_of_frame[f]) for f in known})
    ]
    return (firsts + [frame for frame in ranked if frame not in firsts])[:count]


def hair_views(views: Views, frames: list[int]) -> list[HairView]:
    """The training views of some frames as pictures of still hair in the skull's frame."""
    rotations, translations = skull_track(views.parameters)
    indices = [i for i in views.training_indices().tolist() if int(views.frame[i]) in frames]
    return [hair_view(views.at(i), rotations, translations, views.cameras) for i in indices]


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
    rotations, translations = skull_track(views.parameters)
    moved = torch.zeros(views.frames, *points.shape)
    for sequence in range(len(views.sequences)):
        frames = torch.nonzero(views.sequence_of_frame == sequence)[:, 0]
        world = simulate(points, rotations[frames], translations[frames], views.time[frames], dynamics, inside)
        local = torch.einsum("fspi,fij->fspj", world - translations[frames][:, None, None], rotations[frames])
        moved[frames] = local - points
    return moved
