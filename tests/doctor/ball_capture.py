"""A ball with a face as the smallest healthy sequence: every product before training, in memory, to be damaged and written."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from headcast.capture.camera import Camera
from headcast.formats.frames import member_name, write_background, write_cameras
from headcast.formats.manifest import png, write_product
from headcast.formats.maps import orientation_bytes
from headcast.formats.track import write_head_params, write_landmarks
from headcast.heads.model import HeadParameters
from headcast.imaging.color import encode_srgb
from headcast.imaging.landmarks import Landmarks
from headcast.stages.doctor import Inputs
from tests.ball import camera

RADIUS, SIZE, FRAMES = 0.1, 96, 6
AZIMUTHS = (-0.7, -0.35, 0.0, 0.35, 0.7)


@dataclass
class BallCapture:
    """Arrays by (frame, serial) or serial; tests change them before ``write``."""

    cameras: dict[str, Camera]
    times: list[float]
    points: np.ndarray
    images: dict[tuple[int, str], np.ndarray]
    alpha: dict[tuple[int, str], np.ndarray]
    labels: dict[tuple[int, str], np.ndarray]
    confidence: dict[tuple[int, str], np.ndarray]
    plates: dict[str, np.ndarray]
    detected: np.ndarray
    agreed: np.ndarray
    dense: np.ndarray
    left_out: set[tuple[str, int, str]] = field(default_factory=set)
    corrections: dict[str, np.ndarray] = field(default_factory=dict)

    def write(self, folder: Path) -> Inputs:
        """Write every product; returns what the doctor is called with."""
        at = {name: folder / "ball/TALK" / name / "manifest.json" for name in PRODUCTS}
        write_cameras(at["cameras"], self.cameras, self.cameras, self.times)
        write_background(at["background"], self.plates, {serial: np.ones((SIZE, SIZE), bool) for serial in self.cameras})
        hair = {view: png((labels == 3).astype(np.uint8) * 255) for view, labels in self.labels.items()}
        labels = {view: png(labels) for view, labels in self.labels.items()}
        angle = np.full((SIZE, SIZE), 0.5)
        maps = {view: orientation_bytes(angle, confidence) for view, confidence in self.confidence.items()}
        self._write_views(at["images"], "images", {"image": {view: png(image) for view, image in self.images.items()}})
        self._write_views(at["mattes"], "mattes", {"matte": {view: png(alpha) for view, alpha in self.alpha.items()}})
        self._write_views(at["masks"], "masks", {"labels": labels, "hair": hair})
        self._write_views(at["orientation"], "orientation_maps", {"orientation": maps})
        agreed = Landmarks(tuple(self.cameras), self.agreed, np.isfinite(self.agreed[..., 0]).astype(float), self.dense)
        detected = replace(agreed, points=self.detected)
        write_landmarks(at["landmarks"], agreed, {"frames": len(self.times), "size": SIZE}, detected)
        write_head_params(at["surface"], still(len(self.times)), {"model": "ball"}, self.points[:, :68])
        sheets = folder / "ball/TALK/contact_sheets/manifest.json"
        return Inputs(**at, verdict=folder / "doctor.json", page=folder / "doctor.html", sheets=sheets)

    def _write_views(self, path: Path, product: str, members: dict[str, dict[tuple[int, str], bytes]]) -> None:
        suffix = "npz" if product == "orientation_maps" else "png"
        with write_product(path, product) as writer:
            writer.facts |= {"frames": len(self.times), "cameras": list(self.cameras), "size": SIZE, "times_s": self.times}
            if product == "images":
                writer.facts["color_corrections"] = {serial: matrix.tolist() for serial, matrix in self.corrections.items()}
            for kind, views in members.items():
                for (frame, serial), data in views.items():
                    if (product, frame, serial) not in self.left_out and frame < len(self.times) and serial in self.cameras:
                        writer.add_bytes(member_name(kind, frame, serial, suffix), data)


PRODUCTS = ("images", "cameras", "background", "mattes", "landmarks", "surface", "masks", "orientation")


def still(frames: int) -> HeadParameters:
    """Parameters of a head that does nothing."""
    sizes = {"expression": 1, "head_pose": 3, "neck_pose": 3, "jaw_pose": 3, "eye_pose": 6, "rotation": 3, "translation": 3}
    per_frame = {name: torch.zeros(frames, size) for name, size in sizes.items()}
    return HeadParameters(identity=torch.zeros(1), scale=torch.ones(()), **per_frame)


def face_points(count: int) -> np.ndarray:
    """Points over the front of the unit ball (golden spiral around +z)."""
    k = np.arange(count) + 0.5
    z, turn = 1 - 0.4 * k / count, np.pi * (1 + 5**0.5) * k
    return np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], axis=-1)


def healthy() -> BallCapture:
    """A healthy sequence of one's own to damage."""
    return copy.deepcopy(_healthy())


@cache
def _healthy() -> BallCapture:
    """A ball that nods: 5 cameras, 6 frames; skin with freckles, hair on top, exact mattes, labels and landmarks."""
    cameras = {f"c{k}": camera(azimuth, SIZE, f"c{k}") for k, azimuth in enumerate(AZIMUTHS)}
    middles = np.array([[0.012 * np.sin(0.9 * f), 0.006 * np.cos(0.9 * f), 0.0] for f in range(FRAMES)])
    unit = np.concatenate([face_points(68), face_points(478)])
    unit[[36, 45]] = [[-0.45, 0.2, np.sqrt(1 - 0.45**2 - 0.04)], [0.45, 0.2, np.sqrt(1 - 0.45**2 - 0.04)]]
    points = middles[:, None] + RADIUS * unit
    pixels = np.stack([[view.project(frame) for view in cameras.values()] for frame in points])
    rng = np.random.default_rng(0)
    plates = {serial: rng.integers(90, 120, (SIZE, SIZE, 3), dtype=np.uint8) for serial in cameras}
    images, alpha, labels, confidence = {}, {}, {}, {}
    for frame in range(FRAMES):
        for serial, view in cameras.items():
            seen, place = trace(view, middles[frame])
            noise = rng.integers(-2, 3, (SIZE, SIZE, 3))
            picture = np.where(seen[..., None], shade(place), plates[serial])
            images[frame, serial] = np.clip(picture + noise, 0, 255).astype(np.uint8)
            alpha[frame, serial] = seen.astype(np.uint8) * 255
            kind = np.where(place[..., 1] > 0.5, 3, np.where(place[..., 2] > 0.2, 2, 1))
            labels[frame, serial] = np.where(seen, kind, 0).astype(np.uint8)
            confidence[frame, serial] = (labels[frame, serial] == 3) * 0.8
    times = [frame / 24 for frame in range(FRAMES)]
    detected = pixels[:, :, :68] + rng.normal(0, 0.15, pixels[:, :, :68].shape)
    return BallCapture(
        cameras, times, points, images, alpha, labels, confidence, plates, detected, pixels[:, :, :68].copy(), pixels[:, :, 68:]
    )


def trace(view: Camera, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the view sees the ball (H W) and which point of the unit ball (H W 3)."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(view.K).T @ view.world_to_camera[:3, :3]
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    offset = view.center - middle
    along = rays @ offset
    inside = along**2 - (offset @ offset - RADIUS**2)
    distance = -along - np.sqrt(np.maximum(inside, 0))
    return inside > 0, (offset + distance[..., None] * rays) / RADIUS


def shade(place: np.ndarray) -> np.ndarray:
    """sRGB of skin with freckles and of striped hair at points of the unit ball."""
    x, y, z = np.moveaxis(place, -1, 0)
    freckles = 0.06 * np.sin(24 * x) * np.sin(24 * y) * np.sin(20 * z + 1)
    skin = np.array([0.45, 0.28, 0.2]) * (1 + 2 * freckles[..., None])
    hair = np.array([0.12, 0.08, 0.05]) * (1.3 + np.sin(60 * x))[..., None]
    return np.rint(255 * encode_srgb(np.where((y > 0.5)[..., None], hair, skin)))
