"""The blending kernels for CUDA: a thread per pixel, a block of threads per tile, gradients added up atomically per tile entry."""

from __future__ import annotations

import warp as wp

from headcast.rendering.projection import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE
from headcast.rendering.splat_kernels import Lists, Pixels, Screen, Splats, exponent


@wp.func
def pixel_of(thread: int, screen: Screen) -> wp.vec2i:
    """Column and row of a thread's pixel, tile by tile; may lie outside the image."""
    area = screen.tile * screen.tile
    t = thread / area
    lane = thread % area
    column = (t % screen.columns) * screen.tile + lane % screen.tile
    row = (t / screen.columns) * screen.tile + lane / screen.tile
    return wp.vec2i(column, row)


@wp.kernel(enable_backward=False)
def blend_pixel(first: int, screen: Screen, splats: Splats, lists: Lists, blocks: int, out: Pixels):
    """Blend one pixel front to back; see ``splat_kernels.blend_tile``."""
    thread = first + wp.tid()
    pixel = pixel_of(thread, screen)
    if pixel[0] >= screen.width or pixel[1] >= screen.height:
        return
    t = thread / (screen.tile * screen.tile)
    q = pixel[1] * screen.width + pixel[0]
    through = float(1.0)
    depth = float(0.0)
    last = int(0)
    for k in range(lists.offset[t], lists.offset[t + 1]):
        g = lists.ids[k]
        offset = wp.vec2(float(pixel[0]) + 0.5, float(pixel[1]) + 0.5) - splats.xy[g]
        alpha = wp.min(MAX_ALPHA, splats.opacity[g] * wp.exp(exponent(splats.conic[g], offset[0], offset[1])))
        if alpha >= MIN_ALPHA:
            after = through * (1.0 - alpha)
            if after < MIN_TRANSMITTANCE:
                break
            weight = alpha * through
            for b in range(blocks):
                out.color[q, b] = out.color[q, b] + weight * splats.color[g, b]
            depth += weight * splats.depth[g]
            through = after
            last = k + 1
    out.depth[q] = depth
    out.through[q] = through
    out.last[q] = last


@wp.kernel(enable_backward=False)
def unblend_pixel(first: int, screen: Screen, splats: Splats, lists: Lists, blocks: int, state: Pixels, grad: Pixels, out: Splats):
    """The adjoint of ``blend_pixel``; see ``splat_kernels.unblend_tile``."""
    thread = first + wp.tid()
    pixel = pixel_of(thread, screen)
    if pixel[0] >= screen.width or pixel[1] >= screen.height:
        return
    begin = lists.offset[thread / (screen.tile * screen.tile)]
    q = pixel[1] * screen.width + pixel[0]
    through = float(state.through[q])
    behind = float(grad.through[q])
    end = state.last[q]
    for i in range(end - begin):
        k = end - 1 - i
        g = lists.ids[k]
        offset = wp.vec2(float(pixel[0]) + 0.5, float(pixel[1]) + 0.5) - splats.xy[g]
        conic = splats.conic[g]
        opacity = splats.opacity[g]
        falloff = wp.exp(exponent(conic, offset[0], offset[1]))
        alpha = wp.min(MAX_ALPHA, opacity * falloff)
        if alpha >= MIN_ALPHA:
            slot = lists.slot[k]
            gain = 1.0 / (1.0 - alpha)
            through = through * gain
            weight = alpha * through
            along = splats.depth[g] * grad.depth[q]
            wp.atomic_add(out.depth, slot, weight * grad.depth[q])
            for b in range(blocks):
                pull = grad.color[q, b]
                along += wp.dot(splats.color[g, b], pull)
                wp.atomic_add(out.color, slot, b, weight * pull)
            grad_alpha = through * along - behind * gain
            behind += weight * along
            if opacity * falloff < MAX_ALPHA:
                slope = alpha * grad_alpha
                steep = wp.vec2(conic[0] * offset[0] + conic[1] * offset[1], conic[2] * offset[1] + conic[1] * offset[0])
                squares = wp.vec3(-0.5 * offset[0] * offset[0], -offset[0] * offset[1], -0.5 * offset[1] * offset[1])
                wp.atomic_add(out.opacity, slot, falloff * grad_alpha)
                wp.atomic_add(out.xy, slot, slope * steep)
                wp.atomic_add(out.conic, slot, slope * squares)
