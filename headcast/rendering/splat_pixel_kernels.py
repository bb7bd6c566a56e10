"""The blending kernels for CUDA: a thread per pixel, a block of threads per tile, gradients added up atomically per tile entry."""

# Kernels are written in warp's language, which only looks like Python: its literals need a type, its types no checker knows.
# mypy: ignore-errors
# ruff: noqa: UP018, RUF046

from __future__ import annotations

import warp as wp

from headcast.rendering.projection import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE
from headcast.rendering.splat_arrays import LANES, Lists, Pixels, Splats

AREA = LANES * LANES


@wp.func
def center_of(thread: int, columns: int) -> wp.vec2:
    """The centre of a thread's pixel, tile by tile and row by row (px)."""
    t = thread / AREA
    lane = thread % AREA
    return wp.vec2(float((t % columns) * LANES + lane % LANES) + 0.5, float((t / columns) * LANES + lane / LANES) + 0.5)


@wp.func
def exponent(conic: wp.vec3, offset: wp.vec2) -> float:
    """The logarithm of a Gaussian's falloff at an offset (px) from its centre."""
    squares = conic[0] * offset[0] * offset[0] + conic[2] * offset[1] * offset[1]
    return -0.5 * squares - conic[1] * offset[0] * offset[1]


@wp.kernel(enable_backward=False)
def blend_pixel(first: int, columns: int, splats: Splats, lists: Lists, out: Pixels):
    """Blend one pixel front to back; see ``splat_kernels.blend_tile``."""
    thread = first + wp.tid()
    center = center_of(thread, columns)
    channels = splats.color.shape[1]
    q = (thread / LANES) * LANES * channels + thread % LANES  # channel c of the pixel lies c rows of lanes further on
    through = float(1.0)
    last = int(0)
    t = thread / AREA
    for k in range(lists.offset[t], lists.offset[t + 1]):
        g = lists.ids[k]
        alpha = wp.min(MAX_ALPHA, splats.opacity[g] * wp.exp(exponent(splats.conic[g], center - splats.xy[g])))
        if alpha >= MIN_ALPHA:
            after = through * (1.0 - alpha)
            if after < MIN_TRANSMITTANCE:
                break
            weight = alpha * through
            for c in range(channels):
                out.color[q + c * LANES] = out.color[q + c * LANES] + weight * splats.color[g, c]
            through = after
            last = k + 1
    out.through[thread] = through
    out.last[thread] = last


@wp.kernel(enable_backward=False)
def unblend_pixel(first: int, columns: int, splats: Splats, lists: Lists, state: Pixels, out: Splats):
    """The adjoint of ``blend_pixel``; see ``splat_kernels.unblend_tile``."""
    thread = first + wp.tid()
    center = center_of(thread, columns)
    channels = splats.color.shape[1]
    q = (thread / LANES) * LANES * channels + thread % LANES  # channel c of the pixel lies c rows of lanes further on
    through = float(state.through[thread])
    behind = float(state.behind[thread])
    begin = lists.offset[thread / AREA]
    end = state.last[thread]
    for i in range(end - begin):
        k = end - 1 - i
        g = lists.ids[k]
        offset = center - splats.xy[g]
        conic = splats.conic[g]
        opacity = splats.opacity[g]
        falloff = wp.exp(exponent(conic, offset))
        alpha = wp.min(MAX_ALPHA, opacity * falloff)
        if alpha >= MIN_ALPHA:
            slot = lists.slot[k]
            gain = 1.0 / (1.0 - alpha)
            through = through * gain
            weight = alpha * through
            along = float(0.0)
            for c in range(channels):
                pull = state.color[q + c * LANES]
                along += splats.color[g, c] * pull
                wp.atomic_add(out.color, slot, c, weight * pull)
            grad_alpha = through * along - behind * gain
            behind += weight * along
            if opacity * falloff < MAX_ALPHA:
                slope = alpha * grad_alpha
                steep = wp.vec2(conic[0] * offset[0] + conic[1] * offset[1], conic[2] * offset[1] + conic[1] * offset[0])
                squares = wp.vec3(-0.5 * offset[0] * offset[0], -offset[0] * offset[1], -0.5 * offset[1] * offset[1])
                wp.atomic_add(out.opacity, slot, falloff * grad_alpha)
                wp.atomic_add(out.xy, slot, slope * steep)
                wp.atomic_add(out.conic, slot, slope * squares)
