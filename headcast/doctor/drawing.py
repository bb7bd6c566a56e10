"""Drawings of the page as inline SVG: the rig in 3-D, bars by camera, lines over frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from jaxtyping import Float

from headcast.capture.camera import Camera
from headcast.doctor.checks import Check

WIDTH, HEIGHT = 560, 400
COLOURS = ("#3b82c4", "#d9822b", "#2a9d6f", "#b5558f", "#a08b16", "#c2452d", "#6b6bd6", "#5c7080")
FRUSTUM_M = 0.2
AXIS = "#88888855"
FORWARD = np.array([0.0, 0.0, 0.006])
VIEW = (-0.5, 0.35)  # azimuth and elevation (rad) of the drawing before anybody turns it
Segment = tuple[list[float], list[float], str]


def rig_segments(cameras: Mapping[str, Camera], center: Float[np.ndarray, "3"], face: Float[np.ndarray, "N 3"]) -> list[Segment]:
    """Frusta and axes of the cameras, points of the face: coloured lines (m) about the head, x right, y up, z to the cameras."""
    frame = display_frame(cameras, center)
    segments: list[Segment] = []
    for number, camera in enumerate(cameras.values()):
        corners = [[0, 0], [camera.width, 0], [camera.width, camera.height], [0, camera.height]]
        rays = np.linalg.solve(camera.K, np.column_stack((corners, np.ones(4))).T).T * FRUSTUM_M
        world = rays @ camera.camera_to_world[:3, :3].T + camera.center
        tip, rim = frame @ (camera.center - center), (world - center) @ frame.T
        colour = COLOURS[number % len(COLOURS)]
        axis = frame @ (camera.center + camera.viewing_direction * np.linalg.norm(camera.center - center) - center)
        segments += [(_list(tip), _list(corner), colour) for corner in rim]
        segments.append((_list(tip), _list(axis), AXIS))
        segments += [(_list(rim[k]), _list(rim[(k + 1) % 4]), colour) for k in range(4)]
    for point in (face[np.isfinite(face).all(-1)] - center) @ frame.T:
        segments.append((_list(point), _list(point + FORWARD), "#888888"))
    return segments


def camera_labels(cameras: Mapping[str, Camera], center: Float[np.ndarray, "3"]) -> list[tuple[list[float], str]]:
    """Where each serial is written, in the frame of ``rig_segments``."""
    frame = display_frame(cameras, center)
    return [(_list(frame @ (camera.center - center)), serial) for serial, camera in cameras.items()]


def display_frame(cameras: Mapping[str, Camera], center: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Rows x, y, z of an upright frame that faces the rig: y is up in most images, z points to the middle of the cameras."""
    up = -np.mean([camera.world_to_camera[1, :3] for camera in cameras.values()], axis=0)
    towards = np.mean([camera.center for camera in cameras.values()], axis=0) - center
    z = towards / max(float(np.linalg.norm(towards)), 1e-9)
    x = np.cross(up, z)
    if np.linalg.norm(x) < 1e-6:
        return np.eye(3)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def rig_scale(segments: Sequence[Segment]) -> float:
    """Drawing units a metre, such that the rig fits however it is turned."""
    ends = np.array([end for start, stop, _ in segments for end in (start, stop)])
    return 0.46 * min(WIDTH, HEIGHT) / max(float(np.linalg.norm(ends, axis=1).max()), 1e-6)


def rig_svg(segments: Sequence[Segment], labels: Sequence[tuple[list[float], str]], scale: float) -> str:
    """The rig seen from above and aside; the page's script redraws it when it is turned."""
    lines = []
    for start, stop, colour in segments:
        (x0, y0), (x1, y1) = _project(start, scale), _project(stop, scale)
        lines.append(f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}"/>')
    texts = [
        f'<text x="{x:.1f}" y="{y:.1f}">{escape(name)}</text>' for (x, y), name in ((_project(p, scale), n) for p, n in labels)
    ]
    return f'<svg id="rig" viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(lines + texts)}</svg>'


def _project(point: Sequence[float], scale: float) -> tuple[float, float]:
    azimuth, elevation = VIEW
    x, y, z = point
    across = x * np.cos(azimuth) + z * np.sin(azimuth)
    depth = z * np.cos(azimuth) - x * np.sin(azimuth)
    return WIDTH / 2 + scale * across, HEIGHT / 2 - scale * (y * np.cos(elevation) - depth * np.sin(elevation))


def bars_svg(title: str, values: Mapping[str, float], check: Check) -> str:
    """One bar a name, coloured by the check's ranges; a name without a value has none."""
    known = {name: value for name, value in values.items() if np.isfinite(value)}
    top = max([*known.values(), 1e-9]) * 1.15
    step = (WIDTH - 60) / max(len(values), 1)
    parts = [f'<text x="8" y="16">{escape(title)}</text>', f'<text x="4" y="34">{top:.3g}</text>']
    for number, (name, _) in enumerate(values.items()):
        x = 44 + number * step
        if name in known:
            height = 250 * max(known[name], 0) / top
            colour = _colour(known[name], check)
            parts.append(
                f'<rect x="{x:.1f}" y="{290 - height:.1f}" width="{0.7 * step:.1f}" height="{height:.1f}" fill="{colour}"/>'
            )
            parts.append(f'<text class="small" x="{x:.1f}" y="{285 - height:.1f}">{known[name]:.3g}</text>')
        parts.append(f'<text class="small" transform="translate({x + 0.35 * step:.1f} 300) rotate(60)">{escape(name)}</text>')
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(parts)}</svg>'


def _colour(value: float, check: Check) -> str:
    if check.good[0] <= value <= check.good[1]:
        return "#2a9d6f"
    return "#d9822b" if check.tolerable[0] <= value <= check.tolerable[1] else "#c2452d"


def lines_svg(title: str, frames: Sequence[int], series: Mapping[str, Sequence[float] | np.ndarray]) -> str:
    """One line a name over frame numbers, interrupted where a value is unknown."""
    values = np.array([list(line) for line in series.values()], np.float64)
    known = values[np.isfinite(values)]
    low, high = (min(0.0, float(known.min())), float(known.max())) if known.size else (0.0, 1.0)
    high = high if high > low else low + 1.0
    parts = [
        f'<text x="8" y="16">{escape(title)}</text>',
        f'<text x="4" y="40">{high:.3g}</text><text x="4" y="300">{low:.3g}</text>',
    ]
    first, last = frames[0], max(frames[-1], frames[0] + 1)
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = [
            (50 + (WIDTH - 70) * (f - first) / (last - first), 300 - 264 * (v - low) / (high - low)) for f, v in zip(frames, line)
        ]
        for piece in _pieces(points):
            dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}"/>' for x, y in piece)
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in piece)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"><title>{escape(name)}</title></polyline>{dots}')
        x, y = 50 + 128 * (number % 4), 326 + 15 * (number // 4)
        parts.append(f'<text class="small" x="{x}" y="{y}" style="fill:{colour}">{escape(name)}</text>')
    parts.append(
        f'<text class="small" x="50" y="312">frame {first}</text><text class="small" x="{WIDTH - 60}" y="312">{frames[-1]}</text>'
    )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(parts)}</svg>'


def _pieces(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if np.isfinite(point[1]):
            pieces[-1].append(point)
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _list(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
