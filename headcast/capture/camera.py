"""A pinhole camera: OpenCV axes, pixels with centres at +0.5, metres."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from headcast.errors import CaptureError

ROTATION_TOLERANCE = 1e-3
LENS_COEFFICIENTS = (4, 5, 8)
"""How many of OpenCV's k1 k2 p1 p2 k3 k4 k5 k6 a lens may have."""


@dataclass(frozen=True)
class Camera:
    """Where a view was taken from and how it maps metres to pixels.

    ``K`` maps camera coordinates (x right, y down, z forward; metres) to pixels whose centres lie at +0.5;
    ``world_to_camera`` is a rigid 4×4 transform. ``CaptureError`` names the serial when either is implausible.
    """

    serial: str
    K: Float[np.ndarray, "3 3"]
    world_to_camera: Float[np.ndarray, "4 4"]
    width: int
    height: int

    def __post_init__(self) -> None:
        for name, shape in (("K", (3, 3)), ("world_to_camera", (4, 4))):
            matrix = np.array(getattr(self, name), dtype=np.float64)
            if matrix.shape != shape or not np.isfinite(matrix).all():
                raise CaptureError(f"camera {self.serial}", f"{name} must be a finite {shape[0]}×{shape[1]} matrix")
            matrix.setflags(write=False)
            object.__setattr__(self, name, matrix)
        self._check_rigid()
        if min(self.K[0, 0], self.K[1, 1]) <= 0 or self.width <= 0 or self.height <= 0:
            raise CaptureError(f"camera {self.serial}", "focal lengths and image size must be positive")

    def _check_rigid(self) -> None:
        rotation = self.world_to_camera[:3, :3]
        error = np.abs(rotation @ rotation.T - np.eye(3)).max()
        if error > ROTATION_TOLERANCE or np.linalg.det(rotation) < 0:
            raise CaptureError(f"camera {self.serial}", "the rotation of world_to_camera is not orthonormal and right-handed")
        if not np.allclose(self.world_to_camera[3], [0, 0, 0, 1]):
            raise CaptureError(f"camera {self.serial}", "the last row of world_to_camera must be 0 0 0 1")

    @property
    def camera_to_world(self) -> Float[np.ndarray, "4 4"]:
        """The inverse of ``world_to_camera``."""
        rotation, translation = self.world_to_camera[:3, :3], self.world_to_camera[:3, 3]
        inverse = np.eye(4)
        inverse[:3, :3], inverse[:3, 3] = rotation.T, -rotation.T @ translation
        return inverse

    @property
    def center(self) -> Float[np.ndarray, "3"]:
        """The optical centre in world coordinates (m)."""
        return self.camera_to_world[:3, 3]

    @property
    def viewing_direction(self) -> Float[np.ndarray, "3"]:
        """The unit optical axis in world coordinates."""
        return self.world_to_camera[2, :3]

    def project(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 2"]:
        """Project world points (m) to pixels; points behind the camera give NaN."""
        local = points @ self.world_to_camera[:3, :3].T + self.world_to_camera[:3, 3]
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels = (local @ self.K.T)[..., :2] / local[..., 2:]
        return np.where(local[..., 2:] > 0, pixels, np.nan)

    def crop(self, left: int, top: int, width: int, height: int) -> Camera:
        """The camera of the sub-image whose first column and row are ``left`` and ``top`` (may be negative: padding)."""
        K = self.K.copy()
        K[0, 2] -= left
        K[1, 2] -= top
        return replace(self, K=K, width=width, height=height)

    def resize(self, width: int, height: int) -> Camera:
        """The camera of the image resampled to ``width`` × ``height``."""
        scale = np.diag([width / self.width, height / self.height, 1.0])
        return replace(self, K=scale @ self.K, width=width, height=height)
