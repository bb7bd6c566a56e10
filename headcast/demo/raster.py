"""Ground truth of one view: a supersampled z-buffer of the rendered triangles and of every strand.

The path tracer's own passes are noisy; coverage, orientation and depth are therefore rasterized exactly: ``SAMPLES``² samples a
pixel, triangles by edge functions with perspective depth, strand segments as camera-facing ribbons of their real width. The kernels
run on the CPU, where warp launches them in order, so equal input gives equal bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import warp as wp
from scipy.ndimage import maximum_filter

from headcast.demo.curves import catmull_rom

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8

    from headcast.capture.camera import Camera

SAMPLES = 8
TILE = 64  # samples
NEAR = 0.05
BODY, FACE, HAIR = 1, 2, 3
CHANNELS = 8
EMPTY = 1.0e9
wp.config.log_level = wp.LOG_ERROR


@dataclass(frozen=True)
class Ribbons:
    """Segments of strands: ``start``/``end`` N 3 (m, world), ``radius`` N 2 (m, both ends), ``kind`` N (HAIR; FACE for brows)."""

    start: Float[np.ndarray, "N 3"]
    end: Float[np.ndarray, "N 3"]
    radius: Float[np.ndarray, "N 2"]
    kind: Int[np.ndarray, "N"]
    tone: Float[np.ndarray, "N"]


@dataclass(frozen=True)
class Surface:
    """Triangles of one frame: ``vertices`` V 3 (m, world), ``triangles`` T 3, ``face`` T the share (0–1) that counts as face."""

    vertices: Float[np.ndarray, "V 3"]
    triangles: Int[np.ndarray, "T 3"]
    face: Float[np.ndarray, "T"]


@dataclass(frozen=True)
class Truth:
    """One view's ground truth: coverages in 0–1 over the pixel, ``angle`` rad in [0, π) (0 = image vertical, towards horizontal).

    ``confidence`` 0–1 is the length of the doubled-angle mean, ``tone`` the mean strand tone of the hair, ``depth`` m at the
    pixel's centre (0 none).
    """

    alpha: Float[np.ndarray, "H W"]
    hair: Float[np.ndarray, "H W"]
    face: Float[np.ndarray, "H W"]
    angle: Float[np.ndarray, "H W"]
    confidence: Float[np.ndarray, "H W"]
    tone: Float[np.ndarray, "H W"]
    depth: Float[np.ndarray, "H W"]


def ribbons(
    strands: Float[np.ndarray, "S P 3"],
    root_radius: float,
    tip_radius: float,
    kind: int,
    tone: Float[np.ndarray, "S"] | None = None,
    subdivisions: int = 2,
) -> Ribbons:
    """Cut strands (Catmull–Rom through their points, as the renderer draws them) into tapered segments."""
    curve = catmull_rom(strands, subdivisions)
    count, points, _ = curve.shape
    radius = (root_radius + (tip_radius - root_radius) * np.linspace(0, 1, points) ** 2).astype(np.float32)
    ends = np.tile(np.stack([radius[:-1], radius[1:]], axis=1), (count, 1))
    segments = count * (points - 1)
    tones = np.zeros(count) if tone is None else tone
    return Ribbons(
        curve[:, :-1].reshape(-1, 3),
        curve[:, 1:].reshape(-1, 3),
        ends,
        np.full(segments, kind, np.int32),
        np.repeat(tones, points - 1).astype(np.float32),
    )


def join(parts: list[Ribbons]) -> Ribbons:
    """All segments of several sets of strands."""
    names = ("start", "end", "radius", "kind", "tone")
    return Ribbons(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@wp.kernel
def _draw_triangles(
    points: wp.array(dtype=wp.vec3),
    triangles: wp.array2d(dtype=wp.int32),
    width: int,
    height: int,
    depth: wp.array2d(dtype=wp.float32),
    owner: wp.array2d(dtype=wp.int32),
) -> None:
    t = wp.tid()
    a = points[triangles[t, 0]]
    b = points[triangles[t, 1]]
    c = points[triangles[t, 2]]
    area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
    if wp.min(a[2], wp.min(b[2], c[2])) > NEAR and wp.abs(area) > 1.0e-9:
        x0 = wp.max(int(wp.ceil(wp.min(a[0], wp.min(b[0], c[0])))), 0)
        x1 = wp.min(int(wp.floor(wp.max(a[0], wp.max(b[0], c[0])))), width - 1)
        y0 = wp.max(int(wp.ceil(wp.min(a[1], wp.min(b[1], c[1])))), 0)
        y1 = wp.min(int(wp.floor(wp.max(a[1], wp.max(b[1], c[1])))), height - 1)
        inverse = 1.0 / area
        bx = (b[0] - a[0]) * inverse
        by = (b[1] - a[1]) * inverse
        cx = (c[0] - a[0]) * inverse
        cy = (c[1] - a[1]) * inverse
        for y in range(y0, y1 + 1):
            py = float(y) - a[1]
            for x in range(x0, x1 + 1):
                px = float(x) - a[0]
                l1 = px * cy - cx * py
                l2 = bx * py - px * by
                l0 = 1.0 - l1 - l2
                if l0 >= 0.0 and l1 >= 0.0 and l2 >= 0.0:
                    z = 1.0 / (l0 / a[2] + l1 / b[2] + l2 / c[2])
                    if z < depth[y, x]:
                        depth[y, x] = z
                        owner[y, x] = t + 1  # type: ignore[operator]


@wp.kernel
def _draw_ribbons(
    starts: wp.array(dtype=wp.vec3),
    ends: wp.array(dtype=wp.vec3),
    radii: wp.array(dtype=wp.vec2),
    width: int,
    height: int,
    depth: wp.array2d(dtype=wp.float32),
    owner: wp.array2d(dtype=wp.int32),
) -> None:
    s = wp.tid()
    a = starts[s]
    b = ends[s]
    ra = radii[s][0]
    rb = radii[s][1]
    steep = wp.abs(b[1] - a[1]) > wp.abs(b[0] - a[0])
    if steep:
        a = wp.vec3(a[1], a[0], a[2])
        b = wp.vec3(b[1], b[0], b[2])
    if a[0] > b[0]:
        swap = a
        a = b
        b = swap
        ra = radii[s][1]
        rb = radii[s][0]
    major = b[0] - a[0]
    if wp.min(a[2], b[2]) > NEAR and major > 1.0e-6:
        majors = width
        minors = height
        if steep:
            majors = height
            minors = width
        slope = wp.sqrt(major * major + (b[1] - a[1]) * (b[1] - a[1])) / major
        first = wp.max(int(wp.ceil(a[0])), 0)
        last = wp.min(int(wp.ceil(b[0])) - 1, majors - 1)
        for i in range(first, last + 1):
            f = (float(i) - a[0]) / major
            middle = a[1] + f * (b[1] - a[1])
            z = a[2] + f * (b[2] - a[2])
            half = slope * (ra + f * (rb - ra))
            low = wp.max(int(wp.ceil(middle - half)), 0)
            high = wp.min(int(wp.ceil(middle + half)) - 1, minors - 1)
            for j in range(low, high + 1):
                y = j
                x = i
                if steep:
                    y = i
                    x = j
                if z < depth[y, x]:
                    depth[y, x] = z
                    owner[y, x] = -(s + 1)  # type: ignore[operator]


@wp.kernel
def _resolve(
    depth: wp.array2d(dtype=wp.float32),
    owner: wp.array2d(dtype=wp.int32),
    samples: int,
    face_share: wp.array(dtype=wp.float32),
    kinds: wp.array(dtype=wp.int32),
    doubled: wp.array(dtype=wp.vec2),
    tones: wp.array(dtype=wp.float32),
    out: wp.array3d(dtype=wp.float32),
) -> None:
    y, x = wp.tid()  # type: ignore[misc]
    weight = 1.0 / float(samples * samples)
    for j in range(samples):
        for i in range(samples):
            who = owner[y * samples + j, x * samples + i]
            if who != 0:
                out[y, x, 0] += weight
            if who > 0:
                out[y, x, 2] += weight * face_share[who - 1]
            if who < 0:
                s = -who - 1
                if kinds[s] == HAIR:
                    out[y, x, 1] += weight
                    out[y, x, 3] += weight * doubled[s][0]
                    out[y, x, 4] += weight * doubled[s][1]
                    out[y, x, 5] += weight * tones[s]
                else:
                    out[y, x, 2] += weight
    centre_y = y * samples + samples // 2
    centre_x = x * samples + samples // 2
    if owner[centre_y, centre_x] != 0:
        out[y, x, 6] = depth[centre_y, centre_x]
        out[y, x, 7] = float(owner[centre_y, centre_x])


def _to_samples(points: Float[np.ndarray, "n 3"], camera: Camera) -> Float[np.ndarray, "n 3"]:
    """World points → (column, row) in sample units with sample centres at integers, and the depth (m)."""
    local = points @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
    z = np.where(local[:, 2:] > NEAR, local[:, 2:], 1.0)
    pixels = (local @ camera.K.T)[:, :2] / z
    return np.concatenate([pixels * SAMPLES - 0.5, local[:, 2:]], axis=1).astype(np.float32)


def _drawing_order(
    start: Float[np.ndarray, "n 3"], end: Float[np.ndarray, "n 3"], depth: Float[np.ndarray, "h w"]
) -> Int[np.ndarray, "m"]:
    """Segments that the triangles' ``depth`` does not hide, neighbours in the image after each other.

    The z-buffer then stays in the processor's cache. A segment counts as hidden when it is short and lies behind everything in its
    tile and the tiles around, so that leaving it out changes nothing.
    """
    rows, columns = (-(-size // TILE) for size in depth.shape)
    padded = np.full((rows * TILE, columns * TILE), np.float32(-1))
    padded[: depth.shape[0], : depth.shape[1]] = depth
    farthest = maximum_filter(padded.reshape(rows, TILE, columns, TILE).max(axis=(1, 3)), 3, mode="nearest")
    tile = np.floor((start[:, :2] + end[:, :2]) / (2 * TILE)).astype(np.int64)
    near = np.all((tile >= -1) & (tile <= (columns, rows)), axis=1)
    kept = np.flatnonzero(near)
    column, row = np.clip(tile[kept], 0, (columns - 1, rows - 1)).T
    short = np.abs(end[kept, :2] - start[kept, :2]).max(axis=1) < TILE
    shown = ~short | (np.minimum(start[kept, 2], end[kept, 2]) < farthest[row, column])
    order = np.argsort((row * columns + column)[shown].astype(np.int32), kind="stable")
    return kept[shown][order]


def _doubled_angle(start: Float[np.ndarray, "n 3"], end: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
    step = end[:, :2] - start[:, :2]
    angle = 2 * np.arctan2(step[:, 0], step[:, 1])
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def _array(values: np.ndarray, dtype: Any) -> Any:
    return wp.array(np.ascontiguousarray(values), dtype=dtype, device="cpu")


def draw(surface: Surface, strands: Ribbons, camera: Camera) -> Float[np.ndarray, "H W 8"]:
    """Channels: alpha, hair, face, Σcos2a, Σsin2a, Σtone (weighted by coverage), centre depth and owner (+triangle, -strand)."""
    width, height = camera.width * SAMPLES, camera.height * SAMPLES
    depth = wp.full((height, width), EMPTY, dtype=wp.float32, device="cpu")
    owner = wp.zeros((height, width), dtype=wp.int32, device="cpu")
    triangles = _array(surface.triangles.astype(np.int32), wp.int32)
    points = _array(_to_samples(surface.vertices, camera), wp.vec3)
    wp.launch(_draw_triangles, len(surface.triangles), [points, triangles, width, height, depth, owner], device="cpu")
    start, end = _to_samples(strands.start, camera), _to_samples(strands.end, camera)
    order = _drawing_order(start, end, depth.numpy())
    start, end = start[order], end[order]
    radius = strands.radius[order] * (camera.K[0, 0] * SAMPLES) / np.maximum(np.stack([start[:, 2], end[:, 2]], axis=1), NEAR)
    segments = [_array(start, wp.vec3), _array(end, wp.vec3), _array(radius.astype(np.float32), wp.vec2)]
    wp.launch(_draw_ribbons, len(order), [*segments, width, height, depth, owner], device="cpu")
    out = wp.zeros((camera.height, camera.width, CHANNELS), dtype=wp.float32, device="cpu")
    attributes = [
        _array(surface.face.astype(np.float32), wp.float32),
        _array(strands.kind[order].astype(np.int32), wp.int32),
        _array(_doubled_angle(start, end), wp.vec2),
        _array(strands.tone[order].astype(np.float32), wp.float32),
    ]
    wp.launch(_resolve, (camera.height, camera.width), [depth, owner, SAMPLES, *attributes, out], device="cpu")
    return np.array(out.numpy())


def ground_truth(surface: Surface, strands: Ribbons, camera: Camera) -> Truth:
    """Everything that `capture-synth-1` defines for a view, at the camera's resolution."""
    channels = draw(surface, strands, camera)
    hair = channels[..., 1]
    seen = hair > 1 / 128
    length = np.hypot(channels[..., 3], channels[..., 4]) / np.maximum(hair, 1e-6)
    angle = np.mod(0.5 * np.arctan2(channels[..., 4], channels[..., 3]), np.pi)
    tone = channels[..., 5] / np.maximum(hair, 0.02)
    absent = np.float32(0)
    return Truth(
        channels[..., 0],
        hair,
        channels[..., 2],
        np.where(seen, angle, absent),
        np.where(seen, np.minimum(length, 1), absent),
        np.where(seen, tone, absent),
        channels[..., 6],
    )


def to_bytes(share: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """0–1 → 0–255, rounded."""
    return (np.clip(share, 0, 1) * 255 + 0.5).astype(np.uint8)
