"""Warp kernels of the splat rasterizer: projection, tile lists and blending, each with its adjoint written by hand.

A thread blends a whole tile, Gaussian by Gaussian (``*_tile``, quick on a CPU: exact scanlines, no atomics), or one pixel
(``*_pixel``, for CUDA). Features come in blocks of four channels. Gradients are written per tile entry and summed per Gaussian in
a fixed order, so on a CPU the result does not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from headcast.rendering.projection import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE

SLACK = 1.0e-3  # px by which a scanline is widened against rounding; the test on alpha decides


@wp.struct
class Screen:
    """Image and tile sizes (px) and the number of tile columns."""

    width: int
    height: int
    tile: int
    columns: int


@wp.struct
class Splats:
    """Gaussians on the screen: centre, inverse covariance, opacity, camera depth and features in blocks of four; or their gradients."""

    xy: wp.array(dtype=wp.vec2)  # type: ignore[valid-type]
    conic: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]
    opacity: wp.array(dtype=float)  # type: ignore[valid-type]
    depth: wp.array(dtype=float)  # type: ignore[valid-type]
    color: wp.array2d(dtype=wp.vec4)  # type: ignore[valid-type]


@wp.struct
class Lists:
    """Per tile, the Gaussians from near to far, and the gradient slot of each entry."""

    offset: wp.array(dtype=int)  # type: ignore[valid-type]
    ids: wp.array(dtype=int)  # type: ignore[valid-type]
    slot: wp.array(dtype=int)  # type: ignore[valid-type]


@wp.struct
class Pixels:
    """Per pixel: blended features, depth, transmittance (negative once finished) and the end of its list."""

    color: wp.array2d(dtype=wp.vec4)  # type: ignore[valid-type]
    depth: wp.array(dtype=float)  # type: ignore[valid-type]
    through: wp.array(dtype=float)  # type: ignore[valid-type]
    last: wp.array(dtype=int)  # type: ignore[valid-type]


@wp.func
def exponent(conic: wp.vec3, dx: float, dy: float) -> float:
    """The logarithm of a Gaussian's falloff at an offset (px) from its centre."""
    return -0.5 * (conic[0] * dx * dx + conic[2] * dy * dy) - conic[1] * dx * dy


@wp.func
def level_of(opacity: float) -> float:
    """The squared Mahalanobis distance at which alpha falls to the smallest that counts."""
    return 2.0 * wp.log(opacity / MIN_ALPHA)


@wp.func
def row_range(xy: wp.vec2, conic: wp.vec3, level: float, top: int, bottom: int) -> wp.vec2i:
    """The rows from ``top`` up to ``bottom`` whose centres the ellipse can reach, as first and one past the last."""
    reach = wp.sqrt(level * conic[0] / (conic[0] * conic[2] - conic[1] * conic[1])) + SLACK
    first = wp.max(float(top), wp.ceil(xy[1] - reach - 0.5))
    end = wp.min(float(bottom), wp.floor(xy[1] + reach - 0.5) + 1.0)
    return wp.vec2i(int(first), int(end))


@wp.func
def column_range(xy: wp.vec2, conic: wp.vec3, level: float, dy: float, left: int, right: int) -> wp.vec2i:
    """The columns from ``left`` up to ``right`` whose centres lie in the ellipse on the scanline ``dy`` (px) below its centre."""
    spread = level * conic[0] - (conic[0] * conic[2] - conic[1] * conic[1]) * dy * dy
    half = wp.sqrt(wp.max(spread, 0.0)) / conic[0] + SLACK
    middle = xy[0] - conic[1] * dy / conic[0]
    first = wp.max(float(left), wp.ceil(middle - half - 0.5))
    end = wp.min(float(right), wp.floor(middle + half - 0.5) + 1.0)
    return wp.vec2i(int(first), int(end))


@wp.kernel(enable_backward=False)
def blend_tile(first: int, screen: Screen, splats: Splats, lists: Lists, blocks: int, out: Pixels):
    """Blend the tile ``first`` + thread front to back; expects zero colour and depth, and transmittance one."""
    t = first + wp.tid()
    left = (t % screen.columns) * screen.tile
    top = (t / screen.columns) * screen.tile
    right = wp.min(left + screen.tile, screen.width)
    bottom = wp.min(top + screen.tile, screen.height)
    open_pixels = int((right - left) * (bottom - top))
    for k in range(lists.offset[t], lists.offset[t + 1]):
        if open_pixels == 0:
            break
        g = lists.ids[k]
        xy = splats.xy[g]
        conic = splats.conic[g]
        opacity = splats.opacity[g]
        depth = splats.depth[g]
        level = level_of(opacity)
        rows = row_range(xy, conic, level, top, bottom)
        for y in range(rows[0], rows[1]):
            dy = float(y) + 0.5 - xy[1]
            columns = column_range(xy, conic, level, dy, left, right)
            for x in range(columns[0], columns[1]):
                q = y * screen.width + x
                through = out.through[q]
                if through > 0.0:
                    alpha = wp.min(MAX_ALPHA, opacity * wp.exp(exponent(conic, float(x) + 0.5 - xy[0], dy)))
                    if alpha >= MIN_ALPHA:
                        after = through * (1.0 - alpha)
                        if after < MIN_TRANSMITTANCE:
                            out.through[q] = -through
                            open_pixels -= 1
                        else:
                            weight = alpha * through
                            for b in range(blocks):
                                out.color[q, b] = out.color[q, b] + weight * splats.color[g, b]
                            out.depth[q] = out.depth[q] + weight * depth
                            out.through[q] = after
                            out.last[q] = k + 1


@wp.kernel(enable_backward=False)
def unblend_tile(first: int, screen: Screen, splats: Splats, lists: Lists, blocks: int, state: Pixels, grad: Pixels, out: Splats):
    """The adjoint of ``blend_tile``, back to front: with R = Σ behind w (c·g), dL/dα = T (c·g) − R / (1 − α).

    ``state.through`` holds the final transmittance and is walked back; ``grad.through`` starts as its gradient times it and carries R.
    """
    t = first + wp.tid()
    left = (t % screen.columns) * screen.tile
    top = (t / screen.columns) * screen.tile
    right = wp.min(left + screen.tile, screen.width)
    bottom = wp.min(top + screen.tile, screen.height)
    begin = lists.offset[t]
    end = int(begin)
    for y in range(top, bottom):
        for x in range(left, right):
            end = wp.max(end, state.last[y * screen.width + x])
    for i in range(end - begin):
        k = end - 1 - i
        g = lists.ids[k]
        slot = lists.slot[k]
        xy = splats.xy[g]
        conic = splats.conic[g]
        opacity = splats.opacity[g]
        depth = splats.depth[g]
        level = level_of(opacity)
        rows = row_range(xy, conic, level, top, bottom)
        sum_x = float(0.0)
        sum_y = float(0.0)
        sum_xx = float(0.0)
        sum_xy = float(0.0)
        sum_yy = float(0.0)
        sum_opacity = float(0.0)
        sum_depth = float(0.0)
        for y in range(rows[0], rows[1]):
            dy = float(y) + 0.5 - xy[1]
            columns = column_range(xy, conic, level, dy, left, right)
            for x in range(columns[0], columns[1]):
                q = y * screen.width + x
                if k < state.last[q]:
                    dx = float(x) + 0.5 - xy[0]
                    falloff = wp.exp(exponent(conic, dx, dy))
                    alpha = wp.min(MAX_ALPHA, opacity * falloff)
                    if alpha >= MIN_ALPHA:
                        gain = 1.0 / (1.0 - alpha)
                        through = state.through[q] * gain
                        state.through[q] = through
                        weight = alpha * through
                        along = depth * grad.depth[q]
                        sum_depth += weight * grad.depth[q]
                        for b in range(blocks):
                            pull = grad.color[q, b]
                            along += wp.dot(splats.color[g, b], pull)
                            out.color[slot, b] = out.color[slot, b] + weight * pull
                        behind = grad.through[q]
                        grad_alpha = through * along - behind * gain
                        grad.through[q] = behind + weight * along
                        if opacity * falloff < MAX_ALPHA:
                            sum_opacity += falloff * grad_alpha
                            slope = alpha * grad_alpha
                            sum_x += slope * dx
                            sum_y += slope * dy
                            sum_xx += slope * dx * dx
                            sum_xy += slope * dx * dy
                            sum_yy += slope * dy * dy
        out.xy[slot] = wp.vec2(conic[0] * sum_x + conic[1] * sum_y, conic[2] * sum_y + conic[1] * sum_x)
        out.conic[slot] = wp.vec3(-0.5 * sum_xx, -sum_xy, -0.5 * sum_yy)
        out.opacity[slot] = sum_opacity
        out.depth[slot] = sum_depth


@wp.kernel(enable_backward=False)
def gather(first: int, start: wp.array(dtype=int), blocks: int, entries: Splats, out: Splats):  # type: ignore[valid-type]
    """Sum the gradients of each Gaussian's tile entries in their fixed order."""
    g = first + wp.tid()
    xy = wp.vec2()
    conic = wp.vec3()
    opacity = float(0.0)
    depth = float(0.0)
    for slot in range(start[g], start[g + 1]):
        xy += entries.xy[slot]
        conic += entries.conic[slot]
        opacity += entries.opacity[slot]
        depth += entries.depth[slot]
        for b in range(blocks):
            out.color[g, b] = out.color[g, b] + entries.color[slot, b]
    out.xy[g] = xy
    out.conic[g] = conic
    out.opacity[g] = opacity
    out.depth[g] = depth


def fill(struct: Any, **arrays: Any) -> Any:
    """Set the members of a warp struct."""
    for name, value in arrays.items():
        setattr(struct, name, value)
    return struct
