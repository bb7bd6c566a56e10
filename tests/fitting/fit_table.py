"""How well heads are fitted: ``make fit-table``, or ``python -m tests.fitting.fit_table --help``. It prints Markdown.

Captures with ground truth (raw layout of NeRSemble, ``{root}/ground_truth``) are preprocessed by the stages into ``--work``, where
a second run finds them again, and fitted as ``fit_head`` fits; what is worse is made from the detections before the consensus:

* removed: 30 % of all detected points of every view, chosen anew in each, the 68 and the dense ones each by themselves;
* outliers: 10 % of them thrown 15 to 60 % of the eye distance to any side;
* views: some of the cameras, spread evenly over the azimuth; one is the most frontal;
* landmarks alone, no outline, no skin: what `silhouette` and `photometric` bring.

``recall`` is the share of views in sight, of all cameras, in which the fitted inner landmarks, projected, lie within 5 % of the
eye distance of the true ones in the mean. Time and memory: a fresh process reads images and landmarks and fits on ``--threads``
cores; 300 frames are the sequence there and back again and again, each time with new noise of 0.5 px on all points.
"""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.connection
import os
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from headcast.capture.camera import Camera
from headcast.config import Extraction, LandmarkDetection, Matting
from headcast.evaluation import stage_scores as scoring
from headcast.evaluation.surface_scores import FaceView, expression_correlation, face_vertices, jitter_mm, score_surface
from headcast.fitting.fit import Fitted, fit
from headcast.formats.frames import Images, read_cameras, read_images
from headcast.formats.ground_truth import GroundTruth, open_ground_truth
from headcast.formats.maps import Mattes, read_mattes
from headcast.formats.track import read_detections
from headcast.geometry.rotations import axis_angle_to_matrix
from headcast.heads import HeadModel, load_head_model
from headcast.imaging.landmarks import Landmarks, consensus, eye_distances
from headcast.stages import download, extract_frames, landmarks, matting
from headcast.stages.fit_head import outlines, pictures
from headcast.stages.score import rigid

RECALLED_PERCENT = 5.0
REMOVED, THROWN, THROW = 0.3, 0.1, (0.15, 0.6)
VIEWS = (1, 2, 4, 8)
LONG, SHORT, NOISE_PX = 300, 10, 0.5
LESS = {"landmarks alone": ("mattes", "pictures"), "no outline": ("mattes",), "no skin": ("pictures",)}
HEADER = "median mm | p90 mm | reprojection % | expression r | jitter mm | recall"


@dataclass(frozen=True)
class Capture:
    """Where a subject's raw capture lies, and the side of its working images (px)."""

    subject: str
    root: Path
    size: int

    @classmethod
    def of(cls, text: str) -> Capture:
        """``subject:folder:size``."""
        subject, root, size = text.split(":")
        return cls(subject, Path(root), int(size))


@dataclass(frozen=True)
class Case:
    """A preprocessed sequence with its truth (m, world)."""

    name: str
    sequence: str
    images: Images
    mattes: Mattes
    cameras: dict[str, Camera]
    raw: dict[str, Camera]
    detected: Landmarks
    truth: GroundTruth
    geometry: dict[str, np.ndarray]

    @property
    def vertices(self) -> np.ndarray:
        """The true surface of every frame."""
        return self.geometry["vertices"].astype(np.float64)


def prepared(capture: Capture, sequence: str, work: Path) -> Case:
    """Extract, detect and matte by the stages, or find what an earlier run left."""
    folder = work / capture.subject / sequence
    at = {name: folder / name / "manifest.json" for name in ("images", "cameras", "background", "landmarks", "mattes")}
    if not at["mattes"].exists():
        source = (capture.subject, sequence, capture.root, "nersemble")
        listed = download.run(download.Inputs(*source, folder / "download.json"), Extraction(), _quiet)
        written = {name: at[name] for name in ("images", "cameras", "background")}
        extract_frames.run(extract_frames.Inputs(listed, *source, **written), Extraction(size=capture.size), _quiet)
        landmarks.run(landmarks.Inputs(at["images"], at["cameras"], at["landmarks"]), LandmarkDetection(), _quiet)
        matting.run(matting.Inputs(at["images"], at["background"], at["mattes"]), Matting(), _quiet)
    images, truth = read_images(at["images"]), open_ground_truth(capture.root / "ground_truth")
    assert truth is not None
    geometry = truth.geometry(sequence)
    assert geometry is not None
    return Case(
        f"{capture.subject} {sequence}",
        sequence,
        images,
        read_mattes(at["mattes"]),
        read_cameras(at["cameras"]),
        read_cameras(at["cameras"], "raw"),
        read_detections(at["landmarks"]),
        truth,
        {name: values[images.raw_frames] for name, values in geometry.items() if len(values) > max(images.raw_frames)},
    )


def _quiet(*_: object) -> None:
    """Report nothing."""


def fitted(case: Case, model: HeadModel, detected: Landmarks, *without: str) -> tuple[Landmarks, Fitted]:
    """As the stage fits by default: consensus, landmarks, outline (of the ``mattes``), skin (of the ``pictures``)."""
    agreed = consensus(detected, case.cameras)
    seen = {"pictures": pictures(case.images, agreed.cameras), "mattes": outlines(case.mattes, agreed.cameras)}
    return agreed, fit(agreed, case.cameras, model, **{name: shown for name, shown in seen.items() if name not in without})


def measured(case: Case, model: HeadModel, agreed: Landmarks, found: Fitted) -> str:
    """The figures of a fit as cells of a table."""
    parameters, true = found.parameters, case.vertices
    face = face_vertices(true[0], _face_views(case))
    vertices, outer = model.vertices(parameters).numpy(), model.faces[~model.mouth_interior[model.faces].any(1)]
    surface = score_surface(((points[face], mesh) for points, mesh in zip(true, vertices, strict=True)), outer)
    motion = rigid(axis_angle_to_matrix(parameters.rotation).numpy(), parameters.translation.numpy())
    true_motion = rigid(case.geometry["head_rotation"], case.geometry["head_translation"])
    names, code = case.truth.expression_names() or (), parameters.expression.numpy()
    seen = [case.cameras[serial] for serial in agreed.cameras]
    figures = (
        f"{surface['surface_median_mm']:.2f}",
        f"{surface['surface_p90_mm']:.2f}",
        f"{scoring.score_reprojection(found.landmarks_3d, agreed.points, seen):.2f}",
        f"{expression_correlation(code, model.expression_names, case.geometry['expression'], names):.2f}",
        f"{jitter_mm(motion, true_motion, true[0][face]):.2f}",
        f"{recall(case, found):.3f}",
    )
    return " | ".join(figures)


def _face_views(case: Case) -> list[FaceView]:
    first = case.images.raw_frames[0]
    planes = {s: (case.truth.face(case.sequence, s, first), case.truth.depth(case.sequence, s, first)) for s in case.raw}
    return [FaceView(case.raw[s], face, depth) for s, (face, depth) in planes.items() if face is not None and depth is not None]


def recall(case: Case, found: Fitted) -> float:
    """Share of views in sight whose projected inner landmarks are where the true ones are."""
    true, views = case.geometry["landmarks_3d"].astype(np.float64), list(case.cameras.values())
    seen = scoring.faces_in_sight(true, views)
    hits = [
        np.linalg.norm(camera.project(model) - camera.project(points), axis=-1)[scoring.INNER].mean()
        <= RECALLED_PERCENT / 100 * scoring.frontal_eye_distance_px(points, camera)
        for f, (model, points) in enumerate(zip(found.landmarks_3d, true, strict=True))
        for c, camera in enumerate(views)
        if seen[f, c]
    ]
    return float(np.mean(hits))


def removed(detected: Landmarks, rng: np.random.Generator) -> Landmarks:
    """Some of the points of every view are not there."""
    gone = {name: rng.random(getattr(detected, name).shape[:3]) < REMOVED for name in ("points", "dense")}
    kept = {name: np.where(lost[..., None], np.nan, getattr(detected, name)) for name, lost in gone.items()}
    return replace(detected, confidence=np.where(gone["points"], 0.0, detected.confidence), **kept)


def thrown(detected: Landmarks, rng: np.random.Generator) -> Landmarks:
    """Some of the points of every view are far off."""
    size = eye_distances(detected.points)[:, None, None]

    def spoiled(points: np.ndarray) -> np.ndarray:
        angle, far = rng.uniform(0, 2 * np.pi, points.shape[:3]), rng.uniform(*THROW, points.shape[:3]) * size
        off = far[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        return points + np.where(rng.random(points.shape[:3])[..., None] < THROWN, off, 0.0)

    return replace(detected, points=spoiled(detected.points), dense=spoiled(detected.dense))


def some_views(case: Case, count: int) -> Landmarks:
    """The detections of some cameras, spread evenly over the azimuth; one is the most frontal."""
    detected, centre = case.detected, case.vertices[0].mean(axis=0)
    azimuth = np.array([np.arctan2(*(case.cameras[s].center - centre)[[0, 2]]) for s in detected.cameras])
    order = np.argsort(azimuth)
    chosen = [int(np.abs(azimuth).argmin())] if count == 1 else order[np.linspace(0, len(order) - 1, count).round().astype(int)]
    rows = sorted(int(row) for row in chosen)
    kept = {name: getattr(detected, name)[:, rows] for name in ("points", "confidence", "dense")}
    return Landmarks(tuple(detected.cameras[row] for row in rows), **kept)


def degraded(case: Case) -> Mapping[str, Callable[[], Landmarks]]:
    """What the fit has to bear, by name."""
    rng = np.random.default_rng(0)
    found: dict[str, Callable[[], Landmarks]] = {
        "all views": lambda: case.detected,
        "30 % of the points removed": lambda: removed(case.detected, rng),
        "10 % outliers": lambda: thrown(case.detected, rng),
    }
    return found | {f"{n} view{'s' if n > 1 else ''}": (lambda n=n: some_views(case, n)) for n in VIEWS}


def timed(
    frames: int, capture: Capture, sequence: str, work: Path, threads: int, pipe: multiprocessing.connection.Connection
) -> None:
    """In a process of its own: seconds of reading and fitting, those of its cores, and the most memory (MB)."""
    torch.set_num_threads(threads)
    case, model = prepared(capture, sequence, work), load_head_model("open", cache=work / "open.npz")
    there = np.arange(case.images.frames)
    order = np.resize(np.concatenate([there, there[-2:0:-1]]), frames)
    rng = np.random.default_rng(0)
    taken = {name: getattr(case.detected, name)[order] for name in ("points", "confidence", "dense")}
    for name in ("points", "dense"):
        taken[name] = taken[name] + rng.normal(0, NOISE_PX, taken[name].shape)
    agreed = consensus(replace(case.detected, **taken), case.cameras)
    shown, matted = pictures(case.images, agreed.cameras), outlines(case.mattes, agreed.cameras)
    start, busy = time.perf_counter(), time.process_time()
    fit(
        agreed,
        case.cameras,
        model,
        pictures=lambda frame, view: shown(int(order[frame]), view),
        mattes=lambda frame: matted(int(order[frame])),
    )
    spent = time.perf_counter() - start, time.process_time() - busy
    pipe.send((*spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def cost(frames: int, *of: object) -> str:
    """A row of the third table."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(of[-1]))  # as Snakemake does
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=timed, args=(frames, *of, there))
    child.start()
    there.close()
    seconds, of_cores, megabytes = here.recv()
    child.join()
    return f"| {frames} | {seconds:.1f} | {of_cores:.1f} | {megabytes:.0f} |"


def accuracy(captures: list[Capture], sequences: list[str], models: Mapping[str, HeadModel], work: Path) -> None:
    """Print the first two tables."""
    print(f"\n| sequence | model | {HEADER} |\n|{'---|' * 8}", flush=True)
    for capture in captures:
        for sequence in sequences:
            case = prepared(capture, sequence, work)
            for name, model in models.items():
                print(f"| {case.name} | {name} | {measured(case, model, *fitted(case, model, case.detected))} |", flush=True)
    print(f"\n| sequence | what the fit gets | {HEADER} |\n|{'---|' * 8}", flush=True)
    first = next(iter(models.values()))
    for capture in captures:
        case = prepared(capture, sequences[0], work)
        for name, made in degraded(case).items():
            print(f"| {case.name} | {name} | {measured(case, first, *fitted(case, first, made()))} |", flush=True)
        for name, without in LESS.items():
            print(f"| {case.name} | {name} | {measured(case, first, *fitted(case, first, case.detected, *without))} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capture", type=Capture.of, action="append", metavar="SUBJECT:FOLDER:SIZE")
    parser.add_argument("--sequences", nargs="+", default=["HAIR", "EXP-1-head"])
    parser.add_argument("--models", nargs="+", default=["open"], help="open needs nothing; others their files under --assets")
    parser.add_argument("--assets", type=Path, default=Path(), help="the folder that holds assets/")
    parser.add_argument("--work", type=Path, default=Path("results/fit_table"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--costs", action="store_true", help="only time and memory")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    captures = given.capture or [Capture("demo", Path("assets/demo"), 512)]
    if not given.costs:
        models = {name: load_head_model(name, given.work / f"{name}.npz", given.assets) for name in given.models}
        accuracy(captures, given.sequences, models, given.work)
    print("\n| frames × views | s | s of all cores | MB |\n|---|---|---|---|", flush=True)
    for frames in (SHORT, LONG):
        print(cost(frames, captures[0], given.sequences[0], given.work, given.threads), flush=True)


if __name__ == "__main__":
    main()
