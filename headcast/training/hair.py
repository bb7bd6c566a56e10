"""How hair moves along the track of the head, as joint training and the avatar's films have it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headcast.avatar.canonical import CanonicalHead, skull_track
from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.dynamics import StrandDynamics, search, simulate
from headcast.avatar.leaning import Leaning
from headcast.training.samples import Views, pick

ROUNDS, FACTOR = 2, 2.5
"""How stiffness, damping and so on are searched for: in rounds of steps by a factor, smaller by its root in each."""


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


def stiff() -> StrandDynamics:
    """Hair that swings little, as long as nothing is known: a wrong swing costs more in a picture than none."""
    return StrandDynamics(stiffness=5000.0, exponent=1.0, damping=25.0, weight=0.5)


class HairMotion(nn.Module):
    """The motion of hair against the skull while it is being learned.

    ``lag`` F S P 3 (m, skull frame) is what inertia and weight do in every frame to the strands ``swung``, as the ``dynamics`` are:
    constant for the optimiser, renewed by ``learn``. How far hair leans, where it may, is trainable; both add up.
    """

    swung: Float[Tensor, "S P 3"]
    lag: Float[Tensor, "F S P 3"]

    def __init__(
        self,
        views: Views,
        canonical: CanonicalHead,
        points: Float[Tensor, "S P 3"],
        dynamics: StrandDynamics,
        inside: SignedDistanceGrid | None,
        leans: bool,
    ) -> None:
        """Hair that rests at ``points`` (m, skull frame); if it ``leans``, then as far as the head turns in frames of ``views``."""
        super().__init__()
        self._views, self._inside = views, inside
        rotations = skull_track(views.parameters)[0].to(points)
        self.dynamics, self.leaning = dynamics.to(points.device).changed({}, None), None
        if leans:
            seen = rotations[torch.unique(views.frame).to(points.device)]
            self.leaning = Leaning.for_track(points[:, 0], canonical.reference_rotation, seen)
            self.turns, self.blend = self.leaning.turns(rotations), self.leaning.blend(points[:, 0])
        self.register_buffer("swung", points.clone())
        self.register_buffer("lag", sway(views, self.swung, self.dynamics, inside), persistent=False)

    def forward(self, frame: int | Tensor) -> Float[Tensor, "S P 3"]:
        """Displacement (m, skull frame) of the strands in a frame."""
        lag = pick(self.lag, frame)
        if self.leaning is None:
            return lag
        leant: Tensor = self.leaning(self.blend, self.swung.shape[1], pick(self.turns, frame))
        return lag + leant

    @torch.no_grad()
    def renew(self, dynamics: StrandDynamics | None = None) -> None:
        """The lag of ``dynamics``, its own by default, in place: a recorded step goes on reading there."""
        self.lag.copy_(sway(self._views, self.swung, dynamics or self.dynamics, self._inside))

    @torch.no_grad()
    def learn(self, points: Float[Tensor, "S P 3"], score: Callable[[], float]) -> None:
        """Take the dynamics of strands that now rest at ``points`` with which ``score`` is lowest."""
        self.swung.copy_(points)

        def trial(dynamics: StrandDynamics) -> float:
            self.renew(dynamics)
            return score()

        self.dynamics.load_state_dict(search(trial, self.dynamics, ROUNDS, FACTOR)[0].state_dict())
        self.renew()

    def learned(self) -> StrandDynamics:
        """The dynamics of the finished hair."""
        return self.dynamics.changed({}, self.leaning)
