"""The whole workflow at tiny size on the embedded subject: runs, repeats nothing, re-runs what it must, survives SIGKILL."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from headcast import load_avatar
from headcast.formats.avatar_file import read_metadata

from .test_plan import ROOT, snakemake
from .tiny import AVATAR, CAMERAS, FOLDER, TARGETS, options

pytestmark = pytest.mark.workflow


def test_the_report_has_every_figure_that_users_are_promised(finished: Path) -> None:
    metrics = json.loads((finished / FOLDER / "evaluation/metrics.json").read_text())
    for group in ("held_out_cameras", "held_out_frames"):
        assert {"psnr", "psnr_subject", "ssim", "ms_ssim", "flip", "lpips", "by_camera"} <= set(metrics[group])
        assert 8 < metrics[group]["psnr"] < 60
    assert set(metrics["held_out_cameras"]["by_camera"]) == {"222200037", "222200046"}
    assert {"psnr", "ssim", "flip", "iou", "temporal_iou"} <= set(metrics["hair"])
    assert metrics["strands"] is not None
    assert {"download", "matting", "train_avatar"} <= set(metrics["timing_s"])
    assert metrics["protocol"]["held_out_cameras"] == ["222200037", "222200046"]
    assert (finished / FOLDER / "evaluation/frames.csv").read_text().count("\n") > 4
    assert (finished / FOLDER / "evaluation/comparison.png").stat().st_size > 1000


def test_every_stage_is_scored_against_ground_truth(finished: Path) -> None:
    scores = json.loads((finished / FOLDER / "scores.json").read_text())
    promised = {
        "matting": ["mean_abs_error", "band_error"],
        "labels": ["hair_iou", "face_iou"],
        "orientation": ["median_deg", "p90_deg"],
        "landmarks": ["nme_percent", "jaw_nme_percent", "recall"],
        "fit": ["surface_median_mm", "surface_p90_mm", "reprojection_percent", "jitter_mm"],
        "hair_strands": ["precision_4mm_40deg", "recall_4mm_40deg", "precision_2mm_20deg", "field_median_deg", "field_p90_deg"],
        "strands": ["precision_4mm_40deg", "recall_4mm_40deg"],
    }
    for stage, names in promised.items():
        for name in names:
            assert scores[stage][name] is not None, (stage, name)
    assert scores["fit"]["expression_correlation"] is None, "nothing moves in the face within these few frames"
    assert scores["matting"]["mean_abs_error"] < 0.03
    assert scores["landmarks"]["recall"] > 0.8
    assert scores["hair_strands"]["inside_head"] == 0
    assert scores["hair_strands"]["precision_2mm_20deg"] < scores["hair_strands"]["precision_4mm_40deg"]
    assert (finished / FOLDER / "scores/strands.jpg").stat().st_size > 20_000


def test_the_avatar_is_self_contained_and_its_hair_comes_off(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Path(shutil.copy(finished / AVATAR, tmp_path / "avatar.pth"))
    monkeypatch.chdir(tmp_path)
    torch.load(alone, weights_only=True)
    avatar = load_avatar(alone)
    camera = avatar.frontal_camera(64)
    smile = avatar.render(expression={"jawOpen": 1.0}, head_pose=[0, 0.2, 0, 0, 0, 0], camera=camera)
    rest, bald = avatar.render(camera=camera), avatar.render(camera=camera, hair=False)
    assert smile.image.shape == (64, 64, 3)
    assert bool(torch.isfinite(smile.image).all())
    assert float((smile.image - rest.image).abs().max()) > 0.02
    assert float(rest.hair.sum()) > 10 > float(bald.hair.sum())


def test_running_again_does_nothing_within_seconds(finished: Path, raw: Path) -> None:
    began = time.monotonic()
    done = snakemake(*options(raw), *TARGETS, folder=finished)
    assert "Nothing to be done" in done.stdout + done.stderr
    assert time.monotonic() - began < 30


def test_a_changed_product_is_refused_with_one_line(copied: Path, raw: Path) -> None:
    member = copied / FOLDER / "mattes/0000" / f"matte_{CAMERAS[0]}.png"
    member.write_bytes(member.read_bytes()[:-4])
    done = snakemake("--forcerun", "train_mesh_head", *options(raw), f"{FOLDER}/mesh_head.pth", folder=copied)
    said = [line for line in done.stderr.splitlines() if line.startswith("headcast: ") and member.name in line]
    assert done.returncode != 0
    assert said
    assert "differs from its manifest" in said[0]


def test_a_failed_check_stops_training_with_one_line(copied: Path, raw: Path) -> None:
    verdict = copied / FOLDER / "doctor.json"
    verdict.write_text(json.dumps({**json.loads(verdict.read_text()), "stops_training": ["scale"]}))
    done = snakemake("--forcerun", "train_mesh_head", *options(raw), f"{FOLDER}/mesh_head.pth", folder=copied)
    said = [line for line in done.stderr.splitlines() if line.startswith("headcast: ") and "doctor.allow_failures" in line]
    assert done.returncode != 0
    assert said and "the check scale failed" in said[0]


def test_the_sequence_was_examined_before_training(finished: Path) -> None:
    verdict = json.loads((finished / FOLDER / "doctor.json").read_text())
    assert verdict["stops_training"] == []
    assert not [finding for finding in verdict["findings"] if finding["level"] == "fail"]
    assert (finished / FOLDER / "doctor.html").stat().st_size > 100_000
    assert len(list((finished / FOLDER / "contact_sheets").glob("*.jpg"))) == 6


def test_killed_training_goes_on_and_ends_in_the_same_avatar(finished: Path, copied: Path, raw: Path, tmp_path: Path) -> None:
    folder = copied
    (folder / AVATAR).unlink()
    state = folder / FOLDER / "state/train_avatar/state.pt"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2", *options(raw), AVATAR]
    with open(tmp_path / "first.log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, start_new_session=True, stdout=log, stderr=log)
        deadline = time.monotonic() + 240
        while not state.exists():
            assert process.poll() is None, (tmp_path / "first.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (folder / AVATAR).exists()
    snakemake("--unlock", *options(raw), folder=folder)
    done = snakemake(*options(raw), AVATAR, folder=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "resumed at step" in (folder / FOLDER / "logs/train_avatar.log").read_text()
    assert read_metadata(folder / AVATAR)["digest"] == read_metadata(finished / AVATAR)["digest"]
    assert not state.exists()


def test_the_film_plays(finished: Path) -> None:
    from headcast.capture.video import read_video_frames
    from headcast.delivery.retarget import back_and_forth

    frames = [frame for _, _, frame in read_video_frames(finished / FOLDER / "reenactment/reenactment.mp4")]
    assert len(frames) == len(back_and_forth(4, 2))
    assert np.abs(frames[0].astype(int) - frames[len(frames) // 4]).max() > 10
