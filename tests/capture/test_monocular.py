"""One video of an unknown camera: a stated pinhole, the whole frame, and a driver that builds no avatar."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from headcast.capture.capture import open_capture
from headcast.capture.monocular import FOCAL, SERIAL, assumed_camera
from headcast.capture.raw import raw_files, recorded
from headcast.config import Extraction, load_config
from headcast.errors import AssetMissing, BadFile, CaptureError, ConfigError
from headcast.formats.frames import read_background, read_cameras, read_images
from headcast.stages import download, extract_frames
from headcast.workflow.planning import Plan

from .test_nersemble import video

WIDTH, HEIGHT, FRAMES, SIZE = 96, 64, 3, 96


def filmed(root: Path) -> Path:
    """Grey, with a bright spot in the upper left corner that moves to the right."""
    frames = np.full((FRAMES, HEIGHT, WIDTH, 3), 60, np.uint8)
    for number in range(FRAMES):
        frames[number, 6:14, 8 + 20 * number : 16 + 20 * number] = 250
    path = root / "actor/sequences/TALK.mp4"
    video(path, frames)
    return path


def test_the_camera_is_the_stated_pinhole_before_the_origin(tmp_path: Path) -> None:
    filmed(tmp_path)
    capture = open_capture("monocular", tmp_path, "actor", "TALK", ["222200036"], 4)
    camera = capture.cameras[SERIAL]
    assert camera.K.tolist() == [[FOCAL * WIDTH, 0, WIDTH / 2], [0, FOCAL * WIDTH, HEIGHT / 2], [0, 0, 1]]
    np.testing.assert_allclose(camera.project(np.zeros((1, 3)))[0], [WIDTH / 2, HEIGHT / 2])
    above, aside = camera.project(np.array([[0, 0.1, 0], [0.1, 0, 0]]))
    assert above[1] < HEIGHT / 2 and aside[0] > WIDTH / 2
    portrait = assumed_camera(HEIGHT, WIDTH)
    assert portrait.K[0, 0] == FOCAL * WIDTH


def test_the_whole_frame_is_kept_with_its_camera(tmp_path: Path) -> None:
    filmed(tmp_path)
    out = tmp_path / "out"
    at = {name: out / name / "manifest.json" for name in ("images", "cameras", "background")}
    source = ("actor", "TALK", tmp_path, "monocular")
    listed = download.run(download.Inputs(*source, out / "download.json"), Extraction(), lambda *_: None)
    extract_frames.run(extract_frames.Inputs(listed, *source, **at), Extraction(size=SIZE), lambda *_: None)
    images, camera = read_images(at["images"]), read_cameras(at["cameras"])[SERIAL]
    assert (images.frames, images.serials, images.size) == (FRAMES, [SERIAL], SIZE)
    visible = read_background(at["background"]).visible(SERIAL)
    assert visible.sum() == WIDTH * HEIGHT and visible[SIZE // 2].all()
    for frame in range(FRAMES):
        rows, columns = np.nonzero(images.image(frame, SERIAL).min(-1) > 180)
        assert abs(columns.mean() + 0.5 - (12 + 20 * frame)) < 1 and abs(rows.mean() + 0.5 - (10 + 16)) < 1
    np.testing.assert_allclose(camera.K[:2, 2], SIZE / 2)


def test_what_is_not_one_video_is_said(tmp_path: Path) -> None:
    with pytest.raises(AssetMissing, match=r"actor/sequences/TALK\.mp4"):
        open_capture("monocular", tmp_path, "actor", "TALK", None, 4)
    path = filmed(tmp_path)
    assert raw_files("monocular", tmp_path, "actor", "TALK") == [path]
    assert recorded("monocular", tmp_path, "actor") == {"TALK"}
    shutil.copy(path, path.with_suffix(".mov"))
    with pytest.raises(CaptureError, match="second video"):
        open_capture("monocular", tmp_path, "actor", "TALK", None, 4)
    path.with_suffix(".mov").unlink()
    path.write_text("<html>log in</html>")
    with pytest.raises(BadFile, match="no readable video"):
        open_capture("monocular", tmp_path, "actor", "TALK", None, 4)


def test_a_driver_is_known_to_the_plan_and_no_avatar_is_made_of_it(tmp_path: Path) -> None:
    filmed(tmp_path)
    (tmp_path / "258/sequences/HAIR/images").mkdir(parents=True)
    subjects = {"258": {}, "actor": {"reader": "monocular", "data_root": tmp_path}}
    plan = Plan(load_config({"data_root": tmp_path, "subjects": subjects, "reenactment": {"driver": "actor/TALK"}}, gpu=False))
    assert plan.each("{subject}/{sequence}") == ["258/HAIR"]
    assert "actor" in plan.subject_pattern.split("|")

    class Film:
        subject, sequence = "258", "HAIR"

    resolve = plan.driver("{subject}/{sequence}/params")
    assert callable(resolve) and resolve(Film()) == "actor/TALK/params"
    own = Plan(load_config({"reenactment": {"driver": "EXP-1-head"}}, gpu=False)).driver("{subject}/{sequence}/params")
    assert callable(own) and own(Film()) == "258/EXP-1-head/params"
    with pytest.raises(ConfigError, match=r"reenactment\.driver"):
        load_config({"reenactment": {"driver": "a/b/c"}}, gpu=False)
