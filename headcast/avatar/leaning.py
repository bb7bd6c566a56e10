"""How hair leans while the head is turned: it slides over shoulders that stay and is pulled aside by its weight.

A strand point moves in the skull's frame by (turn of the skull against its reference) × (slope at its root and height): blend
shapes driven by the pose (Lewis et al., SIGGRAPH 2000; Loper et al., SIGGRAPH Asia 2015), few enough for one short sequence.
No surface of the shoulders is needed, which hair hides and no head model has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from headcast.errors import BadFile
from headcast.geometry.neighbours import farthest_order, nearest
from headcast.geometry.rotations import matrix_to_axis_angle

GUIDES, KNOTS, NEIGHBOURS = 16, 2, 4
MILLIMETRE = 1e-3
LEAST_TURN = 0.02
"""A head that turns less (rad) about an axis tells nothing about how hair leans then."""
SOFTENING = 0.004
"""Added to distances (m) between roots, so that a guide's own root is not everything."""


class Blend(NamedTuple):
    """Which guides move each strand, and their shares, which sum to one."""

    guide: Int64[Tensor, "S k"]
    share: Float[Tensor, "S k"]


class Leaning(nn.Module):
    """Trainable ``slopes`` G K 3 3 (m of displacement per ``usual`` turn about each axis) at ``guides`` (roots, m) and K heights.

    Heights are equally spaced shares of the strand, the last its tip; the root does not move. ``reference`` is the placement
    without leaning, ``usual`` how far the head mostly turned (rad, about each axis), so that all slopes are of a size; turns beyond
    ``reach`` (rad, least and most about each axis) lean as far as these.
    """

    guides: Float[Tensor, "G 3"]
    reference: Float[Tensor, "3 3"]
    reach: Float[Tensor, "2 3"]
    usual: Float[Tensor, "3"]

    def __init__(
        self,
        guides: Float[Tensor, "G 3"],
        reference: Float[Tensor, "3 3"],
        reach: Float[Tensor, "2 3"],
        usual: Float[Tensor, "3"],
        knots: int = KNOTS,
    ) -> None:
        """Hair that does not lean yet."""
        super().__init__()
        self.register_buffer("guides", guides.detach().clone())
        self.register_buffer("reference", reference.detach().clone())
        self.register_buffer("reach", reach.detach().clone())
        self.register_buffer("usual", usual.detach().clone())
        self.slopes = nn.Parameter(torch.zeros(len(guides), knots, 3, 3).to(guides))

    @classmethod
    def for_track(cls, roots: Float[Tensor, "S 3"], reference: Float[Tensor, "3 3"], rotations: Float[Tensor, "F 3 3"]) -> Leaning:
        """Guides far apart among ``roots`` (m); the reach is that of the ``rotations`` to learn from."""
        turns = matrix_to_axis_angle(reference.T @ rotations)
        reach = torch.stack((turns.amin(0), turns.amax(0)))
        usual = turns.std(0, correction=0).clamp_min(LEAST_TURN)
        return cls(roots[farthest_order(roots, GUIDES)], reference, reach, usual)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Leaning:
        """Rebuild from a ``state_dict``; BadFile when it does not fit together."""
        try:
            leaning = cls(state["guides"], state["reference"], state["reach"], state["usual"], state["slopes"].shape[1])
            leaning.load_state_dict(dict(state))
        except (KeyError, IndexError, RuntimeError) as error:
            raise BadFile("hair dynamics", f"the state of the leaning does not fit together: {error}", "train again") from error
        return leaning

    def turns(self, rotations: Float[Tensor, "*f 3 3"]) -> Float[Tensor, "*f 3"]:
        """Turns of the skull against the reference (axis-angle, skull axes), held within the reach, in units of the usual one."""
        return matrix_to_axis_angle(self.reference.T @ rotations).clamp(self.reach[0], self.reach[1]) / self.usual

    def steepness(self) -> Float[Tensor, ""]:
        """Mean squared displacement at the usual turns, mm²."""
        return (self.slopes / MILLIMETRE).square().mean()

    def blend(self, roots: Float[Tensor, "S 3"]) -> Blend:
        """The guides nearest to each root, by inverse squared distance."""
        distance, guide = nearest(roots, self.guides, min(NEIGHBOURS, len(self.guides)))
        share = (distance + SOFTENING) ** -2
        return Blend(guide, share / share.sum(1, keepdim=True))

    def forward(self, blend: Blend, points: int, turn: Float[Tensor, "3"]) -> Float[Tensor, "S P 3"]:
        """Displacement (m, skull frame) of strands of ``points`` points each at a ``turn`` (`turns`)."""
        knots = self.slopes.shape[1]
        height = torch.linspace(0, knots, points, device=turn.device)[:, None]
        hat = torch.relu(1 - (height - torch.arange(1, knots + 1, device=turn.device)).abs())
        moved = torch.einsum("gkij,i->gkj", self.slopes, turn)
        return torch.einsum("sn,snkj,pk->spj", blend.share, moved[blend.guide], hat)

    def scaled(self, center: Float[Tensor, "3"], scale: Float[Tensor, ""], target: Float[Tensor, "3"]) -> Leaning:
        """The same leaning on a head ``scale`` times as large, whose scalp's ``center`` (m) is at ``target``."""
        other = Leaning((self.guides - center) * scale + target, self.reference, self.reach, self.usual, self.slopes.shape[1])
        with torch.no_grad():
            other.slopes.copy_(self.slopes * scale)
        return other
