"""Strands between strands: many are rendered, few are optimised and simulated.

A child is a fixed mean of three guides with neighbouring roots that run alike, points, colours and all, as interpolated hair is in
film production (Chang et al., SCA 2002). It moves as they do, and its gradients become theirs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from headcast.geometry.neighbours import nearest

NEIGHBOURS = 9
ALIKE = 0.015
"""Guides whose points lie further apart in the mean (m) have no common children: a parting stays one."""


class Children(NamedTuple):
    """The guides of each child, and their shares, which sum to one."""

    guide: Int64[Tensor, "C 3"]
    share: Float[Tensor, "C 3"]

    def with_guides(self, values: Float[Tensor, "S *c"]) -> Float[Tensor, "n *c"]:
        """Values of the S guides followed by those of the C children."""
        if not len(self.guide):
            return values
        return torch.cat((values, torch.einsum("ck,ck...->c...", self.share, values[self.guide])))

    def kept(self, guides: Int64[Tensor, "n"], count: int) -> Children:
        """The children all of whose guides are among ``guides`` of ``count``, with the numbers that these have then."""
        place = torch.full((count,), -1, dtype=torch.int64, device=self.guide.device)
        place[guides] = torch.arange(len(guides), device=self.guide.device)
        guide = place[self.guide]
        whole = (guide >= 0).all(1)
        return Children(guide[whole], self.share[whole])


def childless(like: Tensor) -> Children:
    """Guides alone."""
    return Children(torch.zeros(0, 3, dtype=torch.int64, device=like.device), like.new_zeros(0, 3))


def between(strands: Float[Tensor, "S P 3"], each: int, generator: torch.Generator) -> Children:
    """``each`` children around every strand (m), between it and two random ones of its neighbours that run alike."""
    count = min(NEIGHBOURS, len(strands))
    _, near = nearest(strands[:, 0], strands[:, 0], count)
    apart = torch.stack([(strands[near[:, k]] - strands).norm(dim=-1).mean(1) for k in range(count)], dim=1)
    itself = near == torch.arange(len(strands), device=near.device)[:, None]
    usable = ((apart < ALIKE) & ~itself).repeat_interleave(each, dim=0)
    order = torch.rand(usable.shape, generator=generator).to(strands).masked_fill(~usable, 2.0)
    own = torch.arange(len(strands), device=near.device).repeat_interleave(each)
    rank, column = order.topk(min(2, count), dim=1, largest=False)
    other = torch.where(rank < 2.0, near.repeat_interleave(each, dim=0).gather(1, column), own[:, None])
    weight = -torch.log(torch.rand(len(own), 3, generator=generator).clamp_min(1e-6)).to(strands)
    guide = torch.cat((own[:, None], other.expand(-1, 2)), dim=1)
    return Children(guide, weight / weight.sum(1, keepdim=True))
