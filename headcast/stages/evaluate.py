"""evaluate: the avatar on cameras and frames that training never saw, in figures and pictures."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from headcast.avatar.avatar import Avatar, HeadPose
from headcast.capture.camera import Camera
from headcast.config import Evaluation, HeldOut
from headcast.evaluation.flip import flip_map
from headcast.evaluation.hair_motion import Moving, beside_rigid, speed_figures
from headcast.evaluation.perceptual import lpips_network
from headcast.evaluation.pictures import Comparison, comparison_sheet
from headcast.evaluation.protocol import EvaluatedView, composite_on_black, score_views
from headcast.evaluation.strand_metrics import strand_scores
from headcast.evaluation.summary import csv_rows, describe_protocol, summarise
from headcast.evaluation.truth_crop import to_crop
from headcast.formats.atomic import atomic_path, write_json
from headcast.formats.avatar_file import read_avatar
from headcast.formats.frames import read_cameras, read_images
from headcast.formats.ground_truth import GroundTruth, open_ground_truth
from headcast.formats.manifest import png
from headcast.networks.runtime import best_device
from headcast.process.command import Progress
from headcast.stages.training_views import Sources, gather
from headcast.training.samples import View, Views

PROVENANCE = ("digest", "code", "versions", "bill")


@dataclass(frozen=True)
class Inputs:
    """Products of the avatar's sequences, the avatar, where ground truth would be; metrics, table and picture to write."""

    images: list[Path]
    cameras: list[Path]
    background: list[Path]
    mattes: list[Path]
    masks: list[Path]
    params: list[Path]
    avatar: Path
    truth: Path
    benchmarks: Path
    metrics: Path
    frames: Path
    picture: Path


def run(inputs: Inputs, evaluation: Evaluation, held_out: HeldOut, progress: Progress) -> Path:
    """Render every held-out view, compare it with what was filmed, and report."""
    views = gather(Sources.of(inputs), held_out, evaluation.size, "evaluation")
    avatar = read_avatar(inputs.avatar, best_device())
    masks = Reference(open_ground_truth(inputs.truth), inputs, views)
    lpips, reason = lpips_network(None, None)
    gallery = Gallery(views, evaluation.picture_frames)
    moving = moving_sequences(avatar, views)
    scores = list(score_views(gallery.watch(evaluated(avatar, views, masks, moving, progress)), lpips))
    report = summarise(
        scores,
        strands=masks.strands(avatar, moving),
        timing_s=read_benchmarks(inputs.benchmarks),
        protocol=describe_protocol(
            held_out_cameras=[name for name, out in zip(views.cameras, views.held_out_camera.tolist(), strict=True) if out],
            held_out_frames=held_out_by_sequence(views),
            height=evaluation.size,
            width=evaluation.size,
            matte=masks.origin,
            hair_mask=masks.origin,
            lpips=reason,
        ),
    )
    table = io.StringIO()
    csv.writer(table).writerows(csv_rows(scores))
    for path, data in ((inputs.frames, table.getvalue().encode()), (inputs.picture, png(comparison_sheet(gallery.rows)))):
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
    return write_json(inputs.metrics, report | {"avatar": {name: avatar.metadata.get(name) for name in PROVENANCE}})


class Reference:
    """What a render is held against: true matte and hair where the capture carries ground truth, else the pipeline's own."""

    def __init__(self, truth: GroundTruth | None, inputs: Inputs | Sources, views: Views) -> None:
        self._truth, self._views = truth, views
        self._raw = [read_cameras(path, "raw") for path in inputs.cameras]
        self._raw_frames = [read_images(path).raw_frames for path in inputs.images]
        self.origin = "pipeline" if truth is None else "ground truth"

    def masks(self, view: View, camera: Camera) -> tuple[torch.Tensor, torch.Tensor]:
        """Matte and hair mask of a view."""
        number = int(self._views.sequence_of_frame[view.frame])
        frame = self._raw_frames[number][int(self._views.frame_in_sequence[view.frame])]
        where = self._views.sequences[number], camera.serial, frame
        known = None if self._truth is None else (self._truth.alpha(*where), self._truth.hair(*where))
        if known is None or any(mask is None for mask in known):
            return view.matte, view.hair
        raw = self._raw[number][camera.serial]
        matte, hair = (torch.from_numpy(to_crop(np.asarray(mask), raw, camera)).float().clamp(0, 1) for mask in known)
        return matte, hair

    def strands(self, avatar: Avatar, moving: dict[str, Moving] | None) -> dict[str, float] | None:
        """Strands at rest against the true ones of the first frame, and speeds in held-out frames; None without true strands."""
        truth = None if self._truth is None else self._truth.strands(self._views.sequences[0])
        if truth is None or avatar.hair is None or moving is None:
            return None
        pose = tracked_pose(avatar, self._views.sequences[0], 0)
        grown = avatar.hair.points.detach() @ pose.rotation.T + pose.translation
        return strand_figures(grown.cpu().numpy(), truth[0]) | speed_figures(
            moving,
            self._moving_truth(),
            {name: track["time"].cpu().numpy() for name, track in avatar.track.items()},
            held_out_by_sequence(self._views),
        )

    def _moving_truth(self) -> dict[str, np.ndarray]:
        """True strands in the frames of every sequence that has them."""
        found = {}
        for name, frames in zip(self._views.sequences, self._raw_frames, strict=True):
            strands = None if self._truth is None else self._truth.strands(name)
            if strands is not None:
                found[name] = strands[frames]
        return found


class Gallery:
    """Keeps some held-out views of every held-out camera for the comparison picture."""

    def __init__(self, views: Views, frames: int) -> None:
        known = torch.nonzero((views.sequence_of_frame == 0) & ~views.held_out_frame)[:, 0]
        chosen = known[torch.linspace(0, len(known) - 1, min(frames, len(known))).round().long()]
        self._wanted = {(views.sequences[0], int(views.frame_in_sequence[frame])) for frame in chosen}
        self.rows: list[Comparison] = []

    def watch(self, views: Iterator[EvaluatedView]) -> Iterator[EvaluatedView]:
        """Pass views on, remembering those to show."""
        for view in views:
            if view.held_out_camera and (view.sequence, view.frame) in self._wanted:
                truth = composite_on_black(view.truth, view.matte)
                error = flip_map(view.image, truth).numpy()
                self.rows.append(Comparison(f"{view.camera} frame {view.frame}", truth.numpy(), view.image.numpy(), error))
            yield view


def strand_figures(grown: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """``precision_4mm_40deg`` and so on, at every pair of thresholds."""
    figures: dict[str, float] = {}
    for score in strand_scores(grown, truth):
        suffix = f"{score.distance * 1000:.0f}mm_{score.angle_deg:.0f}deg"
        figures |= {f"precision_{suffix}": score.precision, f"recall_{suffix}": score.recall, f"f_{suffix}": score.f_score}
    return figures


def evaluated(
    avatar: Avatar, views: Views, reference: Reference, moving: dict[str, Moving] | None, progress: Progress
) -> Iterator[EvaluatedView]:
    """Every view with a held-out camera or frame, rendered with the fitted track of its frame and with moving hair.

    Held-out frames are rendered with rigid hair too.
    """
    indices = [i for i in range(len(views)) if bool(views.held_out_camera[views.camera[i]] | views.held_out_frame[views.frame[i]])]
    for done, index in enumerate(indices, start=1):
        view = views.at(index)
        camera = Camera(views.cameras[view.camera], view.K.numpy(), view.world_to_camera.numpy(), views.size[1], views.size[0])
        sequence, frame = views.sequences[int(views.sequence_of_frame[view.frame])], int(views.frame_in_sequence[view.frame])
        began = time.perf_counter()
        with torch.no_grad():
            pose, hair_of = tracked_pose(avatar, sequence, frame), moving[sequence] if moving else None
            picture = avatar.film(pose, camera, hair_of.points[frame] if hair_of else None)
            seconds = time.perf_counter() - began
            rigid = hair_of is not None and bool(views.held_out_frame[view.frame])
            still = avatar.film(pose, camera, hair_of.rigid[frame]).image.cpu() if rigid and hair_of else None
        matte, hair = reference.masks(view, camera)
        yield EvaluatedView(
            camera=camera.serial,
            sequence=sequence,
            frame=frame,
            image=picture.image.cpu() * view.visible[..., None],
            truth=view.image,
            matte=matte * view.visible,
            hair=picture.hair.cpu() * view.visible,
            hair_truth=hair * view.visible,
            held_out_camera=bool(views.held_out_camera[view.camera]),
            held_out_frame=bool(views.held_out_frame[view.frame]),
            seconds=seconds,
            rigid=None if still is None else still * view.visible[..., None],
        )
        progress(done, len(indices))


def tracked_pose(avatar: Avatar, sequence: str, frame: int) -> HeadPose:
    """The pose of a frame on the avatar's own track: refined where training saw the frame, as fitted elsewhere."""
    track = avatar.track[sequence]
    return HeadPose(*(track[name][frame] for name in HeadPose._fields))


def moving_sequences(avatar: Avatar, views: Views) -> dict[str, Moving] | None:
    """World points of the hair in every frame of every sequence, each simulated from its own start; None without hair."""
    moved, known = {}, {}
    for number, name in enumerate(views.sequences):
        track = avatar.track[name]
        points = avatar.swing(track["rotation"], track["translation"], track["time"])
        if points is None:
            return None
        moved[name], known[name] = points, ~views.held_out_frame[views.sequence_of_frame == number]
    return beside_rigid(moved, avatar.track, known)


def held_out_by_sequence(views: Views) -> dict[str, list[int]]:
    """Held-out frames of every sequence."""
    return {
        name: views.frame_in_sequence[(views.sequence_of_frame == number) & views.held_out_frame].tolist()
        for number, name in enumerate(views.sequences)
    }


def read_benchmarks(folder: Path) -> dict[str, float]:
    """Seconds of every rule of this sequence that Snakemake timed."""
    seconds = {}
    for path in sorted(folder.glob("*.tsv")):
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
        if rows:
            seconds[path.stem] = round(sum(float(row["s"]) for row in rows) / len(rows), 3)
    return seconds
