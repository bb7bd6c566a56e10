"""A head that is linear in identity and expression, with eyeballs that turn and a neck that bends: `open`, `bfm` and `ict`.

The mouth opens by an expression; there is no jaw or head joint, so ``jaw_pose`` and ``head_pose`` have no effect. ``neck_pose`` is
how far the skull is turned against the bust: the placement is the skull's, and the bust (``head_weight`` 0) is turned back by it
about the neck joint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from headcast.geometry.rotations import axis_angle_to_matrix
from headcast.heads.model import Embedding, HeadParameters, tracked_embedding
from headcast.heads.regions import eyelids
from headcast.heads.surface_points import PointBasis

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor


@dataclass(frozen=True)
class LinearHead:
    """A linear model; satisfies `headcast.heads.model.HeadModel`.

    ``mean`` V 3 and the bases are metres in the model frame; ``gaze`` E 6 are the eyeball rotations (left, right; rad) of each unit
    at full activation; ``neck_pivot`` (m) is the neck joint; ``base_index`` V are vertices of the file that the model came from.
    """

    mean: Float[np.ndarray, "V 3"]
    identity_basis: Float[np.ndarray, "I V 3"]
    expression_basis: Float[np.ndarray, "E V 3"]
    expression_names: tuple[str, ...]
    expression_bounds: Float[np.ndarray, "E 2"]
    expression_spread: Float[np.ndarray, "E"]
    gaze: Float[np.ndarray, "E 6"]
    faces: Int[np.ndarray, "T 3"]
    base_index: Int[np.ndarray, "V"]
    scalp: Float[np.ndarray, "V"]
    face: Bool[np.ndarray, "V"]
    skin: Bool[np.ndarray, "V"]
    mouth_interior: Bool[np.ndarray, "V"]
    head_weight: Float[np.ndarray, "V"]
    mirror: Int[np.ndarray, "V"]
    eyes: tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]
    neck_pivot: Float[np.ndarray, "3"]
    landmark_embedding: Embedding
    dense_embedding: Embedding
    name: str
    licence: str
    redistributable: bool
    sources: Mapping[str, str]

    @classmethod
    def of(
        cls, arrays: dict[str, np.ndarray], name: str, licence: str, redistributable: bool, sources: Mapping[str, str]
    ) -> LinearHead:
        """The model of a builder's arrays; without bounds its units are activations in [0, 1]."""
        plain: dict[str, Any] = {key: value for key, value in arrays.items() if key in cls.__dataclass_fields__}
        units = len(arrays["expression_basis"])
        plain.setdefault("expression_bounds", np.tile([0.0, 1.0], (units, 1)))
        plain.setdefault("expression_spread", np.ones(units))
        plain["expression_names"] = tuple(str(unit) for unit in arrays["expression_names"])
        return cls(
            eyes=(arrays["left_eye"], arrays["right_eye"]),
            landmark_embedding=Embedding(arrays["landmark_corners"], arrays["landmark_weights"]),
            dense_embedding=Embedding(arrays["dense_corners"], arrays["dense_weights"]),
            name=name,
            licence=licence,
            redistributable=redistributable,
            sources=sources,
            **plain,
        )

    @property
    def identity_size(self) -> int:
        """Number of identity components."""
        return len(self.identity_basis)

    @property
    def expression_size(self) -> int:
        """Number of expression units."""
        return len(self.expression_basis)

    @cached_property
    def eyelids(self) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
        """The skin around the left and the right eye."""
        return eyelids(self.mean, self.skin, self.landmark_embedding.on(self.mean))

    @cached_property
    def _identity_rows(self) -> Float[Tensor, "I 3V"]:
        return torch.from_numpy(self.identity_basis.reshape(self.identity_size, -1))

    @cached_property
    def _expression_rows(self) -> Float[Tensor, "E 3V"]:
        return torch.from_numpy(self.expression_basis.reshape(self.expression_size, -1))

    def tracked_points(self) -> PointBasis:
        """The 68 and the dense points but the irises, as a linear model."""
        return self.surface_points(tracked_embedding(self.landmark_embedding, self.dense_embedding))

    def surface_points(self, embedding: Embedding) -> PointBasis:
        """Points of the surface as a linear model."""
        identity, expression = embedding.on(self.identity_basis), embedding.on(self.expression_basis)
        return PointBasis(embedding.on(self.mean), identity.transpose(1, 2, 0), expression.transpose(1, 2, 0))

    def neutral(self, identity: Float[Tensor, "I"]) -> Float[Tensor, "V 3"]:
        """The neutral head of an identity (standard deviations), model frame, metres."""
        return torch.as_tensor(self.mean).to(identity) + (identity @ self._identity_rows.to(identity)).reshape(-1, 3)

    def local(self, parameters: HeadParameters) -> Float[Tensor, "F V 3"]:
        """Vertices in the model frame (m): identity, expression, gaze and neck, before the placement."""
        expression = parameters.expression
        offsets = (expression @ self._expression_rows.to(expression)).reshape(len(expression), -1, 3)
        points = self.neutral(parameters.identity)[None] + offsets
        gaze = parameters.eye_pose + expression @ torch.as_tensor(self.gaze).to(expression)
        for side, eye in enumerate(self.eyes):
            if len(eye):
                points = _turn_eye(points, torch.as_tensor(eye, device=points.device), gaze[:, 3 * side : 3 * side + 3])
        return self._bend_neck(points, parameters.neck_pose)

    def _bend_neck(self, points: Float[Tensor, "F V 3"], neck_pose: Float[Tensor, "F 3"]) -> Float[Tensor, "F V 3"]:
        pivot = torch.as_tensor(self.neck_pivot).to(points)
        bust = (points - pivot) @ axis_angle_to_matrix(neck_pose) + pivot  # row vectors: the inverse rotation
        return torch.lerp(bust, points, torch.as_tensor(self.head_weight).to(points)[:, None])

    def vertices(self, parameters: HeadParameters) -> Float[Tensor, "F V 3"]:
        """Vertices in the world (m)."""
        return parameters.placed(self.local(parameters))

    def landmarks(self, vertices: Float[Tensor, "F V 3"]) -> Float[Tensor, "F 68 3"]:
        """iBUG's 68 points on given vertices."""
        return self.landmark_embedding(vertices)

    def dense_landmarks(self, vertices: Float[Tensor, "F V 3"]) -> Float[Tensor, "F 478 3"]:
        """FaceMesh's 478 points (the last ten on the irises) on given vertices."""
        return self.dense_embedding(vertices)


def _turn_eye(points: Float[Tensor, "F V 3"], eye: Int[Tensor, "n"], rotation: Float[Tensor, "F 3"]) -> Float[Tensor, "F V 3"]:
    ball = points[:, eye]
    centre = ball.mean(dim=1, keepdim=True)
    turned = (ball - centre) @ axis_angle_to_matrix(rotation).transpose(1, 2) + centre
    return points.index_copy(1, eye, turned)
