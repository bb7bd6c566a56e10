"""Hair in motion: every strand lags behind the skull like a damped pendulum, keeps its length and stays outside the head.

The groom (strands at rest in the skull frame) is the equilibrium. A point at arc length s from its root is pulled to its place in
the groom with the stiffness k (0.1 m / s)^e, damped relative to the skull and to the air, and feels the change of gravity when the
head tilts. Implicit Euler in short substeps is stable for any frame rate; lengths and collisions are then projected as in
position-based dynamics (Müller et al., 2007). The result depends on the history of the motion (velocities), not on the place.
The groom itself may lean with the turn of the head (`headcast.avatar.leaning`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.leaning import Leaning
from headcast.avatar.strands import skull_to_world
from headcast.errors import CaptureError
from headcast.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from headcast.rendering.replay import Replay

GRAVITY = 9.81
REFERENCE_LENGTH = 0.1
SHORTEST_ARC = 0.002
SUBSTEP = 1 / 120
LONGEST_GAP = 0.5
"""A pause in the track longer than this (s) is simulated as this long: the hair has come to rest by then."""
CLEARANCE = 0.0008


class StrandDynamics(nn.Module):
    """How the hair of one subject moves: five learnable scalars, kept as logarithms (but the exponent) so that they stay positive.

    ``stiffness`` (1/s²) at 10 cm from the root, ``exponent`` of its fall along the strand, ``damping`` (1/s) relative to the skull,
    ``drag`` (1/s) relative to still air, ``weight`` the share of gravity that pulls when the head tilts. ``leaning`` may be absent.
    """

    def __init__(
        self,
        stiffness: float = 600.0,
        exponent: float = 0.7,
        damping: float = 20.0,
        drag: float = 0.5,
        weight: float = 0.25,
        leaning: Leaning | None = None,
    ) -> None:
        """Start from physical values; all must be positive."""
        super().__init__()
        self.log_stiffness = nn.Parameter(torch.tensor(float(stiffness)).log())
        self.log_damping = nn.Parameter(torch.tensor(float(damping)).log())
        self.log_drag = nn.Parameter(torch.tensor(float(drag)).log())
        self.log_weight = nn.Parameter(torch.tensor(float(weight)).log())
        self.exponent = nn.Parameter(torch.tensor(float(exponent)))
        self.leaning = leaning

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> StrandDynamics:
        """Rebuild from a ``state_dict``, with the leaning that it may hold."""
        prefix = "leaning."
        parts = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        dynamics = cls(leaning=Leaning.from_state(parts) if parts else None)
        dynamics.load_state_dict(dict(state))
        return dynamics

    def values(self) -> dict[str, float]:
        """The physical values by name."""
        logs = {
            name.removeprefix("log_"): float(value.detach().exp()) for name, value in self.scalars().items() if name != "exponent"
        }
        return {**logs, "exponent": float(self.exponent.detach())}

    def scalars(self) -> dict[str, nn.Parameter]:
        """The five parameters as they are kept."""
        return dict(self.named_parameters(recurse=False))

    def changed(self, changes: Mapping[str, float], leaning: Leaning | None) -> StrandDynamics:
        """A copy with another leaning, whose kept scalars are larger by ``changes``."""
        copy = StrandDynamics(leaning=leaning).to(self.log_stiffness.device)
        with torch.no_grad():
            for name, value in copy.scalars().items():
                value.copy_(self.scalars()[name] + changes.get(name, 0.0))
        return copy

    def stiffness_at(self, arc: Float[Tensor, "S P"]) -> Float[Tensor, "S P"]:
        """The pull towards the groom (1/s²) at arc lengths (m) from the root."""
        return self.log_stiffness.exp() * (REFERENCE_LENGTH / arc.clamp_min(SHORTEST_ARC)) ** self.exponent


class Pose(NamedTuple):
    """Where the skull is: x_world = rotation x + translation (m), at ``time`` (s)."""

    rotation: Float[Tensor, "3 3"]
    translation: Float[Tensor, "3"]
    time: float


class Simulation:
    """Hair that follows a skull frame by frame; ``step`` takes any frame rate and needs no reset."""

    def __init__(
        self, strands: Float[Tensor, "S P 3"], dynamics: StrandDynamics, start: Pose, head: SignedDistanceGrid | None = None
    ) -> None:
        """Start at rest in the groom ``strands`` (m, skull frame) at the pose ``start``; gravity is in balance there."""
        self.strands, self.dynamics, self.head, self.pose = strands, dynamics, head, start
        self.blend = None if dynamics.leaning is None else dynamics.leaning.blend(strands[:, 0])
        self.points = skull_to_world(self.groom(start.rotation), start.rotation, start.translation)
        self.goal, self.velocities = self.points, torch.zeros_like(self.points)
        self.lengths = (strands[:, 1:] - strands[:, :-1]).norm(dim=-1, keepdim=True)
        self.stiffness = dynamics.stiffness_at(functional.pad(self.lengths[..., 0].cumsum(1), (1, 0)))[..., None]
        self.down = torch.tensor((0.0, -1.0, 0.0)).to(strands)
        self.down_at_rest = self.down @ start.rotation
        self._recorded: Replay | None = None
        self.clearance = None if head is None else head(strands).clamp_max(CLEARANCE).detach()

    def groom(self, rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "S P 3"]:
        """Where the strands come to rest (m, skull frame) while the skull is turned so."""
        leaning = self.dynamics.leaning
        if leaning is None or self.blend is None:
            return self.strands
        return self.strands + leaning(self.blend, self.strands.shape[1], leaning.turns(rotation))

    def step(self, pose: Pose) -> Float[Tensor, "S P 3"]:
        """World points (m) at the next pose; CaptureError if time runs backwards."""
        gap = pose.time - self.pose.time
        if not gap >= 0:
            raise CaptureError("hair dynamics", f"time goes from {self.pose.time} s to {pose.time} s", "sort the frames by time")
        before, self.pose = self.pose, pose
        if gap > 0:
            count = max(1, round(min(gap, LONGEST_GAP) / SUBSTEP))
            shares = torch.arange(1, count + 1, device=self.points.device)[:, None] / count
            turn = matrix_to_axis_angle(pose.rotation @ before.rotation.T)
            rotations = axis_angle_to_matrix(shares * turn) @ before.rotation
            translations = torch.lerp(before.translation, pose.translation, shares)
            duration = torch.tensor(min(gap, LONGEST_GAP) / count).to(self.points)
            state: Sequence[Tensor] = (self.points, self.velocities, self.goal)
            for rotation, translation in zip(rotations, translations, strict=True):
                state = self._substep(*state, rotation, translation, duration)
            self.points, self.velocities, self.goal = state if self._recorded is None else (part.clone() for part in state)
        return self.points

    def _substep(self, *inputs: Tensor) -> Sequence[Tensor]:
        """``_advanced``, on a GPU recorded once and replayed where no gradient is asked for."""
        if self.points.device.type != "cuda" or torch.is_grad_enabled():
            return self._advanced(*inputs)
        if self._recorded is None:
            self._recorded = Replay(self._advanced, [inputs])
        return self._recorded(*inputs)

    def _advanced(
        self,
        points: Float[Tensor, "S P 3"],
        velocities: Float[Tensor, "S P 3"],
        before: Float[Tensor, "S P 3"],
        rotation: Float[Tensor, "3 3"],
        translation: Float[Tensor, "3"],
        duration: Float[Tensor, ""],
    ) -> tuple[Float[Tensor, "S P 3"], Float[Tensor, "S P 3"], Float[Tensor, "S P 3"]]:
        """Points, velocities and goal a substep later, when the skull is there; the goal was ``before``."""
        goal = skull_to_world(self.groom(rotation), rotation, translation)
        goal_velocity = (goal - before) / duration
        hair = self.dynamics
        damping, drag, weight = hair.log_damping.exp(), hair.log_drag.exp(), hair.log_weight.exp()
        tilt = GRAVITY * weight * (self.down - rotation @ self.down_at_rest)
        force = self.stiffness * (goal - points) + damping * goal_velocity + tilt
        inertia = 1 + duration * (damping + drag) + duration**2 * self.stiffness
        moved = points + duration * (velocities + duration * force) / inertia
        moved = self._outside(self._at_length(moved, goal[:, :1]), rotation, translation)
        return moved, (moved - points) / duration, goal

    def _at_length(self, points: Float[Tensor, "S P 3"], roots: Float[Tensor, "S 1 3"]) -> Float[Tensor, "S P 3"]:
        """The strands with the same directions but their rest lengths, from the roots on."""
        directions = functional.normalize(torch.cat((points[:, 1:2] - roots, points[:, 2:] - points[:, 1:-1]), dim=1), dim=-1)
        return torch.cat((roots, roots + (self.lengths * directions).cumsum(1)), dim=1)

    def _outside(
        self, points: Float[Tensor, "S P 3"], rotation: Float[Tensor, "3 3"], translation: Float[Tensor, "3"]
    ) -> Float[Tensor, "S P 3"]:
        """Points pushed out of the head, as far as the groom itself is."""
        if self.head is None or self.clearance is None:
            return points
        local = (points - translation) @ rotation
        depth = torch.relu(self.clearance - self.head(local))
        return points + (depth[..., None] * self.head.gradient(local).detach()) @ rotation.T


def simulate(
    strands: Float[Tensor, "S P 3"],
    rotations: Float[Tensor, "F 3 3"],
    translations: Float[Tensor, "F 3"],
    times: Float[Tensor, "F"],
    dynamics: StrandDynamics | None,
    head: SignedDistanceGrid | None = None,
) -> Float[Tensor, "F S P 3"]:
    """World points (m) of the groom ``strands`` (skull frame) along a head track, ``times`` in seconds, ascending.

    Without ``dynamics`` the hair is rigid with the skull. Differentiable in strands, track and dynamics.
    """
    if dynamics is None:
        return torch.einsum("fij,spj->fspi", rotations, strands) + translations[:, None, None]
    poses = [Pose(r, t, float(time)) for r, t, time in zip(rotations, translations, times, strict=True)]
    simulation = Simulation(strands, dynamics, poses[0], head)
    return torch.stack([simulation.points, *(simulation.step(pose) for pose in poses[1:])])


def search(
    score: Callable[[StrandDynamics], float], start: StrandDynamics, rounds: int = 3, factor: float = 2.0
) -> tuple[StrandDynamics, float]:
    """The dynamics with the lowest score by coordinate search on the logarithms, halving the step each round; deterministic.

    For scores without a gradient, such as the overlap of rendered and observed hair masks.
    """
    best = start.changed({}, start.leaning)
    lowest, step = score(best), float(torch.tensor(factor).log())
    for _ in range(rounds):
        for name in start.scalars():
            for change in (step, -step):
                trial = best.changed({name: change}, start.leaning)
                value = score(trial)
                if value < lowest:
                    best, lowest = trial, value
                    break
        step *= 0.5
    return best, lowest
