"""What the fit sees: 2-D points of every frame and view, and the linear model of the surface points that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from headcast.capture.camera import Camera
from headcast.heads.model import HeadModel
from headcast.imaging.landmarks import Landmarks

JAW = slice(0, 17)
FACEMESH_OVAL = (  # FaceMesh's outline of the face: it slides along the surface with the view
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
IRISES = slice(468, 478)
SPARSE_WEIGHT, SPARSE_JAW_WEIGHT = 1.0, 0.25
SPARSE_BESIDE_DENSE = 0.5  # the 68 points tell little more where the dense ones are known
OVAL_WEIGHT = 0.3


@dataclass(frozen=True)
class PointBasis:
    """Surface points as a linear model: ``mean`` L 3, ``identity`` L 3 I, ``expression`` L 3 E (m, model frame)."""

    mean: Float[np.ndarray, "L 3"]
    identity: Float[np.ndarray, "L 3 I"]
    expression: Float[np.ndarray, "L 3 E"]

    def points(self, identity: Float[np.ndarray, "I"], expression: Float[np.ndarray, "F E"]) -> Float[np.ndarray, "F L 3"]:
        """The points of an identity in the expressions of ``F`` frames."""
        units = self.expression.shape[2]
        offsets = expression @ self.expression.reshape(-1, units).T
        return (self.mean + self.identity @ identity)[None] + offsets.reshape(len(expression), -1, 3)


@dataclass(frozen=True)
class Observations:
    """Pixels F C L 2 with weights F C L (0 absent) of the points of ``basis``, and world → pixel matrices C 3 4."""

    pixels: Float[np.ndarray, "F C L 2"]
    weights: Float[np.ndarray, "F C L"]
    matrices: Float[np.ndarray, "C 3 4"]
    focal: Float[np.ndarray, "C"]
    basis: PointBasis


def point_basis(model: HeadModel) -> PointBasis:
    """The model's 68 and dense points (irises left out, they turn with the eyes); points without an embedding are dropped later."""

    def embedded(vertices: Float[np.ndarray, "n V 3"]) -> Float[np.ndarray, "n L 3"]:
        surface = torch.from_numpy(np.ascontiguousarray(vertices, dtype=np.float64))
        return torch.cat([model.landmarks(surface), model.dense_landmarks(surface)[:, : IRISES.start]], dim=1).numpy()

    identity, expression = embedded(model.identity_basis), embedded(model.expression_basis)
    return PointBasis(embedded(model.mean[None])[0], identity.transpose(1, 2, 0), expression.transpose(1, 2, 0))


def observe(landmarks: Landmarks, cameras: Mapping[str, Camera], model: HeadModel) -> Observations:
    """All observations of a sequence. Each point of a frame weighs the same, by however many views it is seen."""
    views = [cameras[serial] for serial in landmarks.cameras]
    basis = point_basis(model)
    pixels = np.concatenate([landmarks.points, landmarks.dense[:, :, : IRISES.start]], axis=2).astype(np.float64)
    sparse = np.where(np.isfinite(landmarks.dense).any(), SPARSE_BESIDE_DENSE, 1.0) * landmarks.confidence.astype(np.float64)
    sparse = sparse * np.where(np.arange(sparse.shape[2]) < JAW.stop, SPARSE_JAW_WEIGHT, SPARSE_WEIGHT)
    dense = np.ones((*sparse.shape[:2], IRISES.start))
    dense[..., list(FACEMESH_OVAL)] = OVAL_WEIGHT
    weights = np.concatenate([sparse, dense], axis=2)
    weights[~np.isfinite(pixels).all(axis=-1)] = 0.0
    weights[..., ~np.isfinite(basis.mean).all(axis=-1)] = 0.0
    weights /= np.maximum((weights > 0).sum(axis=1, keepdims=True), 1)
    matrices = np.stack([camera.K @ camera.world_to_camera[:3] for camera in views])
    focal = np.array([np.sqrt(camera.K[0, 0] * camera.K[1, 1]) for camera in views])
    finite = PointBasis(*(np.nan_to_num(part) for part in (basis.mean, basis.identity, basis.expression)))
    return Observations(np.nan_to_num(pixels), weights, matrices, focal, finite)
