"""What the fit sees: 2-D points of every frame and view, and the linear model of the surface points that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from headcast.capture.camera import Camera
from headcast.heads.model import IRISES, HeadModel
from headcast.heads.surface_points import SurfacePoints
from headcast.imaging.landmarks import Landmarks, ray_forms

JAW = slice(0, 17)
FACEMESH_OVAL = (  # FaceMesh's outline of the face: it slides along the surface with the view
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
SPARSE_WEIGHT, SPARSE_JAW_WEIGHT = 1.0, 0.25
SPARSE_BESIDE_DENSE = 0.5  # the 68 points tell little more where the dense ones are known
OVAL_WEIGHT = 0.3


@dataclass(frozen=True)
class Skin:
    """What the pictures say of ``N`` points of the skin of each frame: the cost 0.5 dᵀ ``curvature`` d − ``pull`` d + ``floor`` of
    a shift d (m, world) from ``places``; zero curvature where nothing is known.
    """

    basis: SurfacePoints
    places: Float[np.ndarray, "F N 3"]
    curvature: Float[np.ndarray, "F N 3 3"]
    pull: Float[np.ndarray, "F N 3"]
    floor: Float[np.ndarray, "F N"]


@dataclass(frozen=True)
class Observations:
    """Pixels F C L 2 with weights F C L (0 absent) of the points of ``basis``, and world → pixel matrices C 3 4."""

    pixels: Float[np.ndarray, "F C L 2"]
    weights: Float[np.ndarray, "F C L"]
    matrices: Float[np.ndarray, "C 3 4"]
    focal: Float[np.ndarray, "C"]
    basis: SurfacePoints
    skin: Skin | None = None

    @cached_property
    def forms(self) -> Float[np.ndarray, "C 4 3 3"]:
        """`ray_forms` of the cameras, of which a point's curvature is made."""
        return ray_forms(self.matrices)[..., :3, :3]

    def at_frames(self, frames: Int[np.ndarray, "k"]) -> Observations:
        """What is seen in some frames, without the skin."""
        return replace(self, pixels=self.pixels[frames], weights=self.weights[frames], skin=None)


def observe(landmarks: Landmarks, cameras: Mapping[str, Camera], model: HeadModel) -> Observations:
    """All observations of a sequence. Each point of a frame weighs the same, by however many views it is seen."""
    views = [cameras[serial] for serial in landmarks.cameras]
    basis = model.tracked_points()
    pixels = np.concatenate([landmarks.points, landmarks.dense[:, :, : IRISES.start]], axis=2).astype(np.float64)
    sparse = np.where(np.isfinite(landmarks.dense).any(), SPARSE_BESIDE_DENSE, 1.0) * landmarks.confidence.astype(np.float64)
    sparse = sparse * np.where(np.arange(sparse.shape[2]) < JAW.stop, SPARSE_JAW_WEIGHT, SPARSE_WEIGHT)
    dense = np.ones((*sparse.shape[:2], IRISES.start))
    dense[..., list(FACEMESH_OVAL)] = OVAL_WEIGHT
    weights = np.concatenate([sparse, dense], axis=2)
    weights[~np.isfinite(pixels).all(axis=-1)] = 0.0
    weights[..., ~basis.known] = 0.0
    weights /= np.maximum((weights > 0).sum(axis=1, keepdims=True), 1)
    matrices = np.stack([camera.K @ camera.world_to_camera[:3] for camera in views])
    focal = np.array([np.sqrt(camera.K[0, 0] * camera.K[1, 1]) for camera in views])
    return Observations(np.nan_to_num(pixels), weights, matrices, focal, basis)
