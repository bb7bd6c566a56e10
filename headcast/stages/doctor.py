"""doctor: the products of every preprocessing stage, examined before anything is trained on them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headcast.config import Doctor
from headcast.doctor import drawing
from headcast.doctor.checks import CHECKS, Finding, verdict
from headcast.doctor.footage import Footage, examine_footage, examine_members, frame_sharpness
from headcast.doctor.measures import NAMES, View, face_normals, measure, skin_colors
from headcast.doctor.page import Page
from headcast.doctor.rig import Rig, camera_residuals, examine_rig, face_motion, observe, time_offsets
from headcast.doctor.sheets import STAGES, Shown, contact_sheet, evenly, tiles
from headcast.formats.atomic import atomic_path
from headcast.formats.doctor_file import write_verdict
from headcast.formats.frames import member_name, read_background, read_cameras, read_images
from headcast.formats.manifest import Product, write_product
from headcast.formats.maps import read_masks, read_mattes, read_orientations
from headcast.formats.track import read_detections, read_landmarks, read_surface
from headcast.imaging.landmarks import eye_distances, projections, triangulate
from headcast.process.command import Progress

MEMBERS = {"images": "image", "mattes": "matte", "masks": "labels", "orientation": "orientation"}
SHEET_FRAMES, SHEET_CAMERAS = 3, 8
JPEG_QUALITY = 82


@dataclass(frozen=True)
class Inputs:
    """Everything that is there before training; the verdict, the page and the contact sheets (a picture a stage)."""

    images: Path
    cameras: Path
    background: Path
    mattes: Path
    landmarks: Path
    surface: Path
    masks: Path
    orientation: Path
    verdict: Path
    page: Path
    sheets: Path
    workers: int = 1


def run(inputs: Inputs, doctor: Doctor, progress: Progress) -> Path:
    """Measure the products, judge every figure, draw the page; the verdict stops training, not this stage."""
    evidence = Evidence(inputs, doctor.frames)
    findings = evidence.missing_members()
    footage = None
    if not any(finding.level == "fail" for finding in findings):
        footage = evidence.footage(inputs.workers, progress)
        findings += examine_rig(evidence.rig, evidence.landmarks.points) + examine_footage(footage)
    findings.sort(key=lambda finding: list(CHECKS).index(finding.check))
    result = verdict(findings, doctor.allow_failures)
    sheets = evidence.sheets()
    with write_product(inputs.sheets, "contact_sheets") as writer:
        for stage, picture in sheets.items():
            writer.add_bytes(f"{stage}.jpg", picture)
    page = compose(f"{inputs.images.parts[-4]}/{inputs.images.parts[-3]}", evidence.rig, footage, findings, result, sheets)
    with atomic_path(inputs.page) as temporary:
        temporary.write_text(page.html(), encoding="utf-8")
    return write_verdict(inputs.verdict, result)


class Evidence:
    """The products of one sequence, opened once, read view by view."""

    def __init__(self, inputs: Inputs, frames: int) -> None:
        self.images, self.cameras = read_images(inputs.images), read_cameras(inputs.cameras)
        self.mattes, self.masks, self.orientations = (
            read_mattes(inputs.mattes),
            read_masks(inputs.masks),
            read_orientations(inputs.orientation),
        )
        self.background, self.surface = read_background(inputs.background), read_surface(inputs.surface)
        self.landmarks = read_landmarks(inputs.landmarks)
        self.rig = observe(
            {serial: self.cameras[serial] for serial in self.images.serials}, read_detections(inputs.landmarks).points
        )
        self.frames = evenly(self.images.frames, frames)
        products: Mapping[str, Any] = dict(zip(MEMBERS, (self.images, self.mattes, self.masks, self.orientations), strict=True))
        self.hashes = {kind: self._hashes(kind, opened.product) for kind, opened in products.items()}

    def missing_members(self) -> list[Finding]:
        """Findings about what the manifests hold; nothing else can be measured when something is missing."""
        return examine_members(self.images.views(), self.hashes, self.images.times)

    def _hashes(self, kind: str, product: Product) -> dict[tuple[int, str], str]:
        suffix = "npz" if kind == "orientation" else "png"
        named = {view: member_name(MEMBERS[kind], *view, suffix) for view in self.images.views()}
        return {view: product.members[name]["sha256"] for view, name in named.items() if name in product.members}

    def footage(self, workers: int, progress: Progress) -> Footage:
        """Measure the pixels of the sampled frames, several views at a time."""
        serials, jobs = self.images.serials, [(frame, serial) for frame in self.frames for serial in self.images.serials]
        surfaces = {frame: self._face(frame) for frame in self.frames}
        rows, colors = [], []
        with ThreadPoolExecutor(max(workers, 1)) as pool:
            for done, (figures, skin) in enumerate(
                pool.map(lambda job: self._view(job[0], job[1], surfaces[job[0]]), jobs), start=1
            ):
                rows.append(figures)
                colors.append(skin)
                progress(done, len(jobs))
        shape = (len(self.frames), len(serials))
        table = np.array(rows).reshape(*shape, len(NAMES))
        found = np.isfinite(self.rig.detected[self.frames][..., 0]).any(-1)
        return Footage(
            self.frames,
            serials,
            dict(zip(NAMES, np.moveaxis(table, -1, 0))),
            np.array(colors).reshape(*shape, -1, 3),
            found,
            self.images.color_corrections,
        )

    def _face(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """The face's dense points (m) and their outward directions; NaN where the frame has none."""
        points, cameras = self.landmarks.dense[frame], list(self.rig.cameras.values())
        distance = float(eye_distances(self.landmarks.points[frame : frame + 1])[0])
        if not np.isfinite(distance):
            return np.full((points.shape[1], 3), np.nan), np.full((points.shape[1], 3), np.nan)
        world, _ = triangulate(points.astype(np.float64), projections(cameras), distance)
        seeing = np.isfinite(points[..., 0]).any(-1)
        front = np.mean([camera.center for camera, sees in zip(cameras, seeing) if sees], axis=0)
        return world, face_normals(world, front)

    def _view(self, frame: int, serial: str, face: tuple[np.ndarray, np.ndarray]) -> tuple[tuple[float, ...], np.ndarray]:
        image, alpha, visible = self.images.image(frame, serial), self.mattes.alpha(frame, serial), self.background.visible(serial)
        labels, (_, confidence) = self.masks.labels(frame, serial), self.orientations.maps(frame, serial)
        plate = self.background.plate(serial) if self.background.has_plates else None
        figures = measure(View(image, plate, visible, alpha, labels, confidence))
        return astuple(figures), skin_colors(image, self.cameras[serial], *face, visible & (labels == 2))

    def sheets(self) -> dict[str, bytes]:
        """A contact sheet (JPEG) for every stage; views that lack a product are left out."""
        serials = [self.images.serials[k] for k in evenly(len(self.images.serials), SHEET_CAMERAS)]
        frames = [self.frames[k] for k in evenly(len(self.frames), SHEET_FRAMES)]
        shown = [[(f"{s} · {f}", self._tiles(f, s)) for s in serials if self._complete(f, s)] for f in frames]
        rows = {stage: [[(label, drawn[stage]) for label, drawn in row] for row in shown if row] for stage in STAGES}
        return {stage: _jpeg(contact_sheet(rows[stage])) for stage in STAGES}

    def _complete(self, frame: int, serial: str) -> bool:
        return all((frame, serial) in held for held in self.hashes.values())

    def _tiles(self, frame: int, serial: str) -> dict[str, np.ndarray]:
        column = self.images.serials.index(serial)
        angle, confidence = self.orientations.maps(frame, serial)
        return tiles(
            Shown(
                self.images.image(frame, serial),
                self.mattes.alpha(frame, serial),
                self.masks.labels(frame, serial),
                angle,
                confidence,
                self.rig.detected[frame, column],
                self.landmarks.points[frame, column],
                self.cameras[serial].project(self.surface[frame].astype(np.float64)),
            )
        )


def compose(
    title: str, rig: Rig, footage: Footage | None, findings: list[Finding], result: dict[str, Any], sheets: dict[str, bytes]
) -> Page:
    """The page of the findings."""
    known = np.isfinite(rig.world).all((1, 2))
    segments = drawing.rig_segments(rig.cameras, rig.center, rig.world[int(np.argmax(known))])
    labels = drawing.camera_labels(rig.cameras, rig.center)
    scale = drawing.rig_scale(segments)
    svg = drawing.rig_svg(segments, labels, scale)
    return Page(f"Data doctor: {title}", findings, result, svg, segments, labels, scale, drawings(rig, footage), sheets)


def drawings(rig: Rig, footage: Footage | None) -> list[str]:
    """Residuals and offsets by camera, motion, coverage and sharpness over time."""
    bars = {"reprojection": camera_residuals(rig), "synchronisation": np.abs(time_offsets(rig))}
    shown = [
        drawing.bars_svg(f"{name} of each camera ({CHECKS[name].unit})", dict(zip(rig.cameras, values)), CHECKS[name])
        for name, values in bars.items()
        if np.isfinite(values).any()
    ]
    moved = face_motion(rig)
    if len(moved):
        shown.append(drawing.lines_svg("motion of the face (% of the side)", list(range(1, len(moved) + 1)), {"face": moved}))
    if footage is None:
        return shown
    for name, title in (("subject", "matte"), ("hair", "hair within the subject"), ("face", "face within the subject")):
        lines: dict[str, np.ndarray] = {serial: 100 * footage.measures[name][:, c] for c, serial in enumerate(footage.serials)}
        shown.append(drawing.lines_svg(f"coverage over time: {title} (%)", footage.frames, lines))
    sharp = frame_sharpness(footage)
    if sharp:
        shown.append(
            drawing.lines_svg("sharpness of each frame (% of the usual)", footage.frames, {"all cameras": list(sharp.values())})
        )
    return shown


def _jpeg(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="jpeg", quality=JPEG_QUALITY)
    return stream.getvalue()
