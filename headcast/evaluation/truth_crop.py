"""Ground truth lives in the raw frame's pixels; these functions carry it into the working crop by the two cameras' intrinsics."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from headcast.capture.camera import Camera
from headcast.errors import CaptureError

MIN_WEIGHT = 1e-6


def to_crop(truth: Float[np.ndarray, "h w *c"], raw_camera: Camera, camera: Camera) -> Float[np.ndarray, "H W *c"]:
    """Resample a plane of the raw frame into the working image, averaging over each pixel's area; outside the frame counts as zero.

    Where the working image is finer than the raw frame this is linear interpolation.
    """
    rows, columns = _filters(truth, raw_camera, camera)
    return np.einsum("Hh,hw...,Ww->HW...", rows, np.asarray(truth, np.float64), columns, optimize=True)


def inside_frame(raw_camera: Camera, camera: Camera) -> Bool[np.ndarray, "H W"]:
    """Pixels of the working image that lie wholly inside the raw frame."""
    return to_crop(np.ones((raw_camera.height, raw_camera.width)), raw_camera, camera) > 1.0 - MIN_WEIGHT


def orientation_to_crop(
    angle: Float[np.ndarray, "h w"],
    confidence: Float[np.ndarray, "h w"],
    raw_camera: Camera,
    camera: Camera,
    hair: Float[np.ndarray, "h w"] | None = None,
) -> tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
    """Undirected angles (rad, NaN absent) as the weighted mean of the doubled-angle vector; its length is the confidence.

    Weights are the ``hair`` shares of the raw pixels, or one wherever the confidence is positive.
    """
    known = np.isfinite(angle)
    weight = np.where(known, confidence > 0 if hair is None else hair, 0.0)
    vector = weight[..., None] * confidence[..., None] * _doubled(np.where(known, angle, 0.0))
    mean, share = to_crop(vector, raw_camera, camera), to_crop(weight, raw_camera, camera)
    present = share > MIN_WEIGHT
    direction = np.mod(np.arctan2(mean[..., 1], mean[..., 0]) / 2.0, np.pi)
    length = np.hypot(mean[..., 0], mean[..., 1]) / np.where(present, share, 1.0)
    return np.where(present, direction, np.nan), np.where(present, length, 0.0)


def depth_to_crop(depth: Float[np.ndarray, "h w"], raw_camera: Camera, camera: Camera) -> Float[np.ndarray, "H W"]:
    """Depth (m along the axis, 0 background) of the nearest raw pixel; NaN outside the raw frame. Depths are never averaged."""
    rows = _nearest(camera.height, raw_camera.K[1], camera.K[1], 1)
    columns = _nearest(camera.width, raw_camera.K[0], camera.K[0], 0)
    inside = np.outer((rows >= 0) & (rows < depth.shape[0]), (columns >= 0) & (columns < depth.shape[1]))
    picked = depth[np.clip(rows, 0, depth.shape[0] - 1)][:, np.clip(columns, 0, depth.shape[1] - 1)]
    return np.where(inside, picked, np.nan)


def _doubled(angle: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 2"]:
    return np.stack([np.cos(2.0 * angle), np.sin(2.0 * angle)], axis=-1)


def _filters(truth: np.ndarray, raw_camera: Camera, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Area weights of rows and columns; ``CaptureError`` when the working image is no crop of the raw frame."""
    where = f"camera {camera.serial}"
    if truth.shape[:2] != (raw_camera.height, raw_camera.width):
        raise CaptureError(
            where, f"ground truth is {truth.shape[1]}×{truth.shape[0]}, the raw frame {raw_camera.width}×{raw_camera.height}"
        )
    if not np.allclose(raw_camera.world_to_camera, camera.world_to_camera, atol=1e-6):
        raise CaptureError(where, "the raw and the working camera stand at different places")
    if abs(raw_camera.K[0, 1]) + abs(camera.K[0, 1]) > 1e-9:
        raise CaptureError(where, "skewed intrinsics are not a crop")
    return (
        _area_weights(raw_camera.height, camera.height, raw_camera.K[1], camera.K[1], 1),
        _area_weights(raw_camera.width, camera.width, raw_camera.K[0], camera.K[0], 0),
    )


def _area_weights(
    source: int, target: int, raw_row: Float[np.ndarray, " 3"], row: Float[np.ndarray, " 3"], axis: int
) -> Float[np.ndarray, "target source"]:
    """Share of each raw pixel under each working pixel's box; the box is never narrower than a raw pixel."""
    scale = raw_row[axis] / row[axis]
    centers = (np.arange(target) + 0.5 - row[2]) * scale + raw_row[2]
    width = max(scale, 1.0)
    pixels = np.arange(source)
    left, right = (centers - width / 2.0)[:, None], (centers + width / 2.0)[:, None]
    return np.clip(np.minimum(right, pixels + 1.0) - np.maximum(left, pixels), 0.0, None) / width


def _nearest(target: int, raw_row: Float[np.ndarray, " 3"], row: Float[np.ndarray, " 3"], axis: int) -> np.ndarray:
    centers = (np.arange(target) + 0.5 - row[2]) * raw_row[axis] / row[axis] + raw_row[2]
    return np.floor(centers).astype(np.int64)
