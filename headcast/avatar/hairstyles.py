"""Hair as a layer that can be changed: another colour, fewer or longer strands, or the hair of another avatar on this scalp."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from headcast.avatar.avatar import Avatar
from headcast.avatar.canonical import CanonicalHead
from headcast.avatar.groom import cleared, rooted, scalp_faces
from headcast.avatar.strands import StrandHair
from headcast.errors import CaptureError, HeadcastError
from headcast.geometry.meshes import sample_surface

REACH = 0.03
"""How far (m) a strand of another head may begin from this scalp, once that head's scalp has the place and the size of this one."""
CLEARANCE = 8e-4
SAMPLES = 4000
PER_STRAND = ("color", "color_gradient", "color_sh", "logit_opacities", "detail")


def recolored(hair: StrandHair, color: Float[Tensor, "3"]) -> StrandHair:
    """The same strands with ``color`` (sRGB-encoded, in [0, 1]) as their mean; how strands differ from each other stays."""
    changed = chosen(hair, torch.arange(len(hair.roots)))
    with torch.no_grad():
        changed.color.copy_((hair.color - hair.color.mean(0) + color.to(hair.color)).clamp(0, 1))
    return changed


def thinned(hair: StrandHair, share: float, seed: int = 0) -> StrandHair:
    """A random ``share`` of the strands, in (0, 1], one at least."""
    if not 0 < share <= 1:
        raise HeadcastError("thinned hair", f"keeps a share of {share}", "choose one in (0, 1]")
    count = max(1, round(share * len(hair.roots)))
    order = torch.randperm(len(hair.roots), generator=torch.Generator().manual_seed(seed))
    return chosen(hair, order[:count].sort().values)


def lengthened(hair: StrandHair, factor: float) -> StrandHair:
    """Strands ``factor`` times as long: every segment grows in its direction, roots stay."""
    if not factor > 0:
        raise HeadcastError("lengthened hair", f"is {factor} times as long", "choose a factor above 0")
    points = hair.points.detach()
    steps = factor * (points[:, 1:] - points[:, :-1])
    longer = torch.cat((points[:, :1], points[:, :1] + steps.cumsum(1)), dim=1)
    return with_points(hair, longer, torch.arange(len(points)))


def with_hair_of(avatar: Avatar, other: Avatar) -> Avatar:
    """``avatar`` with the hair of ``other``, its colours and its swing, re-rooted on this scalp.

    The other scalp's centre and size are brought onto this one's, roots to its nearest points, strands out of this head. What
    begins too far away or cannot be freed is left out; ``CaptureError`` when that is all, ``HeadcastError`` when there is no hair.
    What the strands told the other avatar's super-resolution means nothing to this one's.
    """
    if other.hair is None:
        raise HeadcastError("hair swap", "the other avatar has no hair", "choose one that was trained with hair")
    canonical, hair = avatar.canonical, other.hair.to(avatar.device)
    (center, size), (center_there, size_there) = (scalp_place(head.canonical) for head in (avatar, other))
    scale = size / size_there
    points = (hair.points.detach() - center_there.to(hair.points)) * scale + center.to(hair.points)
    found = rooted(points, canonical.vertices, canonical.faces, canonical.scalp, REACH)
    inside = avatar.inside or canonical.skull_distance()
    strands, free = cleared(found.strands, inside, CLEARANCE)
    if len(strands) == 0:
        raise CaptureError("hair swap", "no strand of the other avatar finds a root on this scalp", "choose a similar head model")
    numbers = torch.nonzero(found.kept)[:, 0][free]
    swapped = with_points(hair, strands, numbers)
    with torch.no_grad():
        swapped.log_width.add_(scale.log())
        swapped.detail = torch.nn.Parameter(swapped.detail.new_zeros(len(strands), avatar.head.detail.shape[1]))
    dynamics = other.dynamics
    if dynamics is not None and dynamics.leaning is not None:
        dynamics = dynamics.changed({}, dynamics.leaning.scaled(center_there, scale, center))
    return Avatar(
        canonical, avatar.head, avatar.expression_names, swapped, dynamics, inside, avatar.track, dict(avatar.metadata),
        avatar.super_resolution,
    )  # fmt: skip


def scalp_place(canonical: CanonicalHead) -> tuple[Float[Tensor, "3"], Float[Tensor, ""]]:
    """The centre of the scalp (m) and the mean distance from it (m)."""
    faces = canonical.faces[scalp_faces(canonical.faces, canonical.scalp)]
    generator = torch.Generator(device="cpu").manual_seed(0)
    samples = sample_surface(canonical.vertices.cpu(), faces.cpu(), SAMPLES, generator)[0]
    center = samples.mean(0)
    return center, (samples - center).norm(dim=-1).mean()


def chosen(hair: StrandHair, strands: Int64[Tensor, "n"]) -> StrandHair:
    """Some strands with everything that belongs to them."""
    return with_points(hair, hair.points.detach()[strands], strands)


@torch.no_grad()
def with_points(hair: StrandHair, points: Float[Tensor, "n P 3"], strands: Int64[Tensor, "n"]) -> StrandHair:
    """Hair at ``points`` that looks like the given ``strands`` of ``hair``."""
    children = hair.interpolated.kept(strands, len(hair.roots))
    changed = StrandHair(points, hair.color[strands], detail=hair.detail.shape[1], children=children)
    for name in PER_STRAND:
        getattr(changed, name).copy_(getattr(hair, name)[strands])
    for name in ("log_width", "logit_taper"):
        getattr(changed, name).copy_(getattr(hair, name))
    return changed.to(points.device)
