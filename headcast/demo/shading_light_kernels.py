"""Warp kernels that follow light back from the demo subject: ray casts on the triangles, Beer's law through the hair's grid."""

# Kernels are written in warp's language, which only looks like Python: its changing numbers need a type.
# mypy: ignore-errors
# ruff: noqa: UP018

from __future__ import annotations

import warp as wp

VOXEL = 0.0025  # m
STEPS = 40
STEP = 0.003  # m
LAMP_SAMPLES = 5


@wp.func
def _optical_depth(density: wp.array3d(dtype=wp.float32), lower: wp.vec3, start: wp.vec3, towards: wp.vec3):
    """Cross section of the hair that a ray meets."""
    total = float(0.0)
    at = (start - lower) / VOXEL
    move = towards * (STEP / VOXEL)
    for _ in range(STEPS):
        at = at + move
        i = int(wp.floor(at[0]))
        j = int(wp.floor(at[1]))
        k = int(wp.floor(at[2]))
        if i < 0 or j < 0 or k < 0 or i >= density.shape[0] or j >= density.shape[1] or k >= density.shape[2]:
            break
        total += density[i, j, k] * STEP
        if total > 5.0:
            break
    return total


@wp.kernel
def gather(
    mesh: wp.uint64,
    density: wp.array3d(dtype=wp.float32),
    lower: wp.vec3,
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    towards: wp.array(dtype=wp.vec3),
    lamp: wp.array(dtype=wp.int32),
    radiance: wp.array(dtype=wp.vec3),
    absorption: float,
    out: wp.array2d(dtype=wp.float32),
):
    """Open share of every lamp (columns 0 to 4) and the irradiance of the surroundings (5 to 7) at each point.

    With a normal, directions below the horizon are bent up to it, so that a surface never stands in its own way.
    """
    t = wp.tid()
    n = normals[t]
    surface = wp.length_sq(n) > 0.5
    sky = wp.vec3(0.0, 0.0, 0.0)
    weights = float(0.0)
    for k in range(towards.shape[0]):
        d = towards[k]
        weight = float(1.0)
        if surface:
            facing = wp.dot(n, d)
            weight = wp.max(facing, 0.0)
            if facing < 0.12:
                d = wp.normalize(d + n * (0.12 - facing))
        if lamp[k] >= 0 or weight > 0.0:
            start = points[t] + n * 0.0004 + d * 0.0012
            hit = bool(False)
            clear = wp.exp(-absorption * _optical_depth(density, lower, points[t], d))
            if clear > 0.02:
                hit = wp.mesh_query_ray_anyhit(mesh, start, d, 0.6)
            if hit:
                clear = 0.0
            if lamp[k] >= 0:
                out[t, lamp[k]] += clear / float(LAMP_SAMPLES)
            else:
                bounced = wp.vec3(0.030, 0.019, 0.013)
                if hit:
                    bounced = wp.vec3(0.075, 0.038, 0.026)
                sky += weight * (clear * radiance[k] + (1.0 - clear) * bounced)
                weights += weight
    irradiance = sky * (3.14159265 / wp.max(weights, 1.0e-6))
    for c in range(3):
        out[t, 5 + c] = irradiance[c]
