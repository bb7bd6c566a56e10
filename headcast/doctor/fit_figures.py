"""Pictures of a fit: the mesh over the views, residuals and parameters over time, a turn about the head; arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy.spatial.transform import Rotation

from headcast.capture.camera import Camera
from headcast.delivery.camera_paths import orbit_camera
from headcast.doctor.sheets import AGREED, contact_sheet, dots
from headcast.evaluation.pictures import curves
from headcast.geometry.meshes import vertex_normals
from headcast.heads.model import HeadModel, HeadParameters
from headcast.imaging.resample import resize
from headcast.rendering.mesh import interpolate, rasterize

LARGE_RESIDUAL = 0.08  # share of the eye distance: a mean residual above is no fit of this face
NO_LANDMARKS, LARGE, GOOD = "no landmarks", "large residual", "fitted"
TILE, BORDER, COLUMNS, ROWS = 192, 4, 8, 3
HEAD_MARGIN = 1.3
MESH, OPACITY = np.array([150, 190, 235], np.float32), 0.6
SKIN, SCALP, EYES = (214, 196, 184), (128, 92, 66), (240, 240, 240)
FITTED, FAILED = (255, 210, 60), (230, 40, 40)
MOST_MOVING = 6
PLOT_WIDTH, PLOT_HEIGHT = 900, 220
ELEVATION_DEG, FIELD_SHARE, DISTANCE = 8.0, 1.5, 4.0  # of a turn: how many sizes of the head are seen, how many it is away


@dataclass(frozen=True)
class FrameFit:
    """How well one frame is fitted: over ``views`` with landmarks ``residual_px``, the mean distance of projected and seen points,
    as ``share`` of the eye distance; NaN without any. ``state`` is `GOOD` or says why the frame failed."""

    frame: int
    time_s: float
    views: int
    residual_px: float
    share: float
    state: str

    @property
    def failed(self) -> bool:
        """Whether the frame is not to be trusted."""
        return self.state != GOOD


def judge(
    reprojection_px: Float[np.ndarray, "F C"], eye_distance_px: Float[np.ndarray, "F"], times_s: Sequence[float]
) -> list[FrameFit]:
    """Every frame with its residual; a frame that no view saw, or whose residual is above `LARGE_RESIDUAL`, has failed."""
    found = []
    for frame, (row, size) in enumerate(zip(reprojection_px, eye_distance_px, strict=True)):
        seen = row[np.isfinite(row)]
        residual = float(seen.mean()) if seen.size else float("nan")
        share = residual / float(size)
        state = NO_LANDMARKS if not seen.size else GOOD if share <= LARGE_RESIDUAL else LARGE
        found.append(FrameFit(frame, float(times_s[frame]), len(seen), residual, share, state))
    return found


def shaded(
    vertices: Float[np.ndarray, "V 3"], model: HeadModel, camera: Camera, colours: Float[np.ndarray, "V 3"]
) -> tuple[UInt8[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """The mesh (m, world) as the camera sees it, lit from the camera, and where it is; black elsewhere."""
    points, faces = torch.from_numpy(np.asarray(vertices, np.float64)), torch.from_numpy(np.asarray(model.faces, np.int64))
    pose, K = torch.from_numpy(camera.world_to_camera.copy()), torch.from_numpy(camera.K.copy())
    fragments = rasterize(points, faces, pose, K, camera.width, camera.height)
    drawn = interpolate(torch.cat([vertex_normals(points, faces), torch.from_numpy(colours).double()], 1), faces, fragments).numpy()
    towards = np.abs(drawn[..., :3] @ camera.viewing_direction) / np.maximum(np.linalg.norm(drawn[..., :3], axis=-1), 1e-9)
    covered = fragments.face_id.numpy() >= 0
    return np.rint(drawn[..., 3:] * (0.25 + 0.75 * towards)[..., None]).clip(0, 255).astype(np.uint8), covered


@dataclass(frozen=True)
class OverlayView:
    """One view: picture, camera of its pixels, fitted vertices (m, world), landmarks as seen and as fitted (px)."""

    image: UInt8[np.ndarray, "H W 3"]
    camera: Camera
    vertices: Float[np.ndarray, "V 3"]
    seen: Float[np.ndarray, "68 2"]
    fitted: Float[np.ndarray, "68 2"]


def overlay(view: OverlayView, model: HeadModel, failed: bool = False) -> UInt8[np.ndarray, "t t 3"]:
    """The mesh over the picture, seen landmarks green and fitted ones yellow; a failed frame has a red rim."""
    left, top, side = _window(view, model)
    camera, scale = view.camera.crop(left, top, side, side).resize(TILE, TILE), TILE / side
    mesh, covered = shaded(view.vertices, model, camera, np.broadcast_to(MESH, (len(view.vertices), 3)).copy())
    image = resize(view.image[top : top + side, left : left + side], TILE, TILE)
    mixed = np.rint((1 - OPACITY) * image + OPACITY * mesh.astype(np.float32)).astype(np.uint8)
    drawn = dots(np.where(covered[..., None], mixed, image), (view.seen - [left, top]) * scale, AGREED)
    drawn = dots(drawn, (view.fitted - [left, top]) * scale, FITTED, 0)
    return _rimmed(drawn) if failed else drawn


def _window(view: OverlayView, model: HeadModel) -> tuple[int, int, int]:
    """Left, top and side (px) of the square of the picture that holds the head, or of the whole picture where it is not in it."""
    whole = len(view.image)
    pixels = view.camera.project(view.vertices[np.asarray(model.head_weight) > 0.5].astype(np.float64))
    if not np.isfinite(pixels).all():
        return 0, 0, whole
    low, high = pixels.min(0), pixels.max(0)
    side = int(np.clip(round(HEAD_MARGIN * float((high - low).max())), 1, whole))
    left, top = np.clip(np.round((low + high - side) / 2), 0, whole - side).astype(int).tolist()
    return left, top, side


def _rimmed(picture: UInt8[np.ndarray, "t t 3"]) -> UInt8[np.ndarray, "t t 3"]:
    out = picture.copy()
    for edge in np.s_[:BORDER, :], np.s_[-BORDER:, :], np.s_[:, :BORDER], np.s_[:, -BORDER:]:
        out[edge] = FAILED
    return out


def shown_frames(fits: Sequence[FrameFit], cameras: int) -> list[int]:
    """The frames of the sheet: some evenly spread, and the failed ones, of many the worst."""
    across = max(1, COLUMNS // cameras)
    spread = np.linspace(0, len(fits) - 1, min(len(fits), ROWS * across)).round().astype(int)
    failed = [fit for fit in fits if fit.failed]
    worst = sorted(failed, key=lambda fit: -np.nan_to_num(fit.share, nan=np.inf))[: ROWS * across]
    return sorted({*spread.tolist(), *(fit.frame for fit in worst)})


def overlay_sheet(tiles: Sequence[tuple[str, UInt8[np.ndarray, "t t 3"]]], cameras: int) -> UInt8[np.ndarray, "H W 3"]:
    """Labelled tiles, all cameras of a frame beside each other."""
    columns = min(cameras * max(1, COLUMNS // cameras), len(tiles))
    blank = [("", np.zeros((TILE, TILE, 3), np.uint8))] * (-len(tiles) % columns)
    whole = [*tiles, *blank]
    return contact_sheet([whole[start : start + columns] for start in range(0, len(whole), columns)])


def residual_plot(
    fits: Sequence[FrameFit], reprojection_px: Float[np.ndarray, "F C"], cameras: Sequence[str]
) -> UInt8[np.ndarray, "H W 3"]:
    """The residual of every frame, over all views and in the worst cameras; failed frames are red."""
    failed = [fit.frame for fit in fits if fit.failed]
    known = np.isfinite(reprojection_px)
    level = np.where(known.any(0), np.where(known, reprojection_px, 0).sum(0) / np.maximum(known.sum(0), 1), -1.0)
    worst = [int(c) for c in np.argsort(-level, kind="stable")[: MOST_MOVING - 1] if level[c] >= 0]
    lines = {"all views": [fit.residual_px for fit in fits]}
    lines |= {cameras[c]: reprojection_px[:, c].tolist() for c in worst if len(cameras) > 1}
    shares = {"mean": [100 * fit.share for fit in fits], "limit": [100 * LARGE_RESIDUAL] * len(fits)}
    said = f"{len(failed)} of {len(fits)} frames failed" + (f": {_listed(failed)}" if failed else "")
    return np.concatenate(
        [
            _plot("residual (px), worst cameras", lines, failed),
            _plot(f"residual (% of the eye distance); {said}", shares, failed),
        ]
    )


def _listed(frames: Sequence[int], most: int = 12) -> str:
    return ", ".join(map(str, frames[:most])) + (" …" if len(frames) > most else "")


def parameter_plot(parameters: HeadParameters, model: HeadModel, failed: Sequence[int]) -> UInt8[np.ndarray, "H W 3"]:
    """Expression units that move most, jaw, head motion about its mean, and eyes, over frames; failed frames are red."""
    rows = [
        _plot("expression: the units that move most", _most_moving(parameters, model.expression_names), failed),
        _plot("jaw", _jaw(parameters, model.expression_names), failed),
    ]
    rotation = Rotation.from_rotvec(parameters.rotation.numpy())
    turned = np.degrees((rotation.mean().inv() * rotation).as_rotvec())
    moved = 1e3 * (parameters.translation - parameters.translation.mean(0)).numpy()
    rows.append(
        _plot("head rotation about its mean (°)", dict(zip(("nod", "turn", "tilt"), turned.T.tolist(), strict=True)), failed)
    )
    rows.append(_plot("head translation about its mean (mm, world)", dict(zip("xyz", moved.T.tolist(), strict=True)), failed))
    eyes = np.degrees(parameters.eye_pose.numpy() + parameters.expression.numpy() @ model.gaze).round(6)
    sides = {"left down": eyes[:, 0], "left aside": eyes[:, 1], "right down": eyes[:, 3], "right aside": eyes[:, 4]}
    rows.append(_plot("eyes (°)", {name: line.tolist() for name, line in sides.items()}, failed))
    return np.concatenate(rows)


def _most_moving(parameters: HeadParameters, names: Sequence[str]) -> dict[str, list[float]]:
    codes = parameters.expression.numpy()
    spread = codes.std(0)
    chosen = sorted(k for k in np.argsort(-spread, kind="stable")[:MOST_MOVING].tolist() if spread[k] > 0)
    return {names[k]: codes[:, k].tolist() for k in chosen}


def _jaw(parameters: HeadParameters, names: Sequence[str]) -> dict[str, list[float]]:
    """The units whose name begins with jaw; a model without any has its joint (rad)."""
    units = [k for k, name in enumerate(names) if name.startswith("jaw")]
    if units:
        return {names[k]: parameters.expression[:, k].tolist() for k in units}
    return dict(zip(("jaw x", "jaw y", "jaw z"), parameters.jaw_pose.T.tolist(), strict=True))


def _plot(title: str, lines: Mapping[str, Sequence[float]], failed: Sequence[int]) -> UInt8[np.ndarray, "h w 3"]:
    return curves(title, lines, PLOT_WIDTH, PLOT_HEIGHT, failed)


def turntable(
    vertices: Float[np.ndarray, "V 3"], rotation: Float[np.ndarray, "3 3"], model: HeadModel, frames: int, size: int
) -> Iterator[UInt8[np.ndarray, "size size 3"]]:
    """One turn about the head (m, world) that ``rotation`` turns from the model's frame; scalp and eyes have their own colours."""
    colours = _region_colours(model)
    local = vertices[np.asarray(model.head_weight) > 0.5] @ rotation
    center = rotation @ (local.min(0) + local.max(0)) / 2
    extent = float((local.max(0) - local.min(0)).max())
    for azimuth in np.arange(frames) * 360.0 / frames:
        camera = orbit_camera(
            center, DISTANCE * extent, azimuth, ELEVATION_DEG, size, rotation[:, 2], rotation[:, 1], FIELD_SHARE * extent
        )
        yield shaded(vertices, model, camera, colours)[0]


def _region_colours(model: HeadModel) -> Float[np.ndarray, "V 3"]:
    share = np.asarray(model.scalp, np.float64)[:, None]
    colours = (1 - share) * np.array(SKIN) + share * np.array(SCALP)
    for eye in model.eyes:
        colours[eye] = EYES
    return colours
