"""The head as Gaussians: flat discs bound to the surface of the canonical head, with attributes conditioned on expression and pose.

Each Gaussian hangs on one triangle of the canonical head: it takes over the triangle's expression offset and rotation (faded by
``falloff`` with its distance to the surface) and the head weight of its place, so motion extrapolates to codes never seen.
Learned are a bounded offset from the seed, scales, rotation, opacity, colour with a view dependence of degree 1 and a small network
that adds what the blend shapes miss (Gaussian Head Avatar, Xu et al., CVPR 2024, on a surface-bound layout as in GaussianAvatars).
Canonical frame: the skull's, metres.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from headcast.avatar.appearance import ConditionedMLP, view_color
from headcast.avatar.canonical import CanonicalHead
from headcast.avatar.strands import HEAD_LABEL, constant
from headcast.errors import BadFile
from headcast.geometry.rotations import (
    matrix_to_axis_angle,
    matrix_to_quaternion,
    quaternion_multiply,
    quaternion_to_matrix,
    rotation_between,
)
from headcast.rendering.splat import Gaussians

LATENT = 8
SMALLEST, LARGEST = 3e-4, 1.2e-2
"""Guards of the standard deviations (m): no needles, no clouds."""
FARTHEST = 0.03
"""How far (m) an offset can take a Gaussian from its seed."""
VIEW_MOST = 0.2
"""Bound of the colour's coefficients over the viewing direction: from a side that nobody saw, they must not invent a colour."""
OPACITY_LOGITS = (-5.2, 6.0)
"""Bounds of the opacities' logits: no Gaussian so faint that nothing of it is drawn, for it would never learn again."""
FLATNESS = 0.3
START_OPACITY = 0.8
PER_GAUSSIAN = ("offset", "log_scales", "quats", "logit_opacities", "color", "color_sh", "latent", "detail")


class Seeds(NamedTuple):
    """Where Gaussians start, in the skull frame, and whether training views show them well enough to learn from."""

    points: Float[Tensor, "N 3"]
    normals: Float[Tensor, "N 3"]
    spacing: Float[Tensor, "N"]
    colors: Float[Tensor, "N 3"]
    seen: Bool[Tensor, "N"]


class HeadPose(NamedTuple):
    """The state of one frame: ``expression`` code and placement of the skull (x_world = R x + t, m)."""

    expression: Float[Tensor, "E"]
    rotation: Float[Tensor, "3 3"]
    translation: Float[Tensor, "3"]


class Motion(NamedTuple):
    """What a pose does to a head, whatever Gaussians it has: computed once a frame, or for all frames in advance (then stacked).

    ``shift`` of the vertices (m), ``turn`` of the triangles (unit quaternions), ``condition`` of the network (expression, then the
    skull's turn against the reference, rad), ``skull`` and ``placing`` the skull's placement as quaternion and as matrix and m.
    """

    shift: Float[Tensor, "V 3"]
    turn: Float[Tensor, "T 4"]
    condition: Float[Tensor, "C"]
    skull: Float[Tensor, "4"]
    rest: Float[Tensor, "4"]
    rotation: Float[Tensor, "3 3"]
    translation: Float[Tensor, "3"]

    @classmethod
    def of(cls, canonical: CanonicalHead, pose: HeadPose) -> Motion:
        """What ``pose`` does to ``canonical``."""
        moved = canonical.deformed(pose.expression)
        skull, rest = matrix_to_quaternion(pose.rotation), matrix_to_quaternion(canonical.reference_rotation)
        return cls(
            shift=moved - canonical.vertices,
            turn=corner_turns(canonical.vertices[canonical.faces], moved[canonical.faces]),
            condition=torch.cat((pose.expression, matrix_to_axis_angle(canonical.reference_rotation.T @ pose.rotation))),
            skull=torch.where((skull * rest).sum() < 0, -skull, skull),
            rest=rest,
            rotation=pose.rotation,
            translation=pose.translation,
        )

    def turned(self, twist: Float[Tensor, "6"]) -> Motion:
        """The motion of the pose after a small ``twist``: axis-angle (rad, skull axes), then translation (m, world)."""
        turn = small_turn(twist[:3])
        return self._replace(
            skull=quaternion_multiply(self.skull, turn),
            rotation=self.rotation @ quaternion_to_matrix(turn),
            translation=self.translation + twist[3:],
        )


class GaussianHead(nn.Module):
    """N Gaussians of one subject's head and bust in the canonical skull frame.

    Trainable: ``offset`` (m, from ``seed``), ``log_scales``, ``quats`` (canonical frame), ``logit_opacities``, ``color``
    (sRGB-encoded), ``color_sh``, ``latent``, ``detail`` (for super-resolution) and the network ``residual``.
    Fixed: ``seed``, ``seen`` and the binding (``face``,
    ``barycentric``, ``falloff``, ``weight``).
    """

    seed: Float[Tensor, "N 3"]
    face: Int[Tensor, "N"]
    barycentric: Float[Tensor, "N 3"]
    falloff: Float[Tensor, "N"]
    weight: Float[Tensor, "N"]
    seen: Bool[Tensor, "N"]

    def __init__(self, count: int, expressions: int, detail: int = 0) -> None:
        """Room for ``count`` Gaussians driven by ``expressions`` units; see ``from_seeds`` and ``from_state`` to fill it."""
        super().__init__()
        self.register_buffer("seed", torch.zeros(count, 3))
        self.register_buffer("face", torch.zeros(count, dtype=torch.int64))
        self.register_buffer("barycentric", torch.zeros(count, 3))
        self.register_buffer("falloff", torch.zeros(count))
        self.register_buffer("weight", torch.ones(count))
        self.register_buffer("seen", torch.ones(count, dtype=torch.bool))
        self.offset = nn.Parameter(torch.zeros(count, 3))
        self.log_scales = nn.Parameter(torch.zeros(count, 3))
        self.quats = nn.Parameter(torch.zeros(count, 4))
        self.logit_opacities = nn.Parameter(torch.zeros(count))
        self.color = nn.Parameter(torch.zeros(count, 3))
        self.color_sh = nn.Parameter(torch.zeros(count, 3, 3))
        self.latent = nn.Parameter(torch.zeros(count, LATENT))
        self.detail = nn.Parameter(torch.zeros(count, detail))
        self.residual = ConditionedMLP(LATENT, expressions + 3, 6)

    @classmethod
    def from_seeds(cls, seeds: Seeds, canonical: CanonicalHead, generator: torch.Generator, detail: int = 0) -> GaussianHead:
        """Flat discs on the surface, as wide as their spacing, bound to the canonical head; ``detail`` channels start at zero."""
        head = cls(len(seeds.points), canonical.expressions, detail)
        binding = canonical.bind(seeds.points)
        head.seed.copy_(seeds.points)
        head.seen.copy_(seeds.seen)
        head.face.copy_(binding.face)
        head.barycentric.copy_(binding.barycentric)
        head.falloff.copy_(binding.falloff)
        head.weight.copy_(canonical.bound_weight(binding))
        with torch.no_grad():
            width = seeds.spacing.clamp(SMALLEST / FLATNESS, LARGEST)
            head.log_scales.copy_(torch.stack((width, width, width * FLATNESS), dim=-1).log())
            head.quats.copy_(turn_from_z(torch.nn.functional.normalize(seeds.normals, dim=-1)))
            head.logit_opacities.fill_(math.log(START_OPACITY / (1 - START_OPACITY)))
            head.color.copy_(seeds.colors)
            head.latent.copy_(torch.randn(head.latent.shape, generator=generator))
            head.residual.reset(generator)
        return head

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> GaussianHead:
        """Rebuild the head that wrote this ``state_dict``; raises BadFile when the tensors disagree."""
        if not {"seed", "residual.code.weight", "detail"} <= set(state):
            raise BadFile("Gaussian head", "the state holds no seeds or no network", "train the avatar again")
        head = cls(len(state["seed"]), state["residual.code.weight"].shape[1] - 3, state["detail"].shape[1])
        try:
            head.load_state_dict(state)
        except RuntimeError as error:
            raise BadFile("Gaussian head", f"the state does not fit together: {error}") from error
        return head

    def __len__(self) -> int:
        return len(self.seed)

    def residuals(self, motion: Motion) -> Float[Tensor, "N 6"]:
        """What a frame changes beside the motion of the surface: displacement (cm, skull frame) and colour (tenths)."""
        return self.residual(self.latent, motion.condition)

    def gaussians(
        self,
        canonical: CanonicalHead,
        pose: HeadPose | Motion,
        camera_center: Float[Tensor, "3"] | None = None,
        residuals: Float[Tensor, "N 6"] | None = None,
    ) -> Gaussians:
        """The world Gaussians of one frame; ``features``: RGB (sRGB-encoded), labels (head 1, hair 0), direction (zero), detail.

        ``residuals`` are those of the frame where they are known already.
        """
        motion = pose if isinstance(pose, Motion) else Motion.of(canonical, pose)
        shift, turn = self._surface_motion(canonical, motion)
        residual = self.residuals(motion) if residuals is None else residuals
        points = self.seed + self.offset + shift + residual[:, :3] * 0.01
        means, quats = self._place(canonical, motion, points, quaternion_multiply(turn, self.quats))
        color = view_color(self.color + residual[:, 3:] * 0.1, self.color_sh, means, camera_center)
        labels = constant((*HEAD_LABEL, 0.0, 0.0, 0.0), color).expand(len(self), 5)
        return Gaussians(
            means=means,
            quats=torch.nn.functional.normalize(quats, dim=-1),
            scales=self.log_scales.exp(),
            opacities=self.logit_opacities.sigmoid(),
            features=torch.cat((color, labels, self.detail), dim=-1),
        )

    def _surface_motion(self, canonical: CanonicalHead, motion: Motion) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 4"]]:
        """Where the surface under each Gaussian went (m) and how its triangle turned, faded by ``falloff``."""
        shift = (motion.shift[canonical.faces[self.face]] * self.barycentric[..., None]).sum(1) * self.falloff[:, None]
        turn = motion.turn[self.face] * self.falloff[:, None]
        turn = torch.cat((turn[:, :1] + (1 - self.falloff[:, None]), turn[:, 1:]), dim=-1)
        return shift, torch.nn.functional.normalize(turn, dim=-1)

    def _place(
        self, canonical: CanonicalHead, motion: Motion, points: Float[Tensor, "N 3"], quats: Float[Tensor, "N 4"]
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 4"]]:
        """To the world: the skull's placement for the head, the reference placement for the bust, blended by ``weight``."""
        weight = self.weight[:, None]
        turn = torch.nn.functional.normalize(weight * motion.skull + (1 - weight) * motion.rest, dim=-1)
        return canonical.place(points, self.weight, motion.rotation, motion.translation), quaternion_multiply(turn, quats)

    @torch.no_grad()
    def hold_unseen(self) -> None:
        """Take the gradients from what no view shows well: the fringes of a few pictures would make coloured noise of it."""
        for name in PER_GAUSSIAN:
            gradient = getattr(self, name).grad
            if gradient is not None:
                gradient.mul_(self.seen.view(-1, *[1] * (gradient.ndim - 1)))

    @torch.no_grad()
    def guard(self) -> None:
        """Keep scales, offsets and opacities within their bounds (after an optimiser step)."""
        self.log_scales.clamp_(math.log(SMALLEST), math.log(LARGEST))
        self.offset.mul_((FARTHEST / self.offset.norm(dim=-1, keepdim=True).clamp_min(1e-9)).clamp(max=1))
        self.logit_opacities.clamp_(*OPACITY_LOGITS)
        self.color.clamp_(0.0, 1.0)
        self.color_sh.clamp_(-VIEW_MOST, VIEW_MOST)
        self.quats.copy_(torch.nn.functional.normalize(self.quats, dim=-1))

    @torch.no_grad()
    def relocate(self, gone: Int[Tensor, "n"], parents: Int[Tensor, "n"]) -> None:
        """Give the places ``gone`` to halves of ``parents``: both keep the parent's look and lie along its longest axis.

        The count stays, so that a budget needs no bookkeeping (relocation as in 3DGS-MCMC, Kheradmand et al., NeurIPS 2024).
        """
        longest = self.log_scales[parents].argmax(-1)
        axis = quaternion_to_matrix(self.quats[parents]).gather(2, longest[:, None, None].expand(-1, 3, 1))[..., 0]
        step = axis * self.log_scales[parents].gather(1, longest[:, None]).exp() * 0.5
        opacity = 1 - (1 - self.logit_opacities[parents].sigmoid()).clamp_min(1e-4).sqrt()
        opacity = 0.5 * (opacity + self.logit_opacities[parents].sigmoid())
        shrunk = self.log_scales[parents].scatter_add(1, longest[:, None], torch.full_like(step[:, :1], math.log(0.65)))
        for name in (
            "seed",
            "face",
            "barycentric",
            "falloff",
            "weight",
            "seen",
            "offset",
            "quats",
            "color",
            "color_sh",
            "latent",
            "detail",
        ):
            tensor = getattr(self, name)
            tensor[gone] = tensor[parents]
        self.offset[gone] = self.offset[parents] + step
        self.offset[parents] = self.offset[parents] - step
        for places in (gone, parents):
            self.log_scales[places] = shrunk
            self.logit_opacities[places] = opacity.logit()


def small_turn(axis_angle: Float[Tensor, "3"]) -> Float[Tensor, "4"]:
    """The unit quaternion of a small rotation (rad), to second order."""
    return torch.nn.functional.normalize(torch.cat((torch.ones_like(axis_angle[:1]), axis_angle / 2)), dim=-1)


def turn_from_z(normals: Float[Tensor, "N 3"]) -> Float[Tensor, "N 4"]:
    """Unit quaternions that turn the z axis into unit ``normals``: the frame of a disc whose third axis is its thin one."""
    return rotation_between(torch.tensor([0.0, 0.0, 1.0]).to(normals).expand_as(normals), normals)


def corner_turns(neutral: Float[Tensor, "N 3 3"], moved: Float[Tensor, "N 3 3"]) -> Float[Tensor, "N 4"]:
    """How the frames (first edge, normal) of triangles with these corners rotated, as unit quaternions with w ≥ 0."""
    return matrix_to_quaternion(_triangle_frames(moved) @ _triangle_frames(neutral).transpose(1, 2))


def _triangle_frames(corners: Float[Tensor, "T 3 3"]) -> Float[Tensor, "T 3 3"]:
    first = torch.nn.functional.normalize(corners[:, 1] - corners[:, 0], dim=-1, eps=1e-12)
    normal = torch.nn.functional.normalize(torch.linalg.cross(first, corners[:, 2] - corners[:, 0]), dim=-1, eps=1e-12)
    return torch.stack((first, torch.linalg.cross(normal, first), normal), dim=-1)
