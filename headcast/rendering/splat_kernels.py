"""Warp kernels that blend Gaussians on the screen, with the adjoint written by hand: a thread per tile, made for CPUs.

A tile is blended Gaussian by Gaussian, a row of ``LANES`` pixels at once: these inner loops are native snippets in Clang's
vector types, which compile to vector instructions. Pictures are stored tile by tile ("tiles rows channels lanes"). Gradients
are written per tile entry and summed per Gaussian in a fixed order, so the result does not depend on the number of threads.
"""

# Kernels are written in warp's language, which only looks like Python: its literals need a type, its types no checker knows.
# mypy: ignore-errors

from __future__ import annotations

import warp as wp

from headcast.rendering.projection import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE
from headcast.rendering.splat_arrays import LANES, Lists, Pixels, Splats

SLACK = 1.0e-3  # px by which rows are widened against rounding; the test on alpha decides


@wp.func
def row_range(xy: wp.vec2, conic: wp.vec3, opacity: float, top: int) -> wp.vec2i:
    """The rows of the tile below ``top`` whose centres the ellipse of visible alpha can reach, as first and one past the last."""
    level = 2.0 * wp.log(opacity / MIN_ALPHA)
    reach = wp.sqrt(level * conic[0] / (conic[0] * conic[2] - conic[1] * conic[1])) + SLACK
    first = wp.max(float(top), wp.ceil(xy[1] - reach - 0.5))
    end = wp.min(float(top + LANES), wp.floor(xy[1] + reach - 0.5) + 1.0)
    return wp.vec2i(int(first), int(end))


ROW = f"""
    typedef float Row __attribute__((ext_vector_type({LANES}), aligned(4)));
    typedef int Mask __attribute__((ext_vector_type({LANES}), aligned(4)));
    Row column;
    for (int i = 0; i < {LANES}; ++i) column[i] = left + i + 0.5f;
"""  # a row of pixels in vector registers, and the abscissae of its centres

ALPHA = """
        const float dy = row + 0.5f - xy[1];
        Row power = (-0.5f * conic[0] * dx - conic[1] * dy) * dx - 0.5f * conic[2] * dy * dy;
        power = (power > -8.0f ? power : (Row)(-8.0f)) * 0.125f;
        Row alpha = 1.0f + power * (1.0f + power * (0.5f + power * (0.16666667f + power * (0.041666667f
            + power * (0.0083333333f + power * (0.0013888889f + power * (1.9841270e-4f + power * 2.4801587e-5f)))))));
        alpha *= alpha;
        alpha *= alpha;
        alpha *= alpha * opacity;
"""  # exp(p) = exp(p / 8)^8 by its series; below -8, alpha does not count


@wp.func_native(
    f"""
    {ROW}
    const int channels = splats.color.shape[1];
    const float* color = splats.color.data + g * channels;
    const Row dx = column - xy[0];
    for (int row = first; row < end; ++row) {{
        {ALPHA}
        const int q = (tile * {LANES} + row - top) * {LANES};
        alpha = alpha < {MAX_ALPHA}f ? alpha : (Row)({MAX_ALPHA}f);
        const Row before = *(const Row*)(out.through.data + q), after = before * (1.0f - alpha);
        const Mask counts = (alpha >= {MIN_ALPHA:.9g}f) & (before > 0.0f);
        const Mask goes = counts & (after >= {MIN_TRANSMITTANCE}f);
        const Row weight = goes ? alpha * before : (Row)(0.0f);
        *(Row*)(out.through.data + q) = goes ? after : (counts ? -before : before);
        *(Mask*)(out.last.data + q) = goes ? (Mask)(k + 1) : *(const Mask*)(out.last.data + q);
        Row* picture = (Row*)(out.color.data + q * channels);
        for (int c = 0; c < channels; ++c) picture[c] += weight * color[c];
    }}
"""
)
def blend_rows(
    splats: Splats, g: int, xy: wp.vec2, conic: wp.vec3, opacity: float, k: int, first: int, end: int, tile: int, left: int,
    top: int, out: Pixels,
):  # fmt: skip
    """Lay Gaussian ``g``, entry ``k`` of its tile, over rows ``first`` up to ``end`` of the tile at ``left`` and ``top``."""
    ...


@wp.func_native(
    f"""
    int open = 0;
    for (int i = 0; i < {LANES * LANES}; ++i) open += through.data[tile * {LANES * LANES} + i] > 0.0f;
    return open;
"""
)
def count_open(through: wp.array(dtype=float), tile: int) -> int:
    """How many pixels of a tile still let light through."""
    ...


@wp.kernel(enable_backward=False)
def blend_tile(first: int, columns: int, splats: Splats, lists: Lists, out: Pixels):
    """Blend the tile ``first`` + thread front to back; expects zero channels and transmittance one."""
    t = first + wp.tid()
    left = (t % columns) * LANES
    top = (t / columns) * LANES
    begin = lists.offset[t]
    for k in range(begin, lists.offset[t + 1]):
        if (k - begin) % 32 == 31 and count_open(out.through, t) == 0:
            break
        g = lists.ids[k]
        xy = splats.xy[g]
        conic = splats.conic[g]
        opacity = splats.opacity[g]
        rows = row_range(xy, conic, opacity, top)
        blend_rows(splats, g, xy, conic, opacity, k, rows[0], rows[1], t, left, top, out)


@wp.func_native(
    f"""
    {ROW}
    const int channels = splats.color.shape[1], rows = end - first;
    const int start = (tile * {LANES} + first - top) * {LANES};
    const Row* picture = (const Row*)(state.color.data + start * channels);
    const float* color = splats.color.data + g * channels;
    const Row dx = column - xy[0];
    Row along[{LANES}], weight[{LANES}], slopes = 0.0f, slopes_y = 0.0f, slopes_yy = 0.0f;
    auto total = [](Row values) {{
        auto half = values.lo + values.hi;
        auto quarter = half.lo + half.hi;
        auto pair = quarter.lo + quarter.hi;
        return pair.x + pair.y;
    }};
    for (int r = 0; r < rows; ++r) {{
        along[r] = 0.0f;
        for (int c = 0; c < channels; ++c) along[r] += color[c] * picture[r * channels + c];
    }}
    for (int row = first; row < end; ++row) {{
        {ALPHA}
        const int r = row - first, q = start + r * {LANES};
        const Mask counts = (alpha >= {MIN_ALPHA:.9g}f) & (*(const Mask*)(state.last.data + q) > k);
        const Mask capped = alpha >= {MAX_ALPHA}f;
        alpha = counts ? (capped ? (Row)({MAX_ALPHA}f) : alpha) : (Row)(0.0f);
        const Row gain = 1.0f / (1.0f - alpha), before = *(const Row*)(state.through.data + q) * gain;
        const Row behind = *(const Row*)(state.behind.data + q);
        weight[r] = alpha * before;
        *(Row*)(state.through.data + q) = before;
        *(Row*)(state.behind.data + q) = behind + weight[r] * along[r];
        const Row slope = capped ? (Row)(0.0f) : alpha * (before * along[r] - behind * gain);
        slopes += slope;
        slopes_y += slope * dy;
        slopes_yy += slope * dy * dy;
    }}
    for (int c = 0; c < channels; ++c) {{
        Row sum = 0.0f;
        for (int r = 0; r < rows; ++r) sum += weight[r] * picture[r * channels + c];
        out.color.data[slot * channels + c] = total(sum);
    }}
    const float sum_x = total(dx * slopes), sum_y = total(slopes_y);
    out.xy.data[slot] = wp::vec2(conic[0] * sum_x + conic[1] * sum_y, conic[2] * sum_y + conic[1] * sum_x);
    out.conic.data[slot] = wp::vec3(-0.5f * total(dx * dx * slopes), -total(dx * slopes_y), -0.5f * total(slopes_yy));
    out.opacity.data[slot] = total(slopes) / opacity;
"""
)
def unblend_rows(
    splats: Splats, g: int, xy: wp.vec2, conic: wp.vec3, opacity: float, k: int, slot: int, first: int, end: int, tile: int,
    left: int, top: int, state: Pixels, out: Splats,
):  # fmt: skip
    """The adjoint of ``blend_rows``: with R = Σ behind w (c·g), dL/dα = T (c·g) − R / (1 − α); writes ``slot`` of ``out``."""
    ...


@wp.func
def clear(out: Splats, slot: int):
    """Write zero gradients to a slot."""
    out.xy[slot] = wp.vec2()
    out.conic[slot] = wp.vec3()
    out.opacity[slot] = 0.0
    for c in range(out.color.shape[1]):
        out.color[slot, c] = 0.0


@wp.kernel(enable_backward=False)
def unblend_tile(first: int, columns: int, splats: Splats, lists: Lists, state: Pixels, out: Splats):
    """The adjoint of ``blend_tile``, back to front; writes every entry of ``out``."""
    t = first + wp.tid()
    left = (t % columns) * LANES
    top = (t / columns) * LANES
    begin = lists.offset[t]
    end = int(begin)
    for i in range(LANES * LANES):
        end = wp.max(end, state.last[t * LANES * LANES + i])
    for k in range(end, lists.offset[t + 1]):
        clear(out, lists.slot[k])
    for i in range(end - begin):
        k = end - 1 - i
        g = lists.ids[k]
        xy = splats.xy[g]
        conic = splats.conic[g]
        opacity = splats.opacity[g]
        rows = row_range(xy, conic, opacity, top)
        if rows[1] > rows[0]:
            unblend_rows(splats, g, xy, conic, opacity, k, lists.slot[k], rows[0], rows[1], t, left, top, state, out)
        else:
            clear(out, lists.slot[k])
