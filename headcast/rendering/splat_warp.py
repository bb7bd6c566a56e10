"""Splatting by warp kernels: both cores of a CPU, or CUDA, from one source; float32.

Tiles are independent of each other and every sum has a fixed order, so results on a CPU are equal to the last bit for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from headcast.geometry.warp_runtime import as_array, launch
from headcast.rendering import splat_kernels as kernels
from headcast.rendering.projection import Projection, Tiles, bin_tiles, project
from headcast.rendering.splat import Info

TILE = 16


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
    """Accumulated features, alpha and alpha-weighted depth (m), differentiable in every tensor."""
    projection = project(means.float(), quats.float(), scales.float(), opacities.float(), world_to_camera.float(), K.float(), width, height)
    tiles = bin_tiles(projection, TILE, width, height)
    blended = _Blend.apply(projection.xy, projection.conic, projection.depth, opacities.float(), features.float(), tiles, width, height)
    info = Info(projection.xy, projection.radius.amax(-1), projection.radius[:, 0] >= 0)
    return (*(tensor.to(means.dtype) for tensor in blended), info)


@lru_cache(maxsize=1)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="splat")


def _spread(kernel: Any, bounds: list[int], inputs: list[Any], device: torch.device) -> None:
    """Launch ``kernel`` for the threads ``bounds[0]`` to ``bounds[-1]``, on a CPU one thread pool job per interval."""
    jobs: list[Callable[[], None]] = [
        lambda first=first, end=end: launch(kernel, end - first, [first, *inputs], device)  # type: ignore[misc]
        for first, end in zip(bounds, bounds[1:], strict=False)
        if end > first
    ]
    if len(jobs) < 2 or device.type == "cuda":
        for job in jobs:
            job()
        return
    wp.load_module(kernels, device="cpu")
    for future in [_pool(torch.get_num_threads()).submit(job) for job in jobs]:
        future.result()


def _bounds(offset: Tensor) -> list[int]:
    """Tile numbers that split the work into intervals with about equally many entries, two per thread."""
    threads = torch.get_num_threads() if offset.device.type == "cpu" else 1
    if threads == 1:
        return [0, len(offset) - 1]
    targets = torch.linspace(0, 1, 2 * threads + 1)[1:-1] * float(offset[-1])
    return [0, *torch.searchsorted(offset, targets.to(offset.dtype)).tolist(), len(offset) - 1]


def _blocks(features: Tensor) -> Tensor:
    """Channels padded to a multiple of four, contiguous."""
    return torch.nn.functional.pad(features, (0, -features.shape[-1] % 4)).contiguous()


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, xy: Tensor, conic: Tensor, depth: Tensor, opacity: Tensor, features: Tensor, tiles: Tiles, width: int, height: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        colors = _blocks(features.detach())
        saved = [tensor.detach().contiguous() for tensor in (xy, conic, opacity, depth)] + [colors]
        options = {"device": xy.device, "dtype": torch.float32}
        image = torch.zeros(height * width, colors.shape[1], **options)
        far = torch.zeros(height * width, **options)
        through = torch.ones(height * width, **options)
        last = torch.zeros(height * width, dtype=torch.int32, device=xy.device)
        inputs = [_screen(width, height), _splats(saved), _lists(tiles), colors.shape[1] // 4, _pixels(image, far, through, last)]
        _spread(kernels.blend_tile, _bounds(tiles.offset), inputs, xy.device)
        through = through.abs_()
        ctx.save_for_backward(*saved, *tiles, through, last)
        ctx.size, ctx.channels = (width, height), features.shape[1]
        image = image[:, : features.shape[1]].reshape(height, width, -1)
        return image, (1 - through).reshape(height, width), far.reshape(height, width)

    @staticmethod
    def backward(ctx: Any, grad_image: Tensor, grad_alpha: Tensor, grad_depth: Tensor) -> tuple[Tensor | None, ...]:
        *saved, offset, ids, slot, start, through, last = ctx.saved_tensors
        width, height = ctx.size
        tiles = Tiles(offset, ids, slot, start)
        pull = _blocks(grad_image.reshape(width * height, -1))
        carry = -through * grad_alpha.reshape(-1)
        blocks = pull.shape[1] // 4
        entries, sums = _gradients(len(ids), pull), _gradients(len(saved[0]), pull)
        state = _pixels(pull, grad_depth.reshape(-1), through.clone(), last)
        grad = _pixels(pull, grad_depth.reshape(-1), carry, last)
        inputs = [_screen(width, height), _splats(saved), _lists(tiles), blocks, state, grad, _struct_gradients(entries)]
        _spread(kernels.unblend_tile, _bounds(offset), inputs, through.device)
        everyone = torch.linspace(0, len(saved[0]), 3).long().tolist()
        _spread(kernels.gather, everyone, [as_array(start), blocks, _struct_gradients(entries), _struct_gradients(sums)], through.device)
        xy, conic, opacity, depth, color = sums
        return xy, conic, depth, opacity, color[:, : ctx.channels], None, None, None


def _screen(width: int, height: int) -> Any:
    return kernels.fill(kernels.Screen(), width=width, height=height, tile=TILE, columns=-(-width // TILE))


def _splats(tensors: list[Tensor]) -> Any:
    return _struct(kernels.Splats(), tensors)


def _struct_gradients(tensors: list[Tensor]) -> Any:
    return _struct(kernels.Gradients(), tensors)


def _struct(struct: Any, tensors: list[Tensor]) -> Any:
    xy, conic, opacity, depth, color = tensors
    arrays = {"xy": as_array(xy, wp.vec2), "conic": as_array(conic, wp.vec3), "opacity": as_array(opacity), "depth": as_array(depth)}
    return kernels.fill(struct, **arrays, color=as_array(color.reshape(len(color), -1, 4), wp.vec4))


def _lists(tiles: Tiles) -> Any:
    return kernels.fill(kernels.Lists(), offset=as_array(tiles.offset), ids=as_array(tiles.ids), slot=as_array(tiles.slot))


def _pixels(color: Tensor, depth: Tensor, through: Tensor, last: Tensor) -> Any:
    arrays = {"depth": as_array(depth), "through": as_array(through), "last": as_array(last)}
    return kernels.fill(kernels.Pixels(), **arrays, color=as_array(color.reshape(len(color), -1, 4), wp.vec4))


def _gradients(count: int, like: Tensor) -> list[Tensor]:
    sizes = [(count, 2), (count, 3), (count,), (count,), (count, like.shape[1])]
    return [torch.zeros(size, dtype=torch.float32, device=like.device) for size in sizes]
