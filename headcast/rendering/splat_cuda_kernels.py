"""Blending kernels for CUDA, compiled by warp for one number of channels: a block per tile, a thread per pixel, shared memory.

Forward, a block fetches Gaussians in batches that all its pixels walk through with their sums in registers. The adjoint takes
``CHUNK`` Gaussians at a time: first each pixel writes its two scalars per Gaussian (weight and slope) to shared memory, then the
threads change places, each summing one Gaussian over some pixels: products and sums instead of a reduction per value.
"""

# Kernels are written in warp's language, which only looks like Python: its literals need a type, its types no checker knows.
# mypy: ignore-errors

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import warp as wp

from headcast.rendering.projection import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE
from headcast.rendering.projection_kernels import tile_box

TILE = 8
"""Width and height of a tile (px). Heads are made of Gaussians a few pixels wide: larger tiles test more pixels in vain."""
AREA = TILE * TILE
CHUNK = 16
WARPS = AREA // 32


class Blending(NamedTuple):
    """The kernels for one number of channels; launch ``AREA`` threads a tile, in blocks of as many."""

    blend: Any
    unblend: Any


PIXEL = f"""
    const int lane = threadIdx.x, tile = thread / {AREA};
    const float px = (tile % columns) * {TILE} + lane % {TILE} + 0.5f, py = (tile / columns) * {TILE} + lane / {TILE} + 0.5f;
    const int begin = offset.data[tile];
"""

BLEND = f"""
    {PIXEL}
    __shared__ float2 xys[{AREA}];
    __shared__ float4 conics[{AREA}];
    __shared__ float colors[{AREA} * D];
    const int end = offset.data[tile + 1];
    float sum[D], through = 1.0f;
    for (int c = 0; c < D; ++c) sum[c] = 0.0f;
    int last = begin;
    bool done = false;
    for (int base = begin; base < end; base += {AREA}) {{
        if (__syncthreads_and(done)) break;
        if (base + lane < end) {{
            const int g = ids.data[base + lane];
            xys[lane] = make_float2(xy.data[g][0], xy.data[g][1]);
            conics[lane] = make_float4(conic.data[g][0], conic.data[g][1], conic.data[g][2], opacity.data[g]);
            for (int c = 0; c < D; ++c) colors[lane * D + c] = color.data[g * D + c];
        }}
        __syncthreads();
        const int count = min({AREA}, end - base);
        for (int j = 0; j < count && !done; ++j) {{
            const float dx = px - xys[j].x, dy = py - xys[j].y;
            const float4 q = conics[j];
            const float alpha = min({MAX_ALPHA}f, q.w * __expf(-0.5f * (q.x * dx * dx + q.z * dy * dy) - q.y * dx * dy));
            if (alpha < {MIN_ALPHA:.9g}f) continue;
            const float after = through * (1.0f - alpha), weight = alpha * through;
            if (after < {MIN_TRANSMITTANCE}f) {{ done = true; break; }}
            for (int c = 0; c < D; ++c) sum[c] += weight * colors[j * D + c];
            through = after;
            last = base + j + 1;
        }}
    }}
    for (int c = 0; c < D; ++c) picture.data[(tile * D + c) * {AREA} + lane] = sum[c];
    throughs.data[tile * {AREA} + lane] = through;
    lasts.data[tile * {AREA} + lane] = last;
"""

UNBLEND = f"""
    {PIXEL}
    __shared__ float weights[{CHUNK}][{AREA} + 4], slopes[{CHUNK}][{AREA} + 4];
    __shared__ float2 xys[{CHUNK}];
    __shared__ float4 conics[{CHUNK}];
    __shared__ int gs[{CHUNK}];
    __shared__ float colors[{CHUNK} * D];
    __shared__ int top;
    float pull[D];
    for (int c = 0; c < D; ++c) pull[c] = grad_picture.data[(tile * D + c) * {AREA} + lane];
    const int last = lasts.data[tile * {AREA} + lane];
    float through = throughs.data[tile * {AREA} + lane], behind = -through * grad_alpha.data[tile * {AREA} + lane];
    if (lane == 0) top = begin;
    __syncthreads();
    atomicMax(&top, last);
    __syncthreads();
    const int mine = lane % {CHUNK}, row = lane / {CHUNK} * {CHUNK};
    for (int end = top; end > begin; end -= {CHUNK}) {{
        const int first = max(begin, end - {CHUNK}), count = end - first;
        __syncthreads();
        if (lane < count) {{
            const int g = ids.data[first + lane];
            gs[lane] = g;
            xys[lane] = make_float2(xy.data[g][0], xy.data[g][1]);
            conics[lane] = make_float4(conic.data[g][0], conic.data[g][1], conic.data[g][2], opacity.data[g]);
        }}
        for (int i = lane; i < count * D; i += {AREA}) colors[i] = color.data[ids.data[first + i / D] * D + i % D];
        __syncthreads();
        for (int j = count - 1; j >= 0; --j) {{
            float weight = 0.0f, slope = 0.0f;
            if (first + j < last) {{
                const float dx = px - xys[j].x, dy = py - xys[j].y;
                const float4 q = conics[j];
                const float raw = q.w * __expf(-0.5f * (q.x * dx * dx + q.z * dy * dy) - q.y * dx * dy);
                const float alpha = min({MAX_ALPHA}f, raw);
                if (alpha >= {MIN_ALPHA:.9g}f) {{
                    const float gain = 1.0f / (1.0f - alpha);
                    through *= gain;
                    weight = alpha * through;
                    float along = 0.0f;
                    for (int c = 0; c < D; ++c) along += colors[j * D + c] * pull[c];
                    if (raw < {MAX_ALPHA}f) slope = alpha * (through * along - behind * gain);
                    behind += weight * along;
                }}
            }}
            weights[j][lane] = weight;
            slopes[j][lane] = slope;
        }}
        __syncthreads();
        float sum[D], moments[6] = {{0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}}, any = 0.0f;
        for (int c = 0; c < D; ++c) sum[c] = 0.0f;
        if (mine < count) {{
            for (int i = 0; i < {CHUNK}; ++i) any += weights[mine][row + i];
        }}
        if (any > 0.0f) {{
            for (int i = 0; i < {CHUNK}; i += 4) {{
                const float4 w = *(const float4*)&weights[mine][row + i];
                for (int c = 0; c < D; ++c) {{
                    const float4 p = *(const float4*)&grad_picture.data[(tile * D + c) * {AREA} + row + i];
                    sum[c] += w.x * p.x + w.y * p.y + w.z * p.z + w.w * p.w;
                }}
            }}
            const float left = (tile % columns) * {TILE} + 0.5f - xys[mine].x;
            const float upper = (tile / columns) * {TILE} + 0.5f - xys[mine].y;
            for (int i = 0; i < {CHUNK}; ++i) {{
                const float s = slopes[mine][row + i], dx = left + (row + i) % {TILE}, dy = upper + (row + i) / {TILE};
                moments[0] += s;
                moments[1] += s * dx;
                moments[2] += s * dy;
                moments[3] += s * dx * dx;
                moments[4] += s * dx * dy;
                moments[5] += s * dy * dy;
            }}
        }}
        any += __shfl_xor_sync(0xffffffff, any, {CHUNK});
        for (int c = 0; c < D; ++c) sum[c] += __shfl_xor_sync(0xffffffff, sum[c], {CHUNK});
        for (int m = 0; m < 6; ++m) moments[m] += __shfl_xor_sync(0xffffffff, moments[m], {CHUNK});
        if (lane % 32 < {CHUNK} && any > 0.0f) {{
            const int g = gs[mine];
            const float4 q = conics[mine];
            for (int c = 0; c < D; ++c) atomicAdd(grad_color.data + g * D + c, sum[c]);
            float* to_xy = (float*)(grad_xy.data + g);
            float* to_conic = (float*)(grad_conic.data + g);
            atomicAdd(to_xy, q.x * moments[1] + q.y * moments[2]);
            atomicAdd(to_xy + 1, q.z * moments[2] + q.y * moments[1]);
            atomicAdd(to_conic, -0.5f * moments[3]);
            atomicAdd(to_conic + 1, -moments[4]);
            atomicAdd(to_conic + 2, -0.5f * moments[5]);
            atomicAdd(grad_opacity.data + g, moments[0] / q.w);
        }}
    }}
"""


@lru_cache(maxsize=16)
def blending(channels: int) -> Blending:
    """Kernels for pictures "tiles channels AREA"; the adjoint adds to gradients that start at zero."""
    # One module for each number of channels: warp then keeps each on disk, and none is compiled for a CPU.
    constants = f"constexpr int D = {channels};"

    @wp.func_native(constants + BLEND)
    def blend_native(
        thread: int, columns: int, xy: wp.array(dtype=wp.vec2), conic: wp.array(dtype=wp.vec3), opacity: wp.array(dtype=float),
        color: wp.array(dtype=float), offset: wp.array(dtype=int), ids: wp.array(dtype=int), picture: wp.array(dtype=float),
        throughs: wp.array(dtype=float), lasts: wp.array(dtype=int),
    ):  # fmt: skip
        ...

    @wp.func_native(constants + UNBLEND)
    def unblend_native(
        thread: int, columns: int, xy: wp.array(dtype=wp.vec2), conic: wp.array(dtype=wp.vec3), opacity: wp.array(dtype=float),
        color: wp.array(dtype=float), offset: wp.array(dtype=int), ids: wp.array(dtype=int), grad_picture: wp.array(dtype=float),
        grad_alpha: wp.array(dtype=float), throughs: wp.array(dtype=float), lasts: wp.array(dtype=int),
        grad_xy: wp.array(dtype=wp.vec2), grad_conic: wp.array(dtype=wp.vec3), grad_opacity: wp.array(dtype=float),
        grad_color: wp.array(dtype=float),
    ):  # fmt: skip
        ...

    def blend(
        columns: int, xy: wp.array(dtype=wp.vec2), conic: wp.array(dtype=wp.vec3), opacity: wp.array(dtype=float),
        color: wp.array(dtype=float), offset: wp.array(dtype=int), ids: wp.array(dtype=int), picture: wp.array(dtype=float),
        throughs: wp.array(dtype=float), lasts: wp.array(dtype=int),
    ):  # fmt: skip
        blend_native(wp.tid(), columns, xy, conic, opacity, color, offset, ids, picture, throughs, lasts)

    def unblend(
        columns: int, xy: wp.array(dtype=wp.vec2), conic: wp.array(dtype=wp.vec3), opacity: wp.array(dtype=float),
        color: wp.array(dtype=float), offset: wp.array(dtype=int), ids: wp.array(dtype=int), grad_picture: wp.array(dtype=float),
        grad_alpha: wp.array(dtype=float), throughs: wp.array(dtype=float), lasts: wp.array(dtype=int),
        grad_xy: wp.array(dtype=wp.vec2), grad_conic: wp.array(dtype=wp.vec3), grad_opacity: wp.array(dtype=float),
        grad_color: wp.array(dtype=float),
    ):  # fmt: skip
        unblend_native(
            wp.tid(), columns, xy, conic, opacity, color, offset, ids, grad_picture, grad_alpha, throughs, lasts,
            grad_xy, grad_conic, grad_opacity, grad_color,
        )  # fmt: skip

    return Blending(*(wp.kernel(kernel, enable_backward=False, module="unique") for kernel in (blend, unblend)))


@wp.kernel(enable_backward=False)
def count_entries(
    xy: wp.array(dtype=wp.vec2), radius: wp.array(dtype=wp.vec2), columns: int, rows: int, counts: wp.array(dtype=int)
):
    """How many tiles each Gaussian's box meets."""
    g = wp.tid()
    box = tile_box(xy[g], radius[g], TILE, columns, rows)
    counts[g] = (box[2] - box[0]) * (box[3] - box[1])


@wp.kernel(enable_backward=False)
def list_entries(
    xy: wp.array(dtype=wp.vec2),
    radius: wp.array(dtype=wp.vec2),
    depth: wp.array(dtype=int),
    columns: int,
    rows: int,
    ends: wp.array(dtype=int),
    keys: wp.array(dtype=wp.int64),
    ids: wp.array(dtype=int),
):
    """Write each Gaussian's entries, up to ``ends[g]``; the key orders by tile, then by depth (the bits of a positive float).

    Entries beyond the length of ``keys`` are dropped; whoever made them that short has to look at the last of ``ends``.
    """
    g = wp.tid()
    box = tile_box(xy[g], radius[g], TILE, columns, rows)
    entry = ends[g] - (box[2] - box[0]) * (box[3] - box[1])
    for row in range(box[1], box[3]):
        for column in range(box[0], box[2]):
            if entry < keys.shape[0]:
                keys[entry] = (wp.int64(row * columns + column) << wp.int64(32)) + wp.int64(depth[g])
                ids[entry] = g
            entry += 1
