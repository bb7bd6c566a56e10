"""A track in FLAME's own parameters, as VHAP and GaussianAvatars store it, into ours and back: root and translation ⇄ placement.

FLAME's vertices are its skinned mesh plus a translation, of size one. Ours are placed by the skull with a scale, so the other
side's world is ours in units of that scale; what a picture shows is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headcast.errors import BadFile
from headcast.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from headcast.heads.flame_files import EXPRESSIONS, IDENTITIES
from headcast.heads.flame_head import FlameHead
from headcast.heads.model import HeadModel, HeadParameters, neutral_parameters

SHAPES, EXPRESSIONS_STORED = 300, 100
"""Components that the other side stores; ours are the first `IDENTITIES` and `EXPRESSIONS` of them."""


@dataclass(frozen=True)
class FlameTrack:
    """``F`` frames of one head: ``shape`` 300 and ``expr`` F 100 (standard deviations); ``rotation`` of the root, ``neck_pose``,
    ``jaw_pose`` F 3 and ``eyes_pose`` F 6 (left, right) as axis-angle (rad); ``translation`` F 3; ``static_offset`` V 3, what the
    person's rest mesh differs by. Lengths are metres of FLAME."""

    shape: Float[np.ndarray, "300"]
    expr: Float[np.ndarray, "F 100"]
    rotation: Float[np.ndarray, "F 3"]
    neck_pose: Float[np.ndarray, "F 3"]
    jaw_pose: Float[np.ndarray, "F 3"]
    eyes_pose: Float[np.ndarray, "F 6"]
    translation: Float[np.ndarray, "F 3"]
    static_offset: Float[np.ndarray, "V 3"]

    def __post_init__(self) -> None:
        frames = len(self.expr)
        widths = {"rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "translation": 3}
        for name, width in widths.items():
            if getattr(self, name).shape != (frames, width):
                raise BadFile("flame_param", f"{name} has shape {getattr(self, name).shape}, expected {(frames, width)}")
        for field in fields(self):
            if not np.isfinite(getattr(self, field.name)).all():
                raise BadFile("flame_param", f"{field.name} holds values that are not finite", "track the sequence again")


def from_flame(track: FlameTrack, model: FlameHead) -> tuple[HeadParameters, Float[np.ndarray, "F V 3"]]:
    """Our parameters of a track (scale 1, its own world), and its vertices with the person's offset, which no parameter holds.

    Components beyond ours are left out; as they are orthogonal, the others stay what they are.
    """
    tensors = {field.name: torch.from_numpy(np.array(getattr(track, field.name), np.float64)) for field in fields(track)}
    frames = len(track.expr)
    codes = torch.cat([tensors["shape"][:IDENTITIES].expand(frames, -1), tensors["expr"][:, :EXPRESSIONS]], dim=1)
    eyes = tensors["eyes_pose"]
    pose = torch.stack([tensors["rotation"], tensors["neck_pose"], tensors["jaw_pose"], eyes[:, :3], eyes[:, 3:]], dim=1)
    skinned, (turn, shift) = model.skinned(codes, pose, tensors["static_offset"])
    found = {
        "identity": tensors["shape"][:IDENTITIES],
        "expression": torch.cat([codes[:, IDENTITIES:], tensors["jaw_pose"]], dim=1),
        "neck_pose": tensors["neck_pose"],
        "eye_pose": eyes,
        "rotation": matrix_to_axis_angle(turn),
        "translation": shift + tensors["translation"],
    }
    return replace(neutral_parameters(cast(HeadModel, model), frames), **found), (skinned + tensors["translation"][:, None]).numpy()


def to_flame(parameters: HeadParameters, model: FlameHead) -> FlameTrack:
    """The track of our parameters in a world whose unit is their scale (m); it has no offset."""
    frames = parameters.frame_count
    codes = torch.cat([parameters.identity.expand(frames, -1), parameters.expression[:, :EXPRESSIONS]], dim=1)
    neck, jaw, eyes = parameters.neck_pose, model.jaw(parameters), parameters.eye_pose
    skull = axis_angle_to_matrix(parameters.rotation)
    root = matrix_to_axis_angle(skull @ axis_angle_to_matrix(neck).transpose(1, 2))
    _, (_, shift) = model.skinned(codes, torch.stack([root, neck, jaw, eyes[:, :3], eyes[:, 3:]], dim=1))
    return FlameTrack(
        shape=_padded(parameters.identity, SHAPES),
        expr=_padded(codes[:, IDENTITIES:], EXPRESSIONS_STORED),
        rotation=root.numpy(),
        neck_pose=neck.numpy(),
        jaw_pose=jaw.numpy(),
        eyes_pose=eyes.numpy(),
        translation=(parameters.translation / parameters.scale - shift).numpy(),
        static_offset=np.zeros_like(model.mean),
    )


def _padded(codes: Float[Tensor, "*n k"], width: int) -> Float[np.ndarray, "*n width"]:
    """The components that ours do not have are at rest."""
    return torch.nn.functional.pad(codes, (0, width - codes.shape[-1])).numpy()


def placed(parameters: HeadParameters, unit_m: float, origin: Float[np.ndarray, "3"]) -> HeadParameters:
    """Parameters of a world whose unit is ``unit_m`` metres and whose origin is at ``origin`` (m), in the world in metres."""
    moved = parameters.translation * unit_m + torch.from_numpy(np.asarray(origin, np.float64))
    return replace(parameters, scale=parameters.scale * unit_m, translation=moved)


def left_out(track: FlameTrack) -> Mapping[str, float]:
    """How much of a track our parameters do not hold: the largest component beyond ours, the mean offset of the rest mesh (mm)."""
    beyond = np.concatenate([track.shape[IDENTITIES:], track.expr[:, EXPRESSIONS:].reshape(-1), np.zeros(1)])
    return {
        "components_left_out": round(float(np.abs(beyond).max()), 4),
        "offset_mm": round(float(np.linalg.norm(track.static_offset, axis=1).mean() * 1e3), 4),
    }
