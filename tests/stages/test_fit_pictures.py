"""Pictures of a fit: drawn from the products of a sequence, with the frames that failed marked in them and named beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from scipy.spatial.transform import Rotation

from headcast.capture.camera import Camera
from headcast.capture.video import read_video_frames
from headcast.config import Fitting
from headcast.doctor.fit_figures import FAILED, FITTED, TILE, OverlayView, judge, overlay, parameter_plot, shown_frames, turntable
from headcast.formats.frames import member_name, write_cameras
from headcast.formats.manifest import png, write_product
from headcast.formats.track import write_head_params, write_landmarks
from headcast.heads import load_head_model, user_files
from headcast.heads.linear_head import LinearHead
from headcast.heads.model import HeadParameters, neutral_parameters
from headcast.stages.fit_pictures import TURN_FRAMES, TURN_SIZE, Inputs, run
from tests.fitting.ring import ring, seen
from tests.heads import shaped
from tests.heads.loaded import cache_path, loaded_head

FRAMES, SIZE = 6, 64
BLIND, WRONG = 2, 4


def performance() -> HeadParameters:
    """A head that turns and opens its mouth."""
    head, time = loaded_head(), np.linspace(0, 1, FRAMES)
    expression = np.zeros((FRAMES, head.expression_size))
    expression[:, head.expression_names.index("jawOpen")] = time
    turned = Rotation.from_euler("y", (30 * time - 15)[:, None], degrees=True).as_rotvec()
    return replace(neutral_parameters(head, FRAMES), expression=torch.from_numpy(expression), rotation=torch.from_numpy(turned))


def sequence(folder: Path, failures: bool) -> Inputs:
    """A fitted sequence of grey pictures; with ``failures`` one frame without landmarks, one whose landmarks lie elsewhere."""
    head, parameters = loaded_head(), performance()
    cameras: dict[str, Camera] = {s: camera.resize(SIZE, SIZE) for s, camera in ring(np.array([0.0, 0.0, 0.08])).items()}
    vertices = head.vertices(parameters)
    landmarks = seen(head.landmarks(vertices).numpy(), head.dense_landmarks(vertices).numpy(), cameras)
    if failures:
        landmarks.points[BLIND] = np.nan
        landmarks.points[WRONG] += 8.0
    at = {name: folder / "demo/TALK" / name / "manifest.json" for name in ("images", "cameras", "landmarks", "surface")}
    times = [frame / 25 for frame in range(FRAMES)]
    write_cameras(at["cameras"], cameras, cameras, times)
    with write_product(at["images"], "images") as writer:
        writer.facts |= {"frames": FRAMES, "cameras": list(cameras), "size": SIZE, "times_s": times}
        for frame in range(FRAMES):
            for serial in cameras:
                writer.add_bytes(member_name("image", frame, serial), png(np.full((SIZE, SIZE, 3), 90, np.uint8)))
    write_landmarks(at["landmarks"], landmarks, {"frames": FRAMES, "size": SIZE}, landmarks)
    write_head_params(at["surface"], parameters, {"model": "open"}, vertices.numpy())
    names = {"frames": "frames.json", "overlay": "overlay.jpg", "residuals": "residuals.png", "parameters": "parameters.png"}
    written = {key: folder / "fit" / name for key, name in (names | {"turntable": "turntable.mp4"}).items()}
    return Inputs(**at, model=cache_path(), **written)


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def red(pixels: np.ndarray) -> np.ndarray:
    return np.abs(pixels - np.array(FAILED)).max(-1) < 40


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Inputs, Inputs]:
    """The pictures of a good fit and of one with two failed frames."""
    pair = tuple(sequence(tmp_path_factory.mktemp(name), failures=name == "failed") for name in ("good", "failed"))
    for inputs in pair:
        run(inputs, Fitting(), lambda *_: None)
    return pair


def test_failed_frames_are_named_with_the_reason(drawn: tuple[Inputs, Inputs]) -> None:
    good, failed = (json.loads(inputs.frames.read_text()) for inputs in drawn)
    assert good["failed"] == [] and len(good["frames"]) == FRAMES
    assert max(frame["residual_px"] for frame in good["frames"]) < 0.05
    assert failed["failed"] == [{"frame": BLIND, "why": "no landmarks"}, {"frame": WRONG, "why": "large residual"}]
    assert failed["frames"][BLIND]["residual_px"] is None and failed["frames"][BLIND]["views"] == 0
    assert failed["frames"][WRONG]["residual_px"] == pytest.approx(8 * 2**0.5, abs=0.1)
    assert failed["frames"][1]["time_s"] == pytest.approx(0.04)


def test_failed_frames_are_marked_in_the_sheet(drawn: tuple[Inputs, Inputs]) -> None:
    good, failed = (picture(inputs.overlay) for inputs in drawn)
    assert not red(good).any()
    rims = red(failed).sum() / (4 * 4 * TILE)
    assert 0.85 * 2 * 5 < rims < 1.05 * 2 * 5  # both frames, all five cameras


def test_the_mesh_lies_where_the_landmarks_are_in_a_square_about_the_head() -> None:
    head, parameters = loaded_head(), performance()
    vertices = head.vertices(parameters).numpy()[FRAMES // 2]
    far = replace(ring(np.array([0.05, 0.0, 0.08]))["c2"], K=np.array([[600.0, 0, 256], [0, 600.0, 256], [0, 0, 1]]))
    points = far.project(head.landmarks(torch.from_numpy(vertices)).numpy())
    points[:17] = np.nan  # the jaw is the rim of what is seen
    view = OverlayView(np.full((512, 512, 3), 90, np.uint8), far, vertices, np.full((68, 2), np.nan), points)
    tile = overlay(view, head).astype(int)
    yellow = np.abs(tile - np.array(FITTED)).max(-1) == 0
    assert 30 < yellow.sum() <= 51
    beside = ndimage.binary_dilation(yellow, np.ones((3, 3))) & ~yellow
    mesh = tile[..., 2] > tile[..., 0] + 8
    assert mesh[beside].all() and (tile[:4, :4] == 90).all()
    assert mesh.any(1).sum() > 0.7 * TILE


def test_the_plots_show_what_moves_and_what_failed(drawn: tuple[Inputs, Inputs]) -> None:
    for name in ("residuals", "parameters"):
        good, failed = (picture(getattr(inputs, name)) for inputs in drawn)
        assert good.shape == failed.shape
        bar = np.abs(failed - np.array([120, 24, 24])).max(-1) < 6
        assert bar.any(0).sum() > 100 and not (np.abs(good - np.array([120, 24, 24])).max(-1) < 6).any()


def test_the_film_turns_about_the_whole_head(drawn: tuple[Inputs, Inputs]) -> None:
    frames = [frame.rgb.astype(int) for frame in read_video_frames(drawn[0].turntable)]
    assert len(frames) == TURN_FRAMES and frames[0].shape == (TURN_SIZE, TURN_SIZE, 3)
    for frame in frames[:: TURN_FRAMES // 4]:
        lit = frame.max(-1) > 30
        assert lit.any(1).sum() > 0.75 * TURN_SIZE and not lit[:20].any() and not lit[:150, :20].any() and not lit[:150, -20:].any()
    front, back = frames[0], frames[TURN_FRAMES // 2]
    assert front[..., 2].mean() > 1.1 * back[..., 2].mean()  # hair-coloured scalp behind, skin in front


def test_all_failed_frames_have_room_in_the_sheet_and_the_worst_come_first() -> None:
    error = np.full((100, 2), 1.0)
    error[40:90, 1] = 30.0 + np.arange(50)
    fits = judge(error, np.full(100, 50.0), list(range(100)))
    assert [fit.frame for fit in fits if fit.failed] == list(range(40, 90))
    shown = shown_frames(fits, 2)
    assert {0, 99, 89, 88} <= set(shown) and len(shown) <= 24


@pytest.mark.parametrize("write", [shaped.flame, shaped.bfm], ids=["flame", "bfm"])
def test_heads_without_a_scalp_eyes_or_units_of_the_jaw_are_drawn_too(
    write: Callable[[Path], LinearHead], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.setattr(user_files.open_head, "load", loaded_head)
    head = load_head_model(write.__name__, root=tmp_path)
    expression = torch.zeros(3, head.expression_size, dtype=torch.float64)
    expression[:, -1] = torch.tensor([0.0, 0.05, 0.1])
    parameters = replace(neutral_parameters(head, 3), expression=expression)
    plain, failed = parameter_plot(parameters, head, []), parameter_plot(parameters, head, [1])
    assert plain.shape == failed.shape and (plain != failed).any()
    vertices = head.vertices(parameters)[2].numpy()
    first = next(turntable(vertices, np.eye(3), head, 8, 96))
    assert (first.max(-1) > 30).any(1).sum() > 50
