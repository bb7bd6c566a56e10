"""Hair at rest as training starts with it: strands of equally many points, each rooted in the scalp, outside the head.

Whatever the strands come from (grown through pictures, read from a file), they become a groom in the same three steps: points at
equal arc length (`resample`), roots on the scalp (`rooted`), everything outside the head (`cleared`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor
from torch.nn import functional

from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.errors import CaptureError
from headcast.geometry.meshes import at_barycentric, closest_point, sample_surface

DEEPEST = 0.002
"""No point of a groom lies deeper in the head than this (m)."""
CLEARING_ROUNDS = 8
FADE = 0.05
"""Arc length (m) along which a strand's points follow less and less where its root is moved to."""
PADDED_AT_ONCE = 4096
SEAT_ROUNDS = 20
SEAT_SAMPLES = 4000


@dataclass(frozen=True)
class Groom:
    """Strands in the skull's frame (m), root first; ``face`` and ``barycentric`` place roots on the fitted head's canonical mesh.

    ``color`` is sRGB-encoded in [0, 1], ``width`` the standard deviation of every strand across (m).
    """

    points: Float[Tensor, "S P 3"]
    face: Int64[Tensor, "S"]
    barycentric: Float[Tensor, "S 3"]
    color: Float[Tensor, "S 3"]
    width: float

    @property
    def roots(self) -> Float[Tensor, "S 3"]:
        """Where the strands leave the scalp (m)."""
        return self.points[:, 0]


class Curves(NamedTuple):
    """Strands of any number of points, one after another, root first: all ``points`` N 3 and how many each strand has."""

    points: Float[np.ndarray, "N 3"]
    counts: Int[np.ndarray, "S"]


class Surface(NamedTuple):
    """The outer voxels of the carved hair (m, skull frame), the line of the field in each (unit) and the trust in it, in [0, 1]."""

    points: Float[Tensor, "n 3"]
    directions: Float[Tensor, "n 3"]
    confidence: Float[Tensor, "n"]


class Rooted(NamedTuple):
    """Strands whose roots lie on the scalp, the triangles that hold them, and which of the given strands these are."""

    strands: Float[Tensor, "n P 3"]
    face: Int64[Tensor, "n"]
    barycentric: Float[Tensor, "n 3"]
    kept: Bool[Tensor, "S"]


def resample(paths: Float[Tensor, "n M 3"], count: int) -> Float[Tensor, "n P 3"]:
    """``count`` points at equal arc length along each path, ends included; repeated points at the end do not matter."""
    steps = (paths[:, 1:] - paths[:, :-1]).norm(dim=-1)
    arc = functional.pad(steps.cumsum(1), (1, 0))
    share = torch.linspace(0, 1, count, device=paths.device, dtype=paths.dtype)
    wanted = (arc[:, -1:] * share).contiguous()
    after = torch.searchsorted(arc.contiguous(), wanted).clamp(1, arc.shape[1] - 1)
    low, high = torch.gather(arc, 1, after - 1), torch.gather(arc, 1, after)
    weight = ((wanted - low) / (high - low).clamp_min(1e-9)).clamp(0, 1)[..., None]
    pick = after[..., None].expand(-1, -1, 3)
    return (1 - weight) * torch.gather(paths, 1, pick - 1) + weight * torch.gather(paths, 1, pick)


def resample_curves(curves: Curves, count: int) -> Float[Tensor, "S P 3"]:
    """``count`` points at equal arc length along every curve of at least two points (float32)."""
    ends = np.cumsum(curves.counts)
    parts = []
    for first in range(0, len(ends), PADDED_AT_ONCE):
        counts = curves.counts[first : first + PADDED_AT_ONCE]
        begin = ends[first : first + PADDED_AT_ONCE] - counts
        place = np.minimum(np.arange(max(int(counts.max()), 2)), counts[:, None] - 1)
        padded = torch.from_numpy(curves.points[begin[:, None] + place].astype(np.float64))
        parts.append(resample(padded, count).float())
    return torch.cat(parts) if parts else torch.zeros(0, count, 3)


def strand_lengths(strands: Float[Tensor, "n P 3"]) -> Float[Tensor, "n"]:
    """The arc length of each strand (m)."""
    return (strands[:, 1:] - strands[:, :-1]).norm(dim=-1).sum(-1)


def scalp_faces(faces: Int[Tensor, "T 3"], scalp: Float[Tensor, "V"]) -> Int64[Tensor, "n"]:
    """The triangles all of whose corners are scalp (weight > 0.5); CaptureError when there is none."""
    found = torch.nonzero((scalp[faces] > 0.5).all(-1))[:, 0]
    if len(found) == 0:
        raise CaptureError("hair growth", "the head model has no scalp", "use a head model with scalp weights")
    return found


def rooted(
    strands: Float[Tensor, "S P 3"],
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "T 3"],
    scalp: Float[Tensor, "V"],
    reach: float,
) -> Rooted:
    """Strands moved so that each begins at the nearest point of the scalp; those that begin further from it than ``reach`` (m) go.

    The root moves whole, what follows less and less over an arc length of `FADE`: a groom made for a slightly other head keeps its
    outer shape.
    """
    chosen = scalp_faces(faces, scalp)
    face, barycentric, distance = closest_point(strands[:, 0].contiguous(), vertices, faces[chosen])
    kept = distance <= reach
    strands, face, barycentric = strands[kept], chosen[face[kept]], barycentric[kept]
    offset = at_barycentric(vertices.to(strands), faces, face, barycentric) - strands[:, 0]
    arc = functional.pad((strands[:, 1:] - strands[:, :-1]).norm(dim=-1).cumsum(1), (1, 0))
    return Rooted(strands + (1 - arc / FADE).clamp_min(0)[..., None] * offset[:, None], face, barycentric, kept)


def cleared(
    strands: Float[Tensor, "S P 3"], head: SignedDistanceGrid, clearance: float
) -> tuple[Float[Tensor, "n P 3"], Bool[Tensor, "S"]]:
    """Strands pushed out of the head to about ``clearance`` (m), and which of the given ones these are; roots stay where they are.

    A strand of which a point is still deeper than `DEEPEST` afterwards goes.
    """
    pushed = strands.clone()
    pushed[:, 1:] = head.push_out(pushed[:, 1:], clearance, CLEARING_ROUNDS)
    kept = (head(pushed) >= -DEEPEST).all(-1)
    return pushed[kept], kept


def seated(
    roots: Float[Tensor, "S 3"], vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"], scalp: Float[Tensor, "V"]
) -> Float[Tensor, "3"]:
    """The shift (m) that brings roots of a foreign frame, with the same axes and scale, onto the scalp.

    From the middle of the scalp by iterated closest points (Besl and McKay 1992) with the median instead of the mean, so that
    strands rooted elsewhere (beard, brows) have no say.
    """
    on_scalp = faces[scalp_faces(faces, scalp)]
    generator = torch.Generator(device="cpu").manual_seed(0)
    middle = sample_surface(vertices.cpu(), on_scalp.cpu(), SEAT_SAMPLES, generator)[0].to(roots).median(0).values
    some = roots[torch.linspace(0, len(roots) - 1, min(len(roots), SEAT_SAMPLES)).long()]
    shift = middle - some.median(0).values
    for _ in range(SEAT_ROUNDS):
        face, barycentric, _ = closest_point(some + shift, vertices, on_scalp)
        shift = shift + (at_barycentric(vertices, on_scalp, face, barycentric) - some - shift).median(0).values
    return shift
