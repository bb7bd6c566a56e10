"""How hair sways along the track of the head, as joint training and the avatar's films have it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headcast.avatar.canonical import skull_track
from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.dynamics import StrandDynamics, simulate
from headcast.training.samples import Views


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
