"""FLAME's landmarks as a function of identity, expression and jaw with exact slopes: skinning of the few vertices they hang on.

Neck and eyes at rest, in the skull's frame, a vertex p with jaw weight w and jaw joint J goes to p + w (R − 1)(p − J), where p
holds identity, expression and the pose corrective of R.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from headcast.geometry.rotations import axis_angle_to_matrix
from headcast.heads.flame_files import IDENTITIES, JAW_JOINT, FlameArrays
from headcast.heads.model import Embedding

JAW_FEATURES = slice(9 * (JAW_JOINT - 1), 9 * JAW_JOINT)


@dataclass(frozen=True)
class JawPoints:
    """``L`` points, each on three corners (rows 3 l … 3 l + 2 of the arrays) with weights ``share`` L 3.

    ``rest_corners`` 3L 3; ``shapes`` n 3L 3 (identity, then expression); ``pose`` 9 3L 3; ``jaw_weight`` 3L; the jaw joint is
    ``joint`` 3 plus the components times ``joint_shapes`` n 3.
    """

    known: Bool[np.ndarray, "L"]
    share: Float[np.ndarray, "L 3"]
    rest_corners: Float[np.ndarray, "c 3"]
    shapes: Float[np.ndarray, "n c 3"]
    pose: Float[np.ndarray, "9 c 3"]
    jaw_weight: Float[np.ndarray, "c"]
    joint: Float[np.ndarray, "3"]
    joint_shapes: Float[np.ndarray, "n 3"]

    @classmethod
    def of(cls, arrays: FlameArrays, embedding: Embedding) -> JawPoints:
        """The points of an embedding; rows without one are not known."""
        corners, weights = embedding.corners.reshape(-1), embedding.weights
        shapes = np.concatenate([arrays.identity, arrays.expression])
        regressor = arrays.joints[JAW_JOINT]
        return cls(
            known=np.isfinite(weights).all(axis=1),
            share=np.nan_to_num(weights),
            rest_corners=arrays.template[corners],
            shapes=shapes[:, corners],
            pose=arrays.pose[JAW_FEATURES][:, corners],
            jaw_weight=arrays.weights[corners, JAW_JOINT],
            joint=regressor @ arrays.template,
            joint_shapes=np.einsum("v,nvc->nc", regressor, shapes),
        )

    def rest(self, identity: Float[np.ndarray, "I"]) -> Float[np.ndarray, "L 3"]:
        """The points of a neutral head."""
        return self.points(identity, np.zeros((1, len(self.shapes) - IDENTITIES + 3)))[0]

    def points(self, identity: Float[np.ndarray, "I"], expression: Float[np.ndarray, "F E"]) -> Float[np.ndarray, "F L 3"]:
        """The points (m, skull's frame) of an identity in the expressions of ``F`` frames."""
        return np.stack([self._mixed(self._posed(identity, code)) for code in expression])

    def _mixed(self, corners: Float[np.ndarray, "*n c 3"]) -> Float[np.ndarray, "*n L 3"]:
        return (corners.reshape(*corners.shape[:-2], -1, 3, 3) * self.share[:, :, None]).sum(axis=-2)

    def _before(
        self, identity: Float[np.ndarray, "I"], code: Float[np.ndarray, "E"], bend: Float[np.ndarray, "3 3"]
    ) -> tuple[Float[np.ndarray, "c 3"], Float[np.ndarray, "3"]]:
        """Corners before skinning, and the jaw joint; ``bend`` is R − 1."""
        components = np.concatenate([identity, code[:-3]])
        corners = self.rest_corners + np.tensordot(components, self.shapes, 1) + np.tensordot(bend.reshape(-1), self.pose, 1)
        return corners, self.joint + components @ self.joint_shapes

    def _posed(self, identity: Float[np.ndarray, "I"], code: Float[np.ndarray, "E"]) -> Float[np.ndarray, "c 3"]:
        bend = _bend(code[-3:])
        corners, joint = self._before(identity, code, bend)
        return corners + self.jaw_weight[:, None] * ((corners - joint) @ bend.T)

    def slopes(self, identity: Float[np.ndarray, "I"], expression: Float[np.ndarray, "E"]) -> Float[np.ndarray, "L 3 n"]:
        """Derivatives of the points by identity, expression and jaw."""
        bend = _bend(expression[-3:])
        corners, joint = self._before(identity, expression, bend)
        blend = np.eye(3) + self.jaw_weight[:, None, None] * bend
        linear = np.einsum("cab,ncb->nca", blend, self.shapes) - self.jaw_weight[:, None] * (self.joint_shapes @ bend.T)[:, None]
        turning = []
        for change in _bend_slopes(expression[-3:]):
            corrective = np.einsum("cab,cb->ca", blend, np.tensordot(change.reshape(-1), self.pose, 1))
            turning.append(self.jaw_weight[:, None] * ((corners - joint) @ change.T) + corrective)
        return self._mixed(np.concatenate([linear, turning])).transpose(1, 2, 0)


def _bend(jaw: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    return axis_angle_to_matrix(torch.from_numpy(jaw.copy())).numpy() - np.eye(3)


def _bend_slopes(jaw: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3 3"]:
    """Derivatives of the rotation matrix by the three components of the rotation vector (rad)."""
    slopes = torch.autograd.functional.jacobian(axis_angle_to_matrix, torch.from_numpy(jaw.copy()))
    return slopes.permute(2, 0, 1).numpy()
