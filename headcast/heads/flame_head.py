"""`flame`: the FLAME head (Li et al., SIGGRAPH Asia 2017), versions 2017 to 2023 and 2023 Open.

Topology: 5,023 vertices, 9,976 triangles with two eyeballs, an open neck, no teeth and no mouth cavity; metres, axes as ours. 100
identity components, and 53 expression units: FLAME's first 50 components (standard deviations), then the jaw's rotation vector
(rad), so that one code drives everything that a face does; ``jaw_pose`` adds to it. Placement is the skull's (FLAME's neck joint,
number 1): ``head_pose`` turns FLAME's root and with it everything, which the placement undoes, and ``neck_pose`` turns the
skull against the bust. Licence: FLAME 2023 Open is CC-BY-4.0; all others are for non-commercial research and may not be passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from headcast.geometry.rotations import axis_angle_to_matrix
from headcast.heads.flame_build import RECIPE, build
from headcast.heads.flame_files import EXPRESSIONS, IDENTITIES, JAW_JOINT, JOINTS, PARENTS, FlameArrays
from headcast.heads.flame_points import JawPoints
from headcast.heads.model import Embedding, HeadParameters, tracked_embedding
from headcast.heads.regions import eyelids
from headcast.heads.skinning import joint_transforms, pose_features, skin
from headcast.heads.user_files import built

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

JAW_NAMES = ("jawX", "jawY", "jawZ")
BOUND, SPREAD = 3.0, 2.0**0.5  # standard deviations; the prior of a component is a unit normal
JAW_BOUNDS = np.array([[-0.1, 0.7], [-0.25, 0.25], [-0.15, 0.15]])  # rad: opening, sideways, tilt
JAW_SPREAD = np.array([0.4, 0.15, 0.1])
TYPICAL_JAW = 0.25  # rad: the mean slope of a jaw unit is taken over this rotation
MAX_YAW = 39


@dataclass(frozen=True)
class FlameHead:
    """A FLAME model; satisfies `headcast.heads.model.HeadModel`. ``arrays`` are the file's (m)."""

    arrays: FlameArrays
    scalp: Float[np.ndarray, "V"]
    face: Bool[np.ndarray, "V"]
    skin: Bool[np.ndarray, "V"]
    mouth_interior: Bool[np.ndarray, "V"]
    head_weight: Float[np.ndarray, "V"]
    mirror: Int[np.ndarray, "V"]
    eyes: tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]
    landmark_embedding: Embedding
    contour_embedding: Embedding
    dense_embedding: Embedding
    licence: str
    redistributable: bool
    sources: Mapping[str, str]
    name: str = "flame"

    @property
    def mean(self) -> Float[np.ndarray, "V 3"]:
        """The template (m)."""
        return self.arrays.template

    @property
    def faces(self) -> Int[np.ndarray, "T 3"]:
        """The triangles."""
        return self.arrays.faces

    @property
    def identity_size(self) -> int:
        """Number of identity components."""
        return IDENTITIES

    @property
    def expression_size(self) -> int:
        """Number of expression units, the jaw's three included."""
        return EXPRESSIONS + len(JAW_NAMES)

    @property
    def identity_basis(self) -> Float[np.ndarray, "I V 3"]:
        """Metres per standard deviation."""
        return self.arrays.identity

    @cached_property
    def expression_basis(self) -> Float[np.ndarray, "E V 3"]:
        """Metres per standard deviation, for the jaw the mean slope per rad."""
        turns = torch.zeros(3, JOINTS, 3, dtype=torch.float64)
        turns[torch.arange(3), JAW_JOINT, torch.arange(3)] = TYPICAL_JAW
        moved, _ = self.skinned(torch.zeros(3, IDENTITIES + EXPRESSIONS, dtype=torch.float64), turns)
        return np.concatenate([self.arrays.expression, (moved.numpy() - self.mean) / TYPICAL_JAW])

    @property
    def expression_names(self) -> tuple[str, ...]:
        """``expression00`` … ``expression49``, then the jaw's rotation."""
        return (*(f"expression{k:02d}" for k in range(EXPRESSIONS)), *JAW_NAMES)

    @property
    def expression_bounds(self) -> Float[np.ndarray, "E 2"]:
        """How far a unit goes."""
        return np.concatenate([np.tile([-BOUND, BOUND], (EXPRESSIONS, 1)), JAW_BOUNDS])

    @property
    def expression_spread(self) -> Float[np.ndarray, "E"]:
        """How far a unit usually goes."""
        return np.concatenate([np.full(EXPRESSIONS, SPREAD), JAW_SPREAD])

    @property
    def gaze(self) -> Float[np.ndarray, "E 6"]:
        """No expression turns the eyeballs."""
        return np.zeros((self.expression_size, 6))

    @cached_property
    def eyelids(self) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
        """The skin around the left and the right eye."""
        return eyelids(self.mean, self.skin, self.landmark_embedding.on(self.mean))

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        arrays = self.arrays
        shapes = np.concatenate([arrays.identity, arrays.expression]).reshape(IDENTITIES + EXPRESSIONS, -1)
        parts = {"template": arrays.template, "shapes": shapes, "pose": arrays.pose.reshape(len(arrays.pose), -1)}
        parts |= {"joints": arrays.joints, "weights": arrays.weights}
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in parts.items()}

    def skinned(
        self, shape: Float[Tensor, "F n"], pose: Float[Tensor, "F 5 3"], offset: Float[Tensor, "V 3"] | None = None
    ) -> tuple[Float[Tensor, "F V 3"], tuple[Float[Tensor, "F 3 3"], Float[Tensor, "F 3"]]]:
        """FLAME itself: vertices (m) of identity and expression components and five joint rotations (rad); how its skull moved.

        ``offset`` is what a person's rest mesh differs by.
        """
        part = {name: tensor.to(shape) for name, tensor in self._tensors.items()}
        shaped = part["template"] + (shape @ part["shapes"]).reshape(len(shape), -1, 3)
        shaped = shaped if offset is None else shaped + offset
        rotations = axis_angle_to_matrix(pose)
        joints = torch.einsum("jv,fvc->fjc", part["joints"], shaped)
        posed = shaped + (pose_features(rotations) @ part["pose"]).reshape(shaped.shape)
        turns, shifts = joint_transforms(joints, rotations, PARENTS)
        return skin(posed, part["weights"], turns, shifts), (turns[:, 1], shifts[:, 1])

    def neutral(self, identity: Float[Tensor, "I"]) -> Float[Tensor, "V 3"]:
        """The neutral head of an identity (standard deviations), model frame, metres."""
        rows = self._tensors["shapes"][:IDENTITIES].to(identity)
        return self._tensors["template"].to(identity) + (identity @ rows).reshape(-1, 3)

    def jaw(self, parameters: HeadParameters) -> Float[Tensor, "F 3"]:
        """The jaw's whole rotation (rad)."""
        return parameters.jaw_pose + parameters.expression[:, EXPRESSIONS:]

    def local(self, parameters: HeadParameters) -> Float[Tensor, "F V 3"]:
        """Vertices in the frame of the skull (m), before the placement."""
        components = parameters.expression[:, :EXPRESSIONS]
        shape = torch.cat([parameters.identity.expand(len(components), -1), components], dim=1)
        eyes = parameters.eye_pose
        pose = torch.stack([parameters.head_pose, parameters.neck_pose, self.jaw(parameters), eyes[:, :3], eyes[:, 3:]], dim=1)
        vertices, (turn, shift) = self.skinned(shape, pose)
        return (vertices - shift[:, None]) @ turn  # row vectors: the inverse of the skull's own motion

    def vertices(self, parameters: HeadParameters) -> Float[Tensor, "F V 3"]:
        """Vertices in the world (m)."""
        return parameters.placed(self.local(parameters))

    def tracked_points(self) -> JawPoints:
        """The 68 and the dense points but the irises, as functions of identity, expression and jaw."""
        return self.surface_points(tracked_embedding(self.landmark_embedding, self.dense_embedding))

    def surface_points(self, embedding: Embedding) -> JawPoints:
        """Points of the surface as functions of identity, expression and jaw."""
        return JawPoints.of(self.arrays, embedding)

    def landmarks(self, vertices: Float[Tensor, "F V 3"]) -> Float[Tensor, "F 68 3"]:
        """iBUG's 68 points on given vertices, the jaw as seen from the front."""
        return self.landmark_embedding(vertices)

    def contour(self, vertices: Float[Tensor, "F V 3"], yaw_deg: Float[np.ndarray, "F"]) -> Float[Tensor, "F 17 3"]:
        """The 17 points of the jaw's contour as a camera sees it that is ``yaw_deg`` to the subject's left of the face."""
        whole = np.clip(np.round(yaw_deg), -MAX_YAW, MAX_YAW).astype(int)
        rows = np.where(whole >= 0, whole, MAX_YAW - whole)
        corners, weights = (part.reshape(-1, 17, 3) for part in (self.contour_embedding.corners, self.contour_embedding.weights))
        return torch.stack([Embedding(corners[row], weights[row])(points) for row, points in zip(rows, vertices, strict=True)])

    def dense_landmarks(self, vertices: Float[Tensor, "F V 3"]) -> Float[Tensor, "F 478 3"]:
        """FaceMesh's points on given vertices; NaN where this topology has none."""
        return self.dense_embedding(vertices)

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray], licence: str, redistributable: bool, sources: Mapping[str, str]) -> FlameHead:
        """The model of the arrays that `headcast.heads.flame_build` makes."""
        plain: dict[str, Any] = {
            name: arrays[name] for name in ("scalp", "face", "skin", "mouth_interior", "head_weight", "mirror")
        }
        for name in ("landmark", "contour", "dense"):
            plain[f"{name}_embedding"] = Embedding(arrays[f"{name}_corners"], arrays[f"{name}_weights"])
        return cls(
            arrays=FlameArrays(**{name: arrays[f"flame_{name}"] for name in FlameArrays.__dataclass_fields__}),
            eyes=(arrays["left_eye"], arrays["right_eye"]),
            licence=licence,
            redistributable=redistributable,
            sources=sources,
            **plain,
        )


def load(cache: Path | None = None, root: Path = Path()) -> FlameHead:
    """The model from its cache, or from the user's files under ``root``. Raises ``AssetMissing``, ``BadFile``."""
    head = built("flame", RECIPE, build, cache, root)
    return FlameHead.of(head.arrays, head.licence, head.redistributable, head.sources)
