"""Carry a performance from one head to another: relative expressions by name, head motion relative to a reference, smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headcast.errors import HeadcastError
from headcast.geometry.rotations import (
    axis_angle_to_matrix,
    axis_angle_to_quaternion,
    matrix_to_axis_angle,
    quaternion_to_axis_angle,
)
from headcast.heads.model import HeadParameters

EXPRESSION_RANGE = (0.0, 1.0)
KERNEL_REACH = 3.0


@dataclass(frozen=True)
class Track:
    """A performance: ``expression`` F E (activations of ``names``), placement of the skull as ``rotation`` F 3 (axis-angle, rad)
    and ``translation`` F 3 (m): x_world = R x + t. ``HeadcastError`` when the counts disagree or a value is not finite."""

    names: tuple[str, ...]
    expression: Float[Tensor, "F E"]
    rotation: Float[Tensor, "F 3"]
    translation: Float[Tensor, "F 3"]

    def __post_init__(self) -> None:
        frames = len(self.expression)
        if frames == 0 or self.expression.shape[1] != len(self.names) or {len(self.rotation), len(self.translation)} != {frames}:
            raise HeadcastError("track", "expression, names, rotation and translation do not belong together, or there is no frame")
        if not all(bool(torch.isfinite(values).all()) for values in (self.expression, self.rotation, self.translation)):
            raise HeadcastError("track", "holds values that are not finite", "fit the driving sequence again")

    @classmethod
    def of(cls, parameters: HeadParameters, names: Sequence[str]) -> Track:
        """The performance in fitted head parameters; ``names`` are the model's expression units."""
        return cls(tuple(names), parameters.expression, parameters.rotation, parameters.translation)

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return len(self.expression)

    def frames(self, index: Sequence[int] | Int[Tensor, " n"]) -> Track:
        """The performance with its frames picked, repeated or reordered."""
        rows = torch.as_tensor(index, dtype=torch.int64)
        return replace(self, expression=self.expression[rows], rotation=self.rotation[rows], translation=self.translation[rows])


def neutral_expression(expression: Float[Tensor, "F E"]) -> Float[Tensor, " E"]:
    """The expression of the frame with the smallest sum of activations: the actor's own rest."""
    return expression[int(expression.abs().sum(dim=1).argmin())]


def transfer_expression(
    source: Float[Tensor, "F E"],
    source_names: Sequence[str],
    target_names: Sequence[str],
    source_neutral: Float[Tensor, " E"],
    target_neutral: Float[Tensor, " D"],
    limits: tuple[float, float] = EXPRESSION_RANGE,
) -> Float[Tensor, "F D"]:
    """Source − source's neutral + target's neutral, unit by unit of the same name, clamped to ``limits``.

    Units that the source does not have stay at the target's neutral. ``HeadcastError`` when no name agrees.
    """
    places = {name: number for number, name in enumerate(source_names)}
    shared = [number for number, name in enumerate(target_names) if name in places]
    if not shared:
        raise HeadcastError("driving track", "shares no expression unit with the avatar", "drive with a track of its head model")
    out = target_neutral.to(source)[None].repeat(len(source), 1)
    picked = [places[target_names[number]] for number in shared]
    out[:, shared] = out[:, shared] + source[:, picked] - source_neutral.to(source)[picked]
    return out.clamp(*limits)


def gaussian_rows(count: int, sigma: float) -> Float[Tensor, "count count"]:
    """Weights of a Gaussian of ``sigma`` frames about each frame, cut off at three sigma and at the ends; rows sum to one."""
    if sigma <= 0:
        return torch.eye(count, dtype=torch.float64)
    distance = (torch.arange(count)[:, None] - torch.arange(count)[None]).double() / sigma
    weights = torch.exp(-0.5 * distance**2) * (distance.abs() <= KERNEL_REACH)
    return weights / weights.sum(dim=1, keepdim=True)


def smooth_track(track: Track, sigma: float) -> Track:
    """The performance under a Gaussian of ``sigma`` frames (0: as it is); rotations average as sign-aligned quaternions."""
    weights = gaussian_rows(track.frame_count, sigma)
    quaternions = _aligned(axis_angle_to_quaternion(track.rotation.double()))
    mean = torch.nn.functional.normalize(weights @ quaternions, dim=-1)
    return replace(
        track,
        expression=(weights @ track.expression.double()).to(track.expression),
        rotation=quaternion_to_axis_angle(mean).to(track.rotation),
        translation=(weights @ track.translation.double()).to(track.translation),
    )


def _aligned(quaternions: Float[Tensor, "F 4"]) -> Float[Tensor, "F 4"]:
    """Each quaternion in the half space of the one before, so that neighbours average."""
    turns = torch.where((quaternions[1:] * quaternions[:-1]).sum(dim=-1) < 0, -1.0, 1.0).to(quaternions)
    signs = torch.cat([quaternions.new_ones(1), torch.cumprod(turns, dim=0)])
    return quaternions * signs[:, None]


def transfer_motion(
    source: Track, source_reference: int, rotation: Float[Tensor, " 3"], translation: Float[Tensor, " 3"], size_ratio: float = 1.0
) -> tuple[Float[Tensor, "F 3"], Float[Tensor, "F 3"]]:
    """The source's head motion relative to its ``source_reference`` frame, from the target's pose (``rotation``, ``translation``).

    Motion is taken in the head's own frame, T(t) = T_target · T_source(ref)⁻¹ · T_source(t), so the two world frames need not
    agree; translations grow with ``size_ratio`` (target's scale / source's). Returns rotation (axis-angle) and translation (m) in
    the target's world.
    """
    turns, places = axis_angle_to_matrix(source.rotation.double()), source.translation.double()
    back, start = turns[source_reference].T, axis_angle_to_matrix(rotation.double())
    relative = back @ turns
    shift = (places - places[source_reference]) @ back.T * size_ratio
    moved = shift @ start.T + translation.double()
    return matrix_to_axis_angle(start @ relative).to(source.rotation), moved.to(source.translation)


def retarget(
    source: Track,
    target_names: Sequence[str],
    target_neutral: Float[Tensor, " D"],
    target_rotation: Float[Tensor, " 3"],
    target_translation: Float[Tensor, " 3"],
    *,
    reference: int = 0,
    smoothing: float = 0.0,
    size_ratio: float = 1.0,
) -> Track:
    """The source's performance on the target: smoothed (``smoothing`` frames), expressions and head motion relative to rest."""
    if not 0 <= reference < source.frame_count:
        raise HeadcastError("driving track", f"has no frame {reference} to refer to", f"choose 0 to {source.frame_count - 1}")
    calm = smooth_track(source, smoothing)
    neutral = neutral_expression(calm.expression)
    expression = transfer_expression(calm.expression, source.names, target_names, neutral, target_neutral)
    rotation, translation = transfer_motion(calm, reference, target_rotation, target_translation, size_ratio)
    return Track(tuple(target_names), expression, rotation, translation)


def back_and_forth(frames: int, repeats: int) -> list[int]:
    """Frame numbers running forwards, backwards, forwards … ``repeats`` times, without a jump; a turning frame shows once."""
    order = list(range(frames))
    out: list[int] = []
    for turn in range(repeats):
        leg = order if turn % 2 == 0 else order[::-1]
        out += leg[1:] if out and frames > 1 else leg
    return out
