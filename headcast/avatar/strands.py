"""Hair as strands: polylines rooted on the scalp, one anisotropic Gaussian a segment.

Points live in the canonical skull frame (metres); the hair of a frame is these points placed by the skull
(`skull_to_world`) or moved by `headcast.avatar.dynamics`. Following the strand-aligned Gaussians of GaussianHaircut
(Zakharov et al., ECCV 2024): midpoint of the segment, half its length along, one shared width across.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headcast.avatar.children import Children, childless
from headcast.errors import BadFile
from headcast.rendering.splat import Gaussians

RGB = slice(0, 3)
LABELS = slice(3, 5)
DIRECTION = slice(5, 8)
DETAIL = slice(8, None)
HEAD_LABEL, HAIR_LABEL = (1.0, 0.0), (0.0, 1.0)
"""What the label channels hold: (share of head, share of hair)."""

DEFAULT_WIDTH = 3e-4
DEFAULT_OPACITY = 0.8
DEFAULT_TAPER = 0.2
SHORTEST_SEGMENT = 1e-6
SH_C1 = 0.4886025119029199
"""Real spherical harmonics of degree 1: sqrt(3 / 4 pi)."""


@lru_cache(maxsize=32)
def _kept(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)


def constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """A small constant where ``like`` is; sent to a device once."""
    return _kept(values, like.dtype, like.device)


class Segments(NamedTuple):
    """The straight pieces between neighbouring points, strand by strand."""

    means: Float[Tensor, "S Q 3"]
    directions: Float[Tensor, "S Q 3"]
    lengths: Float[Tensor, "S Q"]


def segments(points: Float[Tensor, "S P 3"]) -> Segments:
    """Midpoints, unit directions (root to tip) and lengths (m) of the Q = P − 1 segments; no segment has length zero."""
    steps = points[:, 1:] - points[:, :-1]
    lengths = (steps.square().sum(-1) + SHORTEST_SEGMENT**2).sqrt()
    return Segments((points[:, 1:] + points[:, :-1]) / 2, steps / lengths[..., None], lengths)


def axial_quaternions(directions: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 4"]:
    """Quaternions, of any length, that turn the x axis onto each unit direction or its opposite, whichever is nearer.

    A strand is equally wide in all directions across, so neither twist nor sense can be seen. They are at least 1 long.
    """
    x, y, z = torch.where(directions[..., :1] < 0, -directions, directions).unbind(-1)
    return torch.stack((1 + x, torch.zeros_like(x), -z, y), dim=-1)


def skull_to_world(
    points: Float[Tensor, "*n 3"], rotation: Float[Tensor, "3 3"], translation: Float[Tensor, "3"]
) -> Float[Tensor, "*n 3"]:
    """Place canonical points (m): x_world = R x + t; hair without dynamics is rigid with the skull."""
    return points @ rotation.transpose(-1, -2) + translation


def projected_orientation(
    directions: Float[Tensor, "*n 3"], means: Float[Tensor, "*n 3"], world_to_camera: Float[Tensor, "4 4"]
) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"]]:
    """cos 2a and sin 2a of the image direction of world ``directions`` at world ``means``.

    a is our undirected angle: image direction (x right, y down) = ±(sin a, cos a), square pixels assumed. The pair has length 1 but
    fades to 0 where the direction points at the camera, so that blended pairs weigh what can be seen.
    """
    rotation, translation = world_to_camera[:3, :3], world_to_camera[:3, 3]
    point = means @ rotation.T + translation
    along = directions @ rotation.T
    ray = point[..., :2] / point[..., 2:].clamp_min(1e-6)
    u, v = (along[..., :2] - ray * along[..., 2:]).unbind(-1)
    norm = u.square() + v.square() + 1e-6
    return (v.square() - u.square()) / norm, 2 * u * v / norm


class StrandHair(nn.Module):
    """Hair of one subject, in the canonical skull frame.

    Trainable: ``free_points`` (all but the roots), ``log_width`` (log of the shared standard deviation across, m), ``color`` and
    ``color_gradient`` (sRGB-encoded at mid-strand and change from root to tip), ``color_sh`` (degree 1 over the viewing direction),
    ``logit_opacities``, ``logit_taper`` (share of the opacity that is lost from root to tip) and ``detail``, what each strand tells
    super-resolution (no channels without it).
    Fixed: ``roots``, ``anchors`` (the points the strands were initialised with), ``rest_lengths`` (m), and which strands each of
    the C ``children`` lies between.
    """

    roots: Float[Tensor, "S 3"]
    anchors: Float[Tensor, "S P 3"]
    rest_lengths: Float[Tensor, "S Q"]
    child_guide: Int[Tensor, "C 3"]
    child_share: Float[Tensor, "C 3"]

    def __init__(
        self,
        points: Float[Tensor, "S P 3"],
        color: Float[Tensor, "3"] | Float[Tensor, "S 3"],
        width: float = DEFAULT_WIDTH,
        opacity: float = DEFAULT_OPACITY,
        detail: int = 0,
        children: Children | None = None,
    ) -> None:
        """Start from grown strands (m, skull frame, root first), their sRGB-encoded colour in [0, 1] and width (m).

        ``detail`` channels start at zero; ``children`` are rendered between the strands.
        """
        super().__init__()
        points = points.detach().to(torch.float32).clone()
        count = points.shape[0]
        self.register_buffer("roots", points[:, 0].clone())
        self.register_buffer("anchors", points.clone())
        self.register_buffer("rest_lengths", segments(points).lengths)
        self.free_points = nn.Parameter(points[:, 1:].clone())
        self.log_width = nn.Parameter(torch.tensor(width).log().to(points))
        self.color = nn.Parameter(color.detach().to(points).expand(count, 3).clone())
        self.color_gradient = nn.Parameter(torch.zeros(count, 3).to(points))
        self.color_sh = nn.Parameter(torch.zeros(count, 3, 3).to(points))
        self.logit_opacities = nn.Parameter(torch.full((count,), opacity).logit().to(points))
        self.logit_taper = nn.Parameter(torch.tensor(DEFAULT_TAPER).logit().to(points))
        self.detail = nn.Parameter(torch.zeros(count, detail).to(points))
        children = childless(points) if children is None else children
        self.register_buffer("child_guide", children.guide.to(points.device))
        self.register_buffer("child_share", children.share.to(points))

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> StrandHair:
        """Rebuild the hair that wrote this ``state_dict``; raises BadFile when strands and state disagree."""
        needed = {"anchors", "detail", "child_guide", "child_share"}
        if not needed <= set(state) or state["anchors"].ndim != 3 or state["anchors"].shape[-1] != 3:
            raise BadFile("strand hair", "the state holds no anchors of shape S × P × 3", "train or grow the hair again")
        children = Children(state["child_guide"], state["child_share"])
        hair = cls(state["anchors"], torch.zeros(3), detail=state["detail"].shape[1], children=children)
        try:
            hair.load_state_dict(state)
        except RuntimeError as error:
            raise BadFile("strand hair", f"the state does not fit its own strands: {error}") from error
        return hair

    @property
    def points(self) -> Float[Tensor, "S P 3"]:
        """All points in the skull frame (m), root first."""
        return torch.cat((self.roots[:, None], self.free_points), dim=1)

    @property
    def interpolated(self) -> Children:
        """What is rendered between the strands."""
        return Children(self.child_guide, self.child_share)

    @property
    def width(self) -> Float[Tensor, ""]:
        """The standard deviation of every strand across (m)."""
        return self.log_width.exp()

    def opacities(self) -> Float[Tensor, "n Q"]:
        """Opacity of each segment: the strand's own, fading towards the tip; children last."""
        own = self.interpolated.with_guides(self.logit_opacities).sigmoid()
        return own[:, None] * (1 - self.logit_taper.sigmoid() * self._fraction().square())

    def colors(self, means: Float[Tensor, "n Q 3"], camera_center: Float[Tensor, "3"] | None = None) -> Float[Tensor, "n Q 3"]:
        """sRGB-encoded colour of each segment as seen from ``camera_center`` (world, m); without it the mean over directions."""
        color, gradient = (self.interpolated.with_guides(values) for values in (self.color, self.color_gradient))
        along = color[:, None] + gradient[:, None] * (self._fraction() - 0.5)[:, None]
        if camera_center is None:
            return along
        view = torch.nn.functional.normalize(means - camera_center, dim=-1)
        return along + SH_C1 * torch.einsum("sqd,sdc->sqc", view, self.interpolated.with_guides(self.color_sh))

    def gaussians(self, points_world: Float[Tensor, "S P 3"], camera_center: Float[Tensor, "3"] | None = None) -> Gaussians:
        """The N = (S + C) (P − 1) Gaussians of these world points (m) and of the children between them, strand by strand.

        ``features`` are RGB (sRGB-encoded), the labels (head 0, hair 1), the segment's world direction and ``detail``; see the
        slices RGB, LABELS, DIRECTION, DETAIL and `screen_features`.
        """
        piece = segments(self.interpolated.with_guides(points_world))
        across = self.width.expand_as(piece.lengths)
        colors = self.colors(piece.means, camera_center)
        labels = constant(HAIR_LABEL, colors).expand(*colors.shape[:2], 2)
        detail = self.interpolated.with_guides(self.detail)[:, None].expand(*colors.shape[:2], -1)
        return Gaussians(
            means=piece.means.flatten(0, 1),
            quats=axial_quaternions(piece.directions).flatten(0, 1),
            scales=torch.stack((piece.lengths / 2, across, across), dim=-1).flatten(0, 1),
            opacities=self.opacities().flatten(),
            features=torch.cat((colors, labels, piece.directions, detail), dim=-1).flatten(0, 1),
        )

    def _fraction(self) -> Float[Tensor, "Q"]:
        count = self.free_points.shape[1]
        return (torch.arange(count, device=self.roots.device, dtype=self.roots.dtype) + 0.5) / count


def screen_features(gaussians: Gaussians, world_to_camera: Float[Tensor, "4 4"]) -> Float[Tensor, "N C"]:
    """What to splat for one camera: RGB, labels (head, hair), cos 2a, sin 2a (undirected: blending is a mean of lines), detail."""
    pair = projected_orientation(gaussians.features[:, DIRECTION], gaussians.means, world_to_camera)
    return torch.cat((gaussians.features[:, : LABELS.stop], torch.stack(pair, dim=-1), gaussians.features[:, DETAIL]), dim=-1)
