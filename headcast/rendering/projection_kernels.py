"""Warp kernels for ``projection.project`` with its adjoint written by hand, and for tile lists on a CPU."""

# Kernels are written in warp's language, which only looks like Python: its literals need a type, its types no checker knows.
# mypy: ignore-errors

from __future__ import annotations

import warp as wp

from headcast.rendering.projection import DILATION, FIELD_MARGIN, MIN_ALPHA, NEAR


@wp.struct
class View:
    """A camera: rotation and translation of world to camera, focal lengths, principal point and image size (px)."""

    rotation: wp.mat33
    translation: wp.vec3
    focal: wp.vec2
    center: wp.vec2
    size: wp.vec2


@wp.struct
class World:
    """Gaussians as the user gives them."""

    means: wp.array(dtype=wp.vec3)
    quats: wp.array(dtype=wp.vec4)
    scales: wp.array(dtype=wp.vec3)
    opacities: wp.array(dtype=float)


@wp.func
def view_of(pose: wp.array2d(dtype=float), K: wp.array2d(dtype=float), width: int, height: int) -> View:
    """Read a camera from its matrices, which stay on the device."""
    view = View()
    view.rotation = wp.mat33(
        pose[0, 0], pose[0, 1], pose[0, 2], pose[1, 0], pose[1, 1], pose[1, 2], pose[2, 0], pose[2, 1], pose[2, 2]
    )
    view.translation = wp.vec3(pose[0, 3], pose[1, 3], pose[2, 3])
    view.focal = wp.vec2(K[0, 0], K[1, 1])
    view.center = wp.vec2(K[0, 2], K[1, 2])
    view.size = wp.vec2(float(width), float(height))
    return view


@wp.func
def unit(q: wp.vec4) -> wp.vec4:
    """A quaternion scaled to unit length; zero stays zero."""
    return q / wp.max(wp.length(q), 1.0e-12)


@wp.func
def matrix_of(n: wp.vec4) -> wp.mat33:
    """The rotation matrix of a unit quaternion, w first."""
    w = n[0]
    x = n[1]
    y = n[2]
    z = n[3]
    return wp.mat33(
        1.0 - 2.0 * (y * y + z * z),
        2.0 * (x * y - w * z),
        2.0 * (x * z + w * y),
        2.0 * (x * y + w * z),
        1.0 - 2.0 * (x * x + z * z),
        2.0 * (y * z - w * x),
        2.0 * (x * z - w * y),
        2.0 * (y * z + w * x),
        1.0 - 2.0 * (x * x + y * y),
    )


@wp.func
def pull_quaternion(q: wp.vec4, g: wp.mat33) -> wp.vec4:
    """The gradient with respect to a quaternion from the gradient ``g`` with respect to the matrix of its unit multiple."""
    n = unit(q)
    w = n[0]
    x = n[1]
    y = n[2]
    z = n[3]
    grad = 2.0 * wp.vec4(
        x * (g[2, 1] - g[1, 2]) + y * (g[0, 2] - g[2, 0]) + z * (g[1, 0] - g[0, 1]),
        w * (g[2, 1] - g[1, 2]) + y * (g[0, 1] + g[1, 0]) + z * (g[0, 2] + g[2, 0]) - 2.0 * x * (g[1, 1] + g[2, 2]),
        w * (g[0, 2] - g[2, 0]) + x * (g[0, 1] + g[1, 0]) + z * (g[1, 2] + g[2, 1]) - 2.0 * y * (g[0, 0] + g[2, 2]),
        w * (g[1, 0] - g[0, 1]) + x * (g[0, 2] + g[2, 0]) + y * (g[1, 2] + g[2, 1]) - 2.0 * z * (g[0, 0] + g[1, 1]),
    )
    return (grad - n * wp.dot(n, grad)) / wp.max(wp.length(q), 1.0e-12)


@wp.func
def bounded(slope: float, focal: float, center: float, size: float) -> float:
    """A slope kept within the field of view plus a margin."""
    margin = FIELD_MARGIN * size
    return wp.min(wp.max(slope, (-margin - center) / focal), (size + margin - center) / focal)


@wp.kernel(enable_backward=False)
def project_all(
    first: int,
    pose: wp.array2d(dtype=float),
    K: wp.array2d(dtype=float),
    width: int,
    height: int,
    world: World,
    center: wp.array(dtype=wp.vec2),
    conic: wp.array(dtype=wp.vec3),
    depth: wp.array(dtype=float),
    radius: wp.array(dtype=wp.vec2),
):
    """``projection.project`` for Gaussian ``first`` + thread; expects zeros, and a radius of -1, which culled ones keep."""
    i = first + wp.tid()
    view = view_of(pose, K, width, height)
    local = view.rotation * world.means[i] + view.translation
    z = local[2]
    depth[i] = 1.0
    level = 2.0 * wp.log(wp.max(world.opacities[i] / MIN_ALPHA, 1.0e-30))
    if z > NEAR:
        x = local[0] / z
        y = local[1] / z
        u = bounded(x, view.focal[0], view.center[0], view.size[0])
        v = bounded(y, view.focal[1], view.center[1], view.size[1])
        root = view.rotation * matrix_of(unit(world.quats[i]))
        one = view.focal[0] / z * wp.cw_mul(root[0] - u * root[2], world.scales[i])
        two = view.focal[1] / z * wp.cw_mul(root[1] - v * root[2], world.scales[i])
        xx = wp.dot(one, one) + DILATION
        xy = wp.dot(one, two)
        yy = wp.dot(two, two) + DILATION
        determinant = xx * yy - xy * xy
        middle = wp.cw_mul(view.focal, wp.vec2(x, y)) + view.center
        center[i] = middle
        conic[i] = wp.vec3(yy, -xy, xx) / determinant
        depth[i] = z
        reach = wp.vec2(wp.sqrt(wp.max(level, 0.0) * xx), wp.sqrt(wp.max(level, 0.0) * yy))
        low = middle - reach
        high = middle + reach
        if level > 0.0 and high[0] > 0.0 and high[1] > 0.0 and low[0] < view.size[0] and low[1] < view.size[1]:
            radius[i] = reach


@wp.kernel(enable_backward=False)
def unproject_all(
    first: int,
    pose: wp.array2d(dtype=float),
    K: wp.array2d(dtype=float),
    width: int,
    height: int,
    world: World,
    radius: wp.array(dtype=wp.vec2),
    grad_center: wp.array(dtype=wp.vec2),
    grad_conic: wp.array(dtype=wp.vec3),
    grad_depth: wp.array(dtype=float),
    grad: World,
):
    """The adjoint of ``project_all``; expects zeros in ``grad``, which culled Gaussians keep."""
    i = first + wp.tid()
    if radius[i][0] < 0.0:
        return
    view = view_of(pose, K, width, height)
    local = view.rotation * world.means[i] + view.translation
    z = local[2]
    x = local[0] / z
    y = local[1] / z
    u = bounded(x, view.focal[0], view.center[0], view.size[0])
    v = bounded(y, view.focal[1], view.center[1], view.size[1])
    fx = view.focal[0] / z
    fy = view.focal[1] / z
    scale = world.scales[i]
    root = view.rotation * matrix_of(unit(world.quats[i]))
    bare_one = fx * (root[0] - u * root[2])
    bare_two = fy * (root[1] - v * root[2])
    one = wp.cw_mul(bare_one, scale)
    two = wp.cw_mul(bare_two, scale)
    xx = wp.dot(one, one) + DILATION
    xy = wp.dot(one, two)
    yy = wp.dot(two, two) + DILATION
    determinant = xx * yy - xy * xy
    conic = wp.mat22(yy, -xy, -xy, xx) / determinant
    g = grad_conic[i]
    pull = -1.0 * (conic * wp.mat22(g[0], 0.5 * g[1], 0.5 * g[1], g[2]) * conic)
    grad_one = 2.0 * (pull[0, 0] * one + pull[0, 1] * two)
    grad_two = 2.0 * (pull[1, 1] * two + pull[0, 1] * one)
    grad.scales[i] = wp.cw_mul(bare_one, grad_one) + wp.cw_mul(bare_two, grad_two)
    push_one = fx * wp.cw_mul(grad_one, scale)
    push_two = fy * wp.cw_mul(grad_two, scale)
    grad_root = wp.matrix_from_rows(push_one, push_two, -u * push_one - v * push_two)
    grad.quats[i] = pull_quaternion(world.quats[i], wp.transpose(view.rotation) * grad_root)
    grad_x = view.focal[0] * grad_center[i][0]
    grad_y = view.focal[1] * grad_center[i][1]
    if u == x:
        grad_x -= wp.dot(root[2], push_one)
    if v == y:
        grad_y -= wp.dot(root[2], push_two)
    grad_z = grad_depth[i] - (wp.dot(one, grad_one) + wp.dot(two, grad_two) + x * grad_x + y * grad_y) / z
    grad.means[i] = wp.transpose(view.rotation) * wp.vec3(grad_x / z, grad_y / z, grad_z)


@wp.func
def tile_box(center: wp.vec2, radius: wp.vec2, tile: int, columns: int, rows: int) -> wp.vec4i:
    """First column, first row, one past the last column and row of the tiles that a box meets; empty if culled."""
    if radius[0] < 0.0:
        return wp.vec4i(0, 0, 0, 0)
    size = float(tile)
    left = wp.clamp(wp.floor((center[0] - radius[0]) / size), 0.0, float(columns))
    top = wp.clamp(wp.floor((center[1] - radius[1]) / size), 0.0, float(rows))
    right = wp.clamp(wp.floor((center[0] + radius[0]) / size) + 1.0, 0.0, float(columns))
    bottom = wp.clamp(wp.floor((center[1] + radius[1]) / size) + 1.0, 0.0, float(rows))
    return wp.vec4i(int(left), int(top), int(right), int(bottom))


@wp.kernel(enable_backward=False)
def count_tiles(
    center: wp.array(dtype=wp.vec2),
    radius: wp.array(dtype=wp.vec2),
    tile: int,
    columns: int,
    rows: int,
    start: wp.array(dtype=int),
    offset: wp.array(dtype=int),
):
    """In one thread: the running number of entries, Gaussian by Gaussian and tile by tile; expects zeros."""
    for g in range(center.shape[0]):
        box = tile_box(center[g], radius[g], tile, columns, rows)
        start[g + 1] = start[g] + (box[2] - box[0]) * (box[3] - box[1])
        for row in range(box[1], box[3]):
            for column in range(box[0], box[2]):
                t = row * columns + column
                offset[t + 1] = offset[t + 1] + 1
    for t in range(rows * columns):
        offset[t + 1] = offset[t + 1] + offset[t]


@wp.kernel(enable_backward=False)
def list_tiles(
    center: wp.array(dtype=wp.vec2),
    radius: wp.array(dtype=wp.vec2),
    tile: int,
    columns: int,
    rows: int,
    order: wp.array(dtype=wp.int64),
    start: wp.array(dtype=int),
    cursor: wp.array(dtype=int),
    ids: wp.array(dtype=int),
    slot: wp.array(dtype=int),
):
    """In one thread: a counting sort that keeps the given order within each tile; ``cursor`` starts as the tile offsets."""
    for i in range(order.shape[0]):
        g = int(order[i])
        box = tile_box(center[g], radius[g], tile, columns, rows)
        entry = int(start[g])
        for row in range(box[1], box[3]):
            for column in range(box[0], box[2]):
                t = row * columns + column
                place = cursor[t]
                ids[place] = g
                slot[place] = entry
                cursor[t] = place + 1
                entry += 1
