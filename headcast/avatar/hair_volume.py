"""Where the hair is: a voxel volume carved by hair masks, bounded by the head inside and by the seen rims outside.

A visual hull of cameras that stand in front of the subject has long false tails behind it. Rays that graze the hair show how thick
it is where they pass; that thickness, spread to its neighbourhood, bounds the hull where no camera looks. Hair on or behind a
shoulder is hidden from some cameras: a surface known from elsewhere (stage one) tells those that see no hair there from those that
cannot see it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn import functional

from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.voxel_grid import VoxelGrid
from headcast.capture.camera import Camera
from headcast.errors import CaptureError

CONSENSUS = 0.9
HAIR_SHARE = 0.3
RIM_NEIGHBOURS = 12
RIM_MARGIN = 0.002
TRACE_STEPS, TRACE_TOLERANCE = 48, 5e-4
RIM_SAMPLES = 64
HIDING = 0.006
"""A surface hides what lies further behind it than this (m)."""


@dataclass(frozen=True)
class HairView:
    """One picture of the hair: a camera placed in the skull frame (`in_skull_frame`) and its maps, "H W".

    ``hair`` in [0, 1]; ``angle`` rad in [0, π), 0 = vertical; ``confidence`` in [0, 1], 0 or NaN where the angle is unknown.
    ``surface`` is the camera depth (m) of what the picture shows as far as it is known, inf elsewhere; None: nowhere.
    """

    camera: Camera
    hair: Float[np.ndarray, "H W"]
    angle: Float[np.ndarray, "H W"]
    confidence: Float[np.ndarray, "H W"]
    surface: Float[np.ndarray, "H W"] | None = None

    def __post_init__(self) -> None:
        size = (self.camera.height, self.camera.width)
        given = [member for member in (self.hair, self.angle, self.confidence, self.surface) if member is not None]
        if any(np.shape(member) != size for member in given):
            raise CaptureError(f"camera {self.camera.serial}", f"hair, angle, confidence and surface must be {size[0]} × {size[1]}")


def in_skull_frame(camera: Camera, rotation: Float[np.ndarray, "3 3"], translation: Float[np.ndarray, "3"]) -> Camera:
    """The camera as the skull sees it in a frame with x_world = R x + t: frames of a moving head become views of a still one."""
    placement = np.eye(4)
    placement[:3, :3], placement[:3, 3] = rotation, translation
    return replace(camera, world_to_camera=camera.world_to_camera @ placement)


class PooledView(NamedTuple):
    """A view averaged to about the size of a voxel: K and pose of the small picture, its maps, depth of the bare head (inf: none).

    ``maps`` are hair, confidence · cos 2a, confidence · sin 2a, confidence; the last three are weighted by the hair mask.
    ``nearness`` is the inverse depth (1/m) of the known surface, 0 where there is none.
    """

    K: Float[Tensor, "3 3"]
    pose: Float[Tensor, "4 4"]
    maps: Float[Tensor, "4 h w"]
    head_depth: Float[Tensor, "h w"]
    nearness: Float[Tensor, "h w"]

    def camera_points(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Skull-frame points (m) in camera axes."""
        return points @ self.pose[:3, :3].T + self.pose[:3, 3]

    def sample(self, image: Float[Tensor, "D h w"], points: Float[Tensor, "n 3"], mode: str = "bilinear") -> Float[Tensor, "n D"]:
        """A picture where skull-frame points project to; zero outside and behind the camera."""
        local = self.camera_points(points)
        pixel = (local @ self.K.T)[:, :2] / local[:, 2:].clamp_min(1e-6)
        size = torch.tensor((image.shape[2], image.shape[1]), device=points.device)
        grid = torch.where(local[:, 2:] > 0, 2 * pixel / size - 1, torch.full_like(pixel, 2.0))
        return functional.grid_sample(image[None], grid[None, None], mode=mode, align_corners=False)[0, :, 0].T


def pool_view(view: HairView, head: SignedDistanceGrid, spacing: float) -> PooledView:
    """Average a view over the footprint of a voxel (m) and trace the depth of the bare head in it."""
    device, camera = head.lower.device, view.camera
    distance = float(np.linalg.norm(camera.center - head.lower.cpu().numpy() - 0.5 * (head.upper - head.lower).cpu().numpy()))
    factor = max(1, int(camera.K[0, 0] * spacing / distance / 1.5))
    small = camera.resize(camera.width // factor, camera.height // factor)
    hair, angle, confidence = (np.nan_to_num(np.asarray(m, np.float32)) for m in (view.hair, view.angle, view.confidence))
    weight = hair * confidence
    nearness = np.zeros_like(hair) if view.surface is None else (1 / np.asarray(view.surface)).astype(np.float32)
    maps = np.stack((hair, weight * np.cos(2 * angle), weight * np.sin(2 * angle), weight, nearness))
    cropped = torch.as_tensor(maps[:, : small.height * factor, : small.width * factor], device=device)
    K = torch.as_tensor(np.diag([1 / factor, 1 / factor, 1.0]) @ camera.K, dtype=torch.float32, device=device)
    pose = torch.as_tensor(camera.world_to_camera.copy(), dtype=torch.float32, device=device)
    pooled = functional.avg_pool2d(cropped[None], factor)[0]
    return PooledView(K, pose, pooled[:4], head_depth(head, K, pose, small.width, small.height), pooled[4])


def pixel_rays(
    K: Float[Tensor, "3 3"], pose: Float[Tensor, "4 4"], width: int, height: int
) -> tuple[Float[Tensor, "3"], Float[Tensor, "n 3"]]:
    """Camera centre and, for every pixel, the skull-frame vector along its ray that advances one metre in depth."""
    rows, columns = torch.meshgrid(torch.arange(height, device=K.device), torch.arange(width, device=K.device), indexing="ij")
    pixels = torch.stack((columns.flatten() + 0.5, rows.flatten() + 0.5, torch.ones_like(rows.flatten())), dim=-1).to(K)
    rotation = pose[:3, :3]
    return -rotation.T @ pose[:3, 3], pixels @ torch.linalg.inv(K).T @ rotation


def head_depth(
    head: SignedDistanceGrid, K: Float[Tensor, "3 3"], pose: Float[Tensor, "4 4"], width: int, height: int
) -> Float[Tensor, "h w"]:
    """Depth (m) of the bare head by sphere tracing its distance grid; infinite where the ray misses."""
    center, rays = pixel_rays(K, pose, width, height)
    bounds = torch.stack(((head.lower - center) / rays, (head.upper - center) / rays))
    entry, leaving = bounds.amin(0).amax(-1), bounds.amax(0).amin(-1)
    depth = torch.full_like(entry, torch.inf)
    active = (entry < leaving).nonzero()[:, 0]
    reached = entry[active]
    for _ in range(TRACE_STEPS):
        distance = head(center + reached[:, None] * rays[active])
        hit = distance < TRACE_TOLERANCE
        depth[active[hit]] = reached[hit]
        going = ~hit & (reached < leaving[active])
        reached, active = (reached + 0.95 * distance / rays[active].norm(dim=-1))[going], active[going]
    return depth.reshape(height, width)


def rim_thickness(views: list[PooledView], head: SignedDistanceGrid) -> tuple[Float[Tensor, "m 3"], Float[Tensor, "m"]]:
    """Where rays graze the outside of the hair: their point nearest to the head (m) and its distance to the head (m)."""
    places, distances = [], []
    for view in views:
        hair = view.maps[0] > 0.5
        free = functional.max_pool2d((~hair & ~torch.isfinite(view.head_depth)).float()[None], 3, 1, 1)[0] > 0
        center, rays = pixel_rays(view.K, view.pose, hair.shape[1], hair.shape[0])
        rays = rays[(hair & free).flatten()]
        near, far = _depth_range(head, view)
        depth = torch.linspace(near, far, RIM_SAMPLES, device=rays.device)
        points = center + depth[None, :, None] * rays[:, None]
        distance, index = head(points).min(dim=1)
        places.append(torch.gather(points, 1, index[:, None, None].expand(-1, 1, 3))[:, 0])
        distances.append(distance)
    place, distance = torch.cat(places), torch.cat(distances)
    return place[distance > 0], distance[distance > 0]


def _depth_range(head: SignedDistanceGrid, view: PooledView) -> tuple[float, float]:
    middle = float(view.camera_points(0.5 * (head.lower + head.upper)[None])[0, 2])
    radius = 0.5 * float((head.upper - head.lower).norm())
    return middle - radius, middle + radius


def spread_thickness(
    points: Float[Tensor, "n 3"], places: Float[Tensor, "m 3"], thickness: Float[Tensor, "m"]
) -> Float[Tensor, "n"]:
    """Thickness (m) at points: mean over the nearest rims, weighted by inverse squared distance; infinite without any rim."""
    if len(places) == 0:
        return torch.full_like(points[:, 0], torch.inf)
    count = min(RIM_NEIGHBOURS, len(places))
    distance, index = cKDTree(places.cpu().numpy()).query(points.cpu().numpy(), k=[*range(1, count + 1)])
    weight = 1 / (distance**2 + 1e-5)
    mean = (weight * thickness.cpu().numpy()[index]).sum(1) / weight.sum(1)
    return torch.as_tensor(mean, dtype=points.dtype, device=points.device)


def hair_occupancy(
    grid: VoxelGrid, views: list[PooledView], head: SignedDistanceGrid, consensus: float = CONSENSUS
) -> Bool[Tensor, "X Y Z"]:
    """Voxels that the masks of at least the share ``consensus`` of the views allow to be hair.

    A view that sees something else there objects; one whose sight the head or its known surface blocks abstains. Voxels that nobody
    can judge are kept within the rim thickness and above the lowest hair that is seen.
    """
    centers = grid.centers()
    distance = head(centers)
    allowed, judged = torch.zeros_like(distance), torch.zeros_like(distance)
    for view in views:
        depth = view.camera_points(centers)[:, 2]
        planes = (view.maps[0], torch.ones_like(view.maps[0]), 1 / view.head_depth, view.nearness)
        hair, inside, bare, near = view.sample(torch.stack(planes), centers).T
        seen = hair > HAIR_SHARE
        hidden = (depth * bare > 1 + 0.5 * grid.spacing) | (~seen & (depth * near > 1 + HIDING * near))
        vote = (inside > 0.99) & ~hidden
        judged, allowed = judged + vote, allowed + (vote & seen)
    possible = (distance > 0) & (allowed >= consensus * judged)
    seen = possible & (judged >= 2)
    if not bool(seen.any()):
        raise CaptureError("hair masks", "no voxel is hair in two views", "check the masks, the cameras and the head placement")
    lowest = torch.quantile(centers[seen, 1][:: max(1, int(seen.sum()) // 100_000)], 0.005)
    possible &= centers[:, 1] >= lowest
    bound = spread_thickness(centers[possible], *rim_thickness(views, head))
    possible[possible.clone()] = distance[possible] <= bound + RIM_MARGIN
    return possible.reshape(grid.shape)


def visible_in(view: PooledView, points: Float[Tensor, "n 3"], surface: Float[Tensor, "m 3"], spacing: float) -> Bool[Tensor, "n"]:
    """Whether nothing hides a point: depth order against head and ``surface`` points, with a tolerance of one and a half voxels."""
    height, width = view.head_depth.shape
    local = view.camera_points(surface)
    pixel = ((local @ view.K.T)[:, :2] / local[:, 2:]).floor().long()
    inside = (pixel >= 0).all(-1) & (pixel[:, 0] < width) & (pixel[:, 1] < height)
    nearest = view.head_depth.flatten().clone()
    nearest.scatter_reduce_(0, pixel[inside, 1] * width + pixel[inside, 0], local[inside, 2], "amin")
    blurred = -functional.max_pool2d(-nearest.reshape(1, height, width), 3, 1, 1)
    seen = 1 / view.sample(1 / blurred, points, mode="nearest")[:, 0].clamp_min(1e-6)
    return view.camera_points(points)[:, 2] <= seen + 1.5 * spacing
