"""How the hair of the training frames moves: simulated along the fitted track, with the physics that keeps strands inside the mattes."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headcast.avatar.canonical import skull_track
from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.dynamics import StrandDynamics, search, simulate
from headcast.avatar.strands import StrandHair
from headcast.training.samples import Views

SCORED_STRANDS, SCORED_VIEWS = 250, 48
SEARCH_ROUNDS = 2
OPEN = 0.5
"""What a point outside the hair but inside the subject costs (it may be hidden behind the face); outside the subject costs 1."""


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


@torch.no_grad()
def fit_dynamics(views: Views, hair: StrandHair, inside: SignedDistanceGrid | None) -> StrandDynamics:
    """Physical values by coordinate search: simulated strands have to stay inside the hair masks and mattes of the training views."""
    points = hair.points[torch.linspace(0, len(hair.roots) - 1, min(SCORED_STRANDS, len(hair.roots))).long()]
    indices = moving_views(views)
    best, _ = search(
        lambda dynamics: outside_share(views, indices, points, dynamics, inside), StrandDynamics(), rounds=SEARCH_ROUNDS
    )
    return best


def moving_views(views: Views) -> Int[Tensor, "n"]:
    """Training views of the frames whose heads are turned most, as many as scoring affords, spread over cameras."""
    indices = views.training_indices()
    turn = views.parameters.rotation.float()
    angle = (turn - turn[:1]).norm(dim=-1)
    ranked = indices[torch.argsort(angle[views.frame[indices]], descending=True, stable=True)]
    half = ranked[: max(len(ranked) // 2, 1)]
    return half[torch.linspace(0, len(half) - 1, min(SCORED_VIEWS, len(half))).long()]


def outside_share(
    views: Views,
    indices: Int[Tensor, "n"],
    points: Float[Tensor, "S P 3"],
    dynamics: StrandDynamics | None,
    inside: SignedDistanceGrid | None,
) -> float:
    """Mean cost of the simulated points in the pictures: 0 in the hair, up to 1 outside the subject."""
    rotations, translations = skull_track(views.parameters)
    world = torch.einsum("fspj,fij->fspi", points + sway(views, points, dynamics, inside), rotations) + translations[:, None, None]
    total = 0.0
    for index in indices.tolist():
        view = views.at(index)
        local = world[view.frame].flatten(0, 1) @ view.world_to_camera[:3, :3].T + view.world_to_camera[:3, 3]
        pixel = (local @ view.K.T)[:, :2] / local[:, 2:].clamp_min(1e-6)
        height, width = view.hair.shape
        column, row = pixel[:, 0].long().clamp(0, width - 1), pixel[:, 1].long().clamp(0, height - 1)
        cost = OPEN * (1 - view.hair[row, column]) + (1 - OPEN) * (1 - view.matte[row, column])
        total += float((cost * view.visible[row, column]).mean())
    return total / max(len(indices), 1)
