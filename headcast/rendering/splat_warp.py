"""Splatting by warp kernels: all cores of a CPU, or CUDA, from one source; float32.

Tiles are independent of each other and every sum has a fixed order, so results on a CPU are equal to the last bit for any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from headcast.geometry.warp_runtime import as_array, spread
from headcast.rendering import projection_kernels, splat_kernels, splat_pixel_kernels
from headcast.rendering.projection import Projection, Tiles, bin_tiles, project
from headcast.rendering.splat import Info

TILE = 16


class Blending(NamedTuple):
    """The kernels that blend tiles, their adjoint, and how many threads they use for a tile."""

    blend: Any
    unblend: Any
    threads: int


BLENDING = {
    "cpu": Blending(splat_kernels.blend_tile, splat_kernels.unblend_tile, 1),
    "cuda": Blending(splat_pixel_kernels.blend_pixel, splat_pixel_kernels.unblend_pixel, TILE * TILE),
}


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
    """Accumulated features, alpha and alpha-weighted depth (m), differentiable in every tensor (slower if the camera needs gradients)."""
    gaussians = [tensor.float() for tensor in (means, quats, scales, opacities)]
    camera = (world_to_camera.float(), K.float(), width, height)
    if world_to_camera.requires_grad or K.requires_grad:
        projection = project(*gaussians, *camera)
    else:
        projection = Projection(*_Project.apply(*gaussians, *camera))
    tiles = (
        bin_tiles(projection, TILE, width, height) if means.device.type == "cuda" else list_tiles(projection, TILE, width, height)
    )
    blended = _Blend.apply(projection.xy, projection.conic, projection.depth, gaussians[3], features.float(), tiles, width, height)
    info = Info(projection.xy, projection.radius.amax(-1), projection.radius[:, 0] >= 0)
    return (*(tensor.to(means.dtype) for tensor in blended), info)


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
        spread(projection_kernels.project_all, _halves(count), inputs, means.device)
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
        spread(projection_kernels.unproject_all, _halves(len(radius)), inputs, radius.device)
        return *grads[:3], None, None, None, None, None


def _world(tensors: Sequence[Tensor]) -> Any:
    means, quats, scales, opacities = tensors
    arrays = {"means": as_array(means, wp.vec3), "quats": as_array(quats, wp.vec4), "scales": as_array(scales, wp.vec3)}
    return splat_kernels.fill(projection_kernels.World(), **arrays, opacities=as_array(opacities))


@torch.no_grad()
def list_tiles(projection: Projection, tile: int, width: int, height: int) -> Tiles:
    """``projection.bin_tiles`` for a CPU: a sort by depth and a counting sort by tile."""
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
    """Indices from near to far, ties in the order of the input: positive floats sort like their bits, so one integer holds both keys."""
    keys = (depth.detach().contiguous().view(torch.int32).to(torch.int64) << 32) + torch.arange(len(depth))
    return torch.from_numpy(_sorted(keys)) & 0xFFFFFFFF


def _sorted(keys: Tensor) -> Any:
    """NumPy's vectorised sort, several times faster than torch's."""
    array = keys.numpy()
    array.sort()
    return array


def _halves(count: int) -> list[int]:
    return [0, count // 2, count]


def _bounds(offset: Tensor, threads: int) -> list[int]:
    """Thread numbers, ``threads`` to a tile, that split the tiles into intervals of about equally many entries, four per core."""
    inner: list[int] = []
    if offset.device.type == "cpu" and torch.get_num_threads() > 1:
        targets = torch.linspace(0, 1, 4 * torch.get_num_threads() + 1)[1:-1] * float(offset[-1])
        inner = torch.searchsorted(offset, targets.to(offset)).tolist()
    return [threads * tile for tile in (0, *inner, len(offset) - 1)]


def _blocks(features: Tensor) -> Tensor:
    """Channels padded to a multiple of four, contiguous."""
    missing = -features.shape[-1] % 4
    return torch.nn.functional.pad(features, (0, missing)) if missing else features.contiguous()


class _Blend(torch.autograd.Function):
    """Blend Gaussians on the screen, near to far, into features, alpha and alpha-weighted depth."""

    @staticmethod
    def forward(
        ctx: Any, xy: Tensor, conic: Tensor, depth: Tensor, opacity: Tensor, features: Tensor, tiles: Tiles, width: int, height: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        saved = [tensor.detach().contiguous() for tensor in (xy, conic, opacity, depth)] + [_blocks(features.detach())]
        image = xy.new_zeros(height * width, saved[4].shape[1])
        far, through = xy.new_zeros(height * width), xy.new_ones(height * width)
        last = torch.zeros(height * width, dtype=torch.int32, device=xy.device)
        inputs = [_screen(width, height), _splats(saved), _lists(tiles), image.shape[1] // 4, _pixels(image, far, through, last)]
        blending = BLENDING[xy.device.type]
        spread(blending.blend, _bounds(tiles.offset, blending.threads), inputs, xy.device)
        through.abs_()
        ctx.save_for_backward(*saved, *tiles, through, last)
        ctx.size, ctx.channels = (width, height), features.shape[1]
        return image[:, : ctx.channels].reshape(height, width, -1), (1 - through).reshape(height, width), far.reshape(height, width)

    @staticmethod
    def backward(ctx: Any, grad_image: Tensor, grad_alpha: Tensor, grad_depth: Tensor) -> tuple[Tensor | None, ...]:
        *saved, offset, ids, slot, start, through, last = ctx.saved_tensors
        width, height = ctx.size
        tiles = Tiles(offset, ids, slot, start)
        pull, far = _blocks(grad_image.reshape(width * height, -1)), grad_depth.reshape(-1).contiguous()
        state = _pixels(pull, far, through.clone(), last)
        carry = _pixels(pull, far, -through * grad_alpha.reshape(-1), last)
        entries, sums = _gradients(len(ids), pull), _gradients(len(saved[0]), pull)
        blocks = pull.shape[1] // 4
        inputs = [_screen(width, height), _splats(saved), _lists(tiles), blocks, state, carry, _splats(entries)]
        blending = BLENDING[through.device.type]
        spread(blending.unblend, _bounds(offset, blending.threads), inputs, through.device)
        inputs = [as_array(start), blocks, _splats(entries), _splats(sums)]
        spread(splat_kernels.gather, _halves(len(saved[0])), inputs, through.device)
        xy, conic, opacity, depth, color = sums
        return xy, conic, depth, opacity, color[:, : ctx.channels], None, None, None


def _screen(width: int, height: int) -> Any:
    return splat_kernels.fill(splat_kernels.Screen(), width=width, height=height, tile=TILE, columns=-(-width // TILE))


def _splats(tensors: Sequence[Tensor]) -> Any:
    xy, conic, opacity, depth, color = tensors
    arrays = {
        "xy": as_array(xy, wp.vec2),
        "conic": as_array(conic, wp.vec3),
        "opacity": as_array(opacity),
        "depth": as_array(depth),
    }
    return splat_kernels.fill(
        splat_kernels.Splats(), **arrays, color=as_array(color.unflatten(1, (color.shape[1] // 4, 4)), wp.vec4)
    )


def _lists(tiles: Tiles) -> Any:
    arrays = {"offset": as_array(tiles.offset), "ids": as_array(tiles.ids), "slot": as_array(tiles.slot)}
    return splat_kernels.fill(splat_kernels.Lists(), **arrays)


def _pixels(color: Tensor, depth: Tensor, through: Tensor, last: Tensor) -> Any:
    arrays = {"depth": as_array(depth), "through": as_array(through), "last": as_array(last)}
    return splat_kernels.fill(
        splat_kernels.Pixels(), **arrays, color=as_array(color.unflatten(1, (color.shape[1] // 4, 4)), wp.vec4)
    )


def _gradients(count: int, like: Tensor) -> list[Tensor]:
    return [like.new_zeros(size) for size in ((count, 2), (count, 3), (count,), (count,), (count, like.shape[1]))]
