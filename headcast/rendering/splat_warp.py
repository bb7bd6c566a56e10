"""Splatting by warp kernels, all cores of a CPU or CUDA; float32.

Tiles are independent and every sum has a fixed order: on a CPU, results are equal to the last bit for any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from headcast.geometry.warp_runtime import as_array, spread
from headcast.rendering import projection_kernels, splat_arrays, splat_cuda, splat_kernels
from headcast.rendering.projection import Projection, Tiles, project
from headcast.rendering.splat import Info

TILE = splat_arrays.LANES


def splat(
    means: Float[Tensor, "N 3"],
    quats: Float[Tensor, "N 4"],
    scales: Float[Tensor, "N 3"],
    opacities: Float[Tensor, "N"],
    features: Float[Tensor, "N D"],
    world_to_camera: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    width: int,
    height: int,
) -> tuple[Float[Tensor, "H W D"], Float[Tensor, "H W"], Float[Tensor, "H W"], Info]:
    """Accumulated features, alpha and alpha-weighted depth (m), differentiable in every tensor (slower for the camera's)."""
    gaussians = (means.float(), quats.float(), scales.float(), opacities.float())
    camera = (world_to_camera.float(), K.float(), width, height)
    if world_to_camera.requires_grad or K.requires_grad:
        projection = project(*gaussians, *camera)
    else:
        projection = Projection(*_Project.apply(*gaussians, *camera))
    channels = torch.cat([features.float(), projection.depth[:, None]], dim=1)
    if means.device.type == "cuda":
        picture, alpha = splat_cuda.blend(projection, gaussians[3], channels, width, height)
    else:
        tiles = list_tiles(projection, TILE, width, height)
        picture, alpha = _Blend.apply(projection.xy, projection.conic, gaussians[3], channels, tiles, width, height)
    picture, alpha = picture.to(means.dtype), alpha.to(means.dtype)
    info = Info(projection.xy, projection.radius.amax(-1), projection.radius[:, 0] >= 0)
    return picture[..., :-1], alpha, picture[..., -1], info


class _Project(torch.autograd.Function):
    """``projection.project`` as one kernel, with gradients for the Gaussians but not for the camera."""

    @staticmethod
    def forward(
        ctx: Any, means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, pose: Tensor, K: Tensor, width: int, height: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        saved = [tensor.detach().contiguous() for tensor in (means, quats, scales, opacities, pose, K)]
        count = len(means)
        xy, conic, depth = means.new_zeros(count, 2), means.new_zeros(count, 3), means.new_zeros(count)
        radius = means.new_full((count, 2), -1)
        outputs = [as_array(xy, wp.vec2), as_array(conic, wp.vec3), as_array(depth), as_array(radius, wp.vec2)]
        inputs = [as_array(saved[4]), as_array(saved[5]), width, height, _world(saved[:4]), *outputs]
        spread(projection_kernels.project_all, _evenly(count), inputs, means.device)
        ctx.save_for_backward(*saved, radius)
        ctx.size = (width, height)
        ctx.mark_non_differentiable(radius)
        return xy, conic, depth, radius

    @staticmethod
    def backward(ctx: Any, grad_xy: Tensor, grad_conic: Tensor, grad_depth: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        *saved, radius = ctx.saved_tensors
        grads = [torch.zeros_like(tensor) for tensor in saved[:4]]
        pulls = [as_array(radius, wp.vec2), as_array(grad_xy, wp.vec2), as_array(grad_conic, wp.vec3), as_array(grad_depth)]
        inputs = [as_array(saved[4]), as_array(saved[5]), *ctx.size, _world(saved[:4]), *pulls, _world(grads)]
        spread(projection_kernels.unproject_all, _evenly(len(radius)), inputs, radius.device)
        return *grads[:3], None, None, None, None, None


def _world(tensors: Sequence[Tensor]) -> Any:
    means, quats, scales, opacities = tensors
    arrays = {"means": as_array(means, wp.vec3), "quats": as_array(quats, wp.vec4), "scales": as_array(scales, wp.vec3)}
    return splat_arrays.fill(projection_kernels.World(), **arrays, opacities=as_array(opacities))


@torch.no_grad()
def list_tiles(projection: Projection, tile: int, width: int, height: int) -> Tiles:
    """The Gaussians that each tile's square meets, near ones first, on a CPU: a sort by depth and a counting sort by tile."""
    columns, rows = -(-width // tile), -(-height // tile)
    start = torch.zeros(len(projection.xy) + 1, dtype=torch.int32)
    offset = torch.zeros(columns * rows + 1, dtype=torch.int32)
    boxes = [as_array(projection.xy, wp.vec2), as_array(projection.radius, wp.vec2), tile, columns, rows]
    wp.launch(projection_kernels.count_tiles, dim=1, inputs=[*boxes, as_array(start), as_array(offset)], device="cpu")
    ids, slot = (torch.zeros(int(offset[-1]), dtype=torch.int32) for _ in range(2))
    lists = [depth_order(projection.depth), start, offset.clone(), ids, slot]
    wp.launch(projection_kernels.list_tiles, dim=1, inputs=[*boxes, *map(as_array, lists)], device="cpu")
    return Tiles(offset, ids, slot, start)


def depth_order(depth: Float[Tensor, "N"]) -> Tensor:
    """Indices from near to far, ties in their order: positive floats sort like their bits, so one integer is the key."""
    keys = (depth.detach().contiguous().view(torch.int32).to(torch.int64) << 32) + torch.arange(len(depth))
    return torch.from_numpy(_sorted(keys)) & 0xFFFFFFFF


def _sorted(keys: Tensor) -> Any:
    """NumPy's vectorised sort, several times faster than torch's."""
    array = keys.numpy()
    array.sort()
    return array


def _evenly(count: int) -> list[int]:
    """Intervals of equal length, one per core."""
    parts = torch.get_num_threads()
    return [count * part // parts for part in range(parts + 1)]


def _bounds(offset: Tensor) -> list[int]:
    """Tile numbers that split the tiles into intervals of about equally many entries, four per core."""
    inner: list[int] = []
    if torch.get_num_threads() > 1:
        targets = torch.linspace(0, 1, 4 * torch.get_num_threads() + 1)[1:-1] * float(offset[-1])
        inner = torch.searchsorted(offset, targets.to(offset)).tolist()
    return [0, *inner, len(offset) - 1]


class _Blend(torch.autograd.Function):
    """Blend Gaussians on the screen, near to far, into a picture "H W D" and alpha "H W", on a CPU."""

    @staticmethod
    def forward(
        ctx: Any, xy: Tensor, conic: Tensor, opacity: Tensor, channels: Tensor, tiles: Tiles, width: int, height: int
    ) -> tuple[Tensor, Tensor]:
        saved = [tensor.detach().contiguous() for tensor in (xy, conic, opacity, channels)]
        columns, rows = -(-width // TILE), -(-height // TILE)
        picture = xy.new_zeros(rows, columns, TILE, channels.shape[1], TILE)
        through = xy.new_ones(rows, columns, TILE, 1, TILE)
        last = torch.zeros_like(through, dtype=torch.int32)
        inputs = [columns, _splats(saved), _lists(tiles), _pixels(picture, through, through, last)]
        spread(splat_kernels.blend_tile, _bounds(tiles.offset), inputs, xy.device)
        through.abs_()
        ctx.save_for_backward(*saved, *tiles, through, last)
        return _from_tiles(picture, width, height), 1 - _from_tiles(through, width, height)[..., 0]

    @staticmethod
    def backward(ctx: Any, grad_picture: Tensor, grad_alpha: Tensor) -> tuple[Tensor | None, ...]:
        *saved, offset, ids, slot, start, through, last = ctx.saved_tensors
        state = _pixels(_to_tiles(grad_picture), through.clone(), -through * _to_tiles(grad_alpha[..., None]), last)
        entries = [tensor.new_empty((len(ids), *tensor.shape[1:])) for tensor in saved]
        sums = [torch.empty_like(tensor) for tensor in saved]
        inputs = [through.shape[1], _splats(saved), _lists(Tiles(offset, ids, slot, start)), state, _splats(entries)]
        spread(splat_kernels.unblend_tile, _bounds(offset), inputs, through.device)
        inputs = [as_array(start), saved[3].shape[1], _splats(entries), _splats(sums)]
        spread(splat_arrays.gather, _evenly(len(saved[0])), inputs, through.device)
        return *sums, None, None, None


def _from_tiles(picture: Tensor, width: int, height: int) -> Tensor:
    """From "rows columns TILE D TILE" to "H W D"."""
    rows, columns, _, channels, _ = picture.shape
    return picture.permute(0, 2, 1, 4, 3).reshape(rows * TILE, columns * TILE, channels)[:height, :width]


def _to_tiles(picture: Tensor) -> Tensor:
    """From "H W D" to "rows columns TILE D TILE", zero beyond the border."""
    height, width, channels = picture.shape
    padded = torch.nn.functional.pad(picture, (0, 0, 0, -width % TILE, 0, -height % TILE))
    return padded.reshape(-(-height // TILE), TILE, -(-width // TILE), TILE, channels).permute(0, 2, 1, 4, 3).contiguous()


def _splats(tensors: Sequence[Tensor]) -> Any:
    xy, conic, opacity, color = tensors
    arrays = {"xy": as_array(xy, wp.vec2), "conic": as_array(conic, wp.vec3), "opacity": as_array(opacity)}
    return splat_arrays.fill(splat_arrays.Splats(), **arrays, color=as_array(color))


def _lists(tiles: Tiles) -> Any:
    arrays = {"offset": as_array(tiles.offset), "ids": as_array(tiles.ids), "slot": as_array(tiles.slot)}
    return splat_arrays.fill(splat_arrays.Lists(), **arrays)


def _pixels(color: Tensor, through: Tensor, behind: Tensor, last: Tensor) -> Any:
    arrays = {"through": as_array(through.view(-1)), "behind": as_array(behind.view(-1)), "last": as_array(last.view(-1))}
    return splat_arrays.fill(splat_arrays.Pixels(), **arrays, color=as_array(color.view(-1)))
