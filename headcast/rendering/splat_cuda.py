"""Splatting on CUDA by warp: tile lists by a sort on the device, blending by a block of threads for each tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from headcast.geometry.warp_runtime import as_array, launch
from headcast.rendering.projection import Projection
from headcast.rendering.splat_cuda_kernels import AREA, TILE, blending, count_entries, list_entries

LAST_KEY = torch.iinfo(torch.int64).max


@dataclass
class Room:
    """Room for ``size`` tile entries; ``needed`` (on the device) counts those of the last picture: any beyond were dropped."""

    size: int
    needed: Int[Tensor, ""] | None = None


_room: ContextVar[Room | None] = ContextVar("room", default=None)


@contextmanager
def fixed_room(size: int) -> Iterator[Room]:
    """Splat without asking the device how many tile entries there are, as a CUDA graph needs it.

    The caller reads ``needed`` afterwards and, if it exceeds ``size``, does the work again with more room.
    """
    room = Room(size)
    token = _room.set(room)
    try:
        yield room
    finally:
        _room.reset(token)


@torch.no_grad()
def sorted_entries(projection: Projection, width: int, height: int) -> tuple[Int[Tensor, "tiles_plus_1"], Int[Tensor, "M"]]:
    """For tile t (row-major, ``TILE`` px) the Gaussians ``ids[offset[t]:offset[t + 1]]`` from near to far."""
    columns, rows = -(-width // TILE), -(-height // TILE)
    device, count = projection.xy.device, len(projection.xy)
    boxes = [as_array(projection.xy, wp.vec2), as_array(projection.radius, wp.vec2)]
    counts = torch.empty(count, dtype=torch.int32, device=device)
    launch(count_entries, count, [*boxes, columns, rows, as_array(counts)], device)
    ends = counts.cumsum(0, dtype=torch.int32)
    room = _room.get()
    if room is None:
        size = int(ends[-1]) if count else 0
    else:
        size, room.needed = room.size, ends[-1]
    keys = torch.full((size,), LAST_KEY, dtype=torch.int64, device=device)
    ids = torch.zeros(size, dtype=torch.int32, device=device)
    depth = projection.depth.detach().contiguous().view(torch.int32)
    launch(list_entries, count, [*boxes, *map(as_array, (depth,)), columns, rows, *map(as_array, (ends, keys, ids))], device)
    keys, order = torch.sort(keys)
    first = torch.arange(columns * rows + 1, device=device, dtype=torch.int64) << 32
    return torch.searchsorted(keys, first).int(), ids[order]


def blend(
    projection: Projection, opacity: Float[Tensor, "N"], channels: Float[Tensor, "N D"], width: int, height: int
) -> tuple[Float[Tensor, "H W D"], Float[Tensor, "H W"]]:
    """Blend Gaussians on the screen, near to far; gradients are summed in no fixed order."""
    offset, ids = sorted_entries(projection, width, height)
    return _Blend.apply(projection.xy, projection.conic, opacity, channels, offset, ids, width, height)


class _Blend(torch.autograd.Function):
    """Blend into a picture "H W D" and alpha "H W"."""

    @staticmethod
    def forward(
        ctx: Any, xy: Tensor, conic: Tensor, opacity: Tensor, channels: Tensor, offset: Tensor, ids: Tensor, width: int, height: int
    ) -> tuple[Tensor, Tensor]:
        saved = [tensor.detach().contiguous() for tensor in (xy, conic, opacity, channels)]
        columns, rows, depth = -(-width // TILE), -(-height // TILE), channels.shape[1]
        picture = xy.new_empty(rows, columns, depth, TILE, TILE)
        through = xy.new_empty(rows, columns, 1, TILE, TILE)
        last = torch.empty_like(through, dtype=torch.int32)
        inputs = [columns, *_splats(saved), as_array(offset), as_array(ids), *map(_flat, (picture, through, last))]
        launch(blending(depth).blend, rows * columns * AREA, inputs, xy.device, AREA)
        ctx.save_for_backward(*saved, offset, ids, through, last)
        return _from_tiles(picture, width, height), 1 - _from_tiles(through, width, height)[..., 0]

    @staticmethod
    def backward(ctx: Any, grad_picture: Tensor, grad_alpha: Tensor) -> tuple[Tensor | None, ...]:
        *saved, offset, ids, through, last = ctx.saved_tensors
        rows, columns = through.shape[:2]
        pulls = _to_tiles(grad_picture), _to_tiles(grad_alpha[..., None])
        grads = [torch.zeros_like(tensor) for tensor in saved]
        lists = [as_array(offset), as_array(ids), *map(_flat, (*pulls, through, last))]
        inputs = [columns, *_splats(saved), *lists, *_splats(grads)]
        launch(blending(saved[3].shape[1]).unblend, rows * columns * AREA, inputs, through.device, AREA)
        return *grads, None, None, None, None


def _splats(tensors: Sequence[Tensor]) -> list[Any]:
    xy, conic, opacity, color = tensors
    return [as_array(xy, wp.vec2), as_array(conic, wp.vec3), as_array(opacity), _flat(color)]


def _flat(tensor: Tensor) -> Any:
    return as_array(tensor.view(-1))


def _from_tiles(picture: Tensor, width: int, height: int) -> Tensor:
    """From "rows columns D TILE TILE" to "H W D"."""
    rows, columns, channels = picture.shape[:3]
    return picture.permute(0, 3, 1, 4, 2).reshape(rows * TILE, columns * TILE, channels)[:height, :width]


def _to_tiles(picture: Tensor) -> Tensor:
    """From "H W D" to "rows columns D TILE TILE", zero beyond the border."""
    height, width, channels = picture.shape
    padded = torch.nn.functional.pad(picture, (0, 0, 0, -width % TILE, 0, -height % TILE))
    return padded.reshape(-(-height // TILE), TILE, -(-width // TILE), TILE, channels).permute(0, 2, 4, 1, 3).contiguous()
