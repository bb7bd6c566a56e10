"""The doctor: a healthy sequence passes, every check fails on the damage that it is for, and a failure stops training by name."""

from __future__ import annotations

import io
import json
import typing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from headcast.capture.camera import Camera
from headcast.config import Doctor, DoctorCheck
from headcast.doctor.checks import CHECKS, judge
from headcast.doctor.rig import OPENGL
from headcast.doctor.sheets import STAGES
from headcast.errors import BadFile, CaptureError
from headcast.formats.doctor_file import read_verdict, require_health
from headcast.formats.manifest import read_product
from headcast.stages.doctor import run

from .ball_capture import FRAMES, SIZE, BallCapture, healthy


def examine(capture: BallCapture, folder: Path, **settings: typing.Any) -> dict[str, dict[str, typing.Any]]:
    """The findings by check."""
    verdict = read_verdict(run(capture.write(folder), Doctor(**settings), lambda *_: None))
    return {finding["check"]: finding for finding in verdict["findings"]}


def every(capture: BallCapture, change: Callable[[Camera], np.ndarray]) -> None:
    """Store other matrices than the true ones."""
    capture.cameras = {s: replace(view, world_to_camera=change(view)) for s, view in capture.cameras.items()}


def scaled(view: Camera, factor: float) -> np.ndarray:
    matrix = view.world_to_camera.copy()
    matrix[:3, 3] *= factor
    return matrix


def damage_cameras(c: BallCapture) -> None:
    c.cameras["c2"] = replace(c.cameras["c2"], world_to_camera=scaled(c.cameras["c2"], 8.0))


def damage_spread(c: BallCapture) -> None:
    c.cameras = {s: replace(c.cameras["c2"], serial=s, world_to_camera=near(c.cameras["c2"], k)) for k, s in enumerate(c.cameras)}


def near(view: Camera, step: int) -> np.ndarray:
    matrix = view.world_to_camera.copy()
    matrix[0, 3] += 0.01 * step
    return matrix


def damage_convention(c: BallCapture) -> None:
    every(c, lambda view: OPENGL @ view.world_to_camera)


def damage_scale(c: BallCapture) -> None:
    every(c, lambda view: scaled(view, 2.0))


def damage_reprojection(c: BallCapture) -> None:
    c.detected[:, 1] += [8.0, -6.0]


def damage_synchronisation(c: BallCapture) -> None:
    c.detected[:-1, 3] = c.detected[1:, 3].copy()


def damage_faces(c: BallCapture) -> None:
    c.detected[2, :4] = np.nan


def damage_outliers(c: BallCapture) -> None:
    c.agreed[:, :2] = np.nan


def damage_motion(c: BallCapture) -> None:
    c.detected[3:] += [0.3 * SIZE, 0.0]


def damage_views(c: BallCapture) -> None:
    c.left_out.add(("images", 3, "c1"))


def damage_gaps(c: BallCapture) -> None:
    c.times[3:] = [time + 0.5 for time in c.times[3:]]


def damage_frozen(c: BallCapture) -> None:
    for frame in range(1, FRAMES):
        c.images[frame, "c1"] = c.images[0, "c1"]


def damage_matte_coverage(c: BallCapture) -> None:
    c.alpha[2, "c1"][:] = 255


def damage_matte_steadiness(c: BallCapture) -> None:
    c.alpha[2, "c1"][SIZE // 3 :] = 0


def damage_face_coverage(c: BallCapture) -> None:
    c.labels[2, "c1"][c.labels[2, "c1"] == 2] = 1


def damage_hair_coverage(c: BallCapture) -> None:
    for labels in c.labels.values():
        labels[labels == 3] = 2


def damage_label_steadiness(c: BallCapture) -> None:
    c.labels[2, "c1"][c.labels[2, "c1"] == 3] = 2


def damage_labels_in_matte(c: BallCapture) -> None:
    for labels in c.labels.values():
        labels[:, :30] = 1


def damage_orientation(c: BallCapture) -> None:
    for confidence in c.confidence.values():
        confidence[:] = 0


def damage_focus(c: BallCapture) -> None:
    for frame in range(FRAMES):
        c.images[frame, "c1"] = blurred(c.images[frame, "c1"])


def damage_blur(c: BallCapture) -> None:
    for serial in c.cameras:
        c.images[3, serial] = blurred(c.images[3, serial])


def blurred(image: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(image, (4, 4, 0))


def damage_clipping(c: BallCapture) -> None:
    for frame in range(FRAMES):
        c.images[frame, "c1"][c.alpha[frame, "c1"] > 0] = 255


def damage_darkness(c: BallCapture) -> None:
    for frame in range(FRAMES):
        c.images[frame, "c1"] //= 60


def damage_plate(c: BallCapture) -> None:
    c.plates["c1"] = c.plates["c1"] + np.uint8(40)


def damage_color(c: BallCapture) -> None:
    for frame in range(FRAMES):
        c.images[frame, "c1"][..., 0] = c.images[frame, "c1"][..., 0] // 2


DAMAGE = {name.removeprefix("damage_"): value for name, value in list(globals().items()) if name.startswith("damage_")}


@pytest.fixture(scope="module")
def healthy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("healthy")
    run(healthy().write(folder), Doctor(), lambda *_: None)
    return folder


def test_a_healthy_sequence_passes_every_check(healthy_folder: Path) -> None:
    verdict = read_verdict(healthy_folder / "doctor.json")
    assert {finding["check"]: finding["level"] for finding in verdict["findings"]} == dict.fromkeys(CHECKS, "pass")
    require_health([healthy_folder / "doctor.json"])


def test_every_check_has_a_damage_and_a_setting() -> None:
    assert set(DAMAGE) == set(CHECKS) == set(typing.get_args(DoctorCheck))


@pytest.mark.parametrize("check", CHECKS)
def test_each_check_fails_on_its_damage_and_is_excused_by_name(check: str, tmp_path: Path) -> None:
    capture = healthy()
    DAMAGE[check](capture)
    finding = examine(capture, tmp_path)[check]
    assert finding["level"] == "fail", finding
    assert finding["fix"] and finding["threshold"]
    with pytest.raises(CaptureError, match=r"doctor\.allow_failures"):
        require_health([tmp_path / "doctor.json"])
    failed = json.loads((tmp_path / "doctor.json").read_text())["stops_training"]
    examine(capture, tmp_path, allow_failures=failed)
    require_health([tmp_path / "doctor.json"])


@pytest.mark.parametrize(
    ("check", "who"), [("reprojection", "c1"), ("synchronisation", "c3"), ("color", "c1"), ("focus", "c1"), ("plate", "c1")]
)
def test_the_guilty_camera_is_named(check: str, who: str, tmp_path: Path) -> None:
    capture = healthy()
    DAMAGE[check](capture)
    assert examine(capture, tmp_path)[check]["where"] == f"camera {who}"


@pytest.mark.parametrize(
    ("change", "guess"),
    [
        (lambda view: OPENGL @ view.world_to_camera, "OpenGL axes"),
        (lambda view: view.camera_to_world, "camera-to-world"),
        (lambda view: view.camera_to_world @ OPENGL, "camera-to-world with OpenGL axes"),
    ],
)
def test_a_wrong_convention_is_guessed(change: Callable[[Camera], np.ndarray], guess: str, tmp_path: Path) -> None:
    capture = healthy()
    every(capture, change)
    finding = examine(capture, tmp_path)["convention"]
    assert finding["level"] == "fail" and finding["where"] == f"the best other convention is {guess}"


def test_colours_are_told_as_corrected_and_as_filmed(tmp_path: Path) -> None:
    capture = healthy()
    capture.corrections = {"c1": 1.25 * np.eye(3), "c2": np.eye(3, 4)}
    found = examine(capture, tmp_path)["color"]
    assert found["level"] == "pass" and found["figure"] < 5
    told, _, camera = found["where"].partition("as filmed ")[2].partition(" %, ")
    assert abs(float(told) - 25) < 5 and camera == "camera c1"


def test_a_wrong_unit_is_guessed(tmp_path: Path) -> None:
    capture = healthy()
    damage_scale(capture)
    assert "2 times as large" in examine(capture, tmp_path)["scale"]["where"]


def test_a_single_frame_has_no_motion_and_that_is_said(tmp_path: Path) -> None:
    assert judge("motion", float("nan")).level == "unmeasured"
    capture = healthy()
    still = capture.detected - capture.detected.mean((2, 3), keepdims=True) + capture.detected.mean((0, 2, 3), keepdims=True)
    capture.detected = np.repeat(still[:1], FRAMES, 0)
    finding = examine(capture, tmp_path)["synchronisation"]
    assert finding["level"] == "unmeasured" and finding["figure"] is None


def test_a_sequence_of_one_frame_is_examined(tmp_path: Path) -> None:
    capture = healthy()
    capture.times = capture.times[:1]
    for name in ("points", "detected", "agreed", "dense"):
        setattr(capture, name, getattr(capture, name)[:1])
    found = examine(capture, tmp_path)
    assert {found[check]["level"] for check in ("motion", "blur", "gaps")} == {"unmeasured"}
    assert found["reprojection"]["level"] == "pass"


def test_the_page_is_self_contained_and_names_every_finding(healthy_folder: Path) -> None:
    page = (healthy_folder / "doctor.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert all(f"<td>{check}</td>" in page for check in CHECKS)
    assert page.count("data:image/jpeg;base64,") == len(STAGES)
    assert page.count("<line ") >= 5 * 8
    assert json.loads(page.split('id="rig-data">')[1].split("</script>")[0])["segments"]


def test_every_stage_has_a_contact_sheet_that_shows_something(healthy_folder: Path) -> None:
    product = read_product(healthy_folder / "ball/TALK/contact_sheets/manifest.json", "contact_sheets")
    sheets = {Path(name).stem: np.asarray(Image.open(io.BytesIO(product.bytes(name)))) for name in product.members}
    assert set(sheets) == set(STAGES)
    assert all(picture.shape[0] > 300 and picture.shape[1] > 600 and picture.std() > 10 for picture in sheets.values())


def test_what_is_no_verdict_is_refused(tmp_path: Path) -> None:
    (tmp_path / "doctor.json").write_text("{}")
    with pytest.raises(BadFile, match="run the doctor stage again"):
        require_health([tmp_path / "doctor.json"])
