"""How many frames without a face the fit bears, and what it says of more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headcast.config import Fitting
from headcast.errors import CaptureError
from headcast.formats.frames import member_name, write_cameras
from headcast.formats.manifest import png, write_product
from headcast.formats.track import read_head_params, write_landmarks
from headcast.imaging.landmarks import Landmarks, consensus
from headcast.stages.fit_head import Inputs, require_faces, run
from tests.fitting.test_cameras import filmed, turned
from tests.heads.loaded import cache_path

PATH = Path("results/demo/HAIR/landmarks/manifest.json")


def landmarks(missing: list[int]) -> Landmarks:
    points, dense = np.ones((10, 2, 68, 2)), np.ones((10, 2, 478, 2))
    points[missing] = np.nan
    points[:, 1] = np.nan  # the second camera never sees a face
    return Landmarks(("c0", "c1"), points, np.isfinite(points[..., 0]).astype(float), dense)


def test_a_few_frames_without_a_face_lie_between_the_others() -> None:
    require_faces(landmarks([]), 0.0, PATH)
    require_faces(landmarks([3, 7]), 0.2, PATH)


def test_more_are_an_error_that_names_the_first_and_the_setting() -> None:
    with pytest.raises(CaptureError, match=r"frame 3 \(3 of 10 frames\).*max_missing_frames") as caught:
        require_faces(landmarks([3, 7, 8]), 0.2, PATH)
    assert str(PATH) in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def off(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """A head before six cameras, one of which is calibrated half a degree wrong."""
    folder = tmp_path_factory.mktemp("off")
    at = {name: folder / name / "manifest.json" for name in ("images", "cameras", "landmarks", "params", "surface")}
    detected, true = filmed()
    calibrated = true | {"c2": turned(true["c2"], 0.5)}
    times = [frame / 25 for frame in range(len(detected.points))]
    write_cameras(at["cameras"], calibrated, calibrated, times)
    with write_product(at["images"], "images") as writer:
        writer.facts |= {"frames": len(times), "cameras": list(true), "size": 512, "times_s": times}
        for frame in range(len(times)):
            for serial in true:
                writer.add_bytes(member_name("image", frame, serial), png(np.full((512, 512, 3), 90, np.uint8)))
    write_landmarks(at["landmarks"], consensus(detected, calibrated), {"frames": len(times), "size": 512}, detected)
    return Inputs(**at, model=cache_path())


def test_refined_cameras_are_reported_and_make_the_fit_better(off: Inputs) -> None:
    run(off, Fitting(max_iterations=8), lambda *_: None)
    _, plain = read_head_params(off.params)
    assert plain["cameras"] == {}
    run(off, Fitting(max_iterations=8, refine_cameras=True), lambda *_: None)
    _, facts = read_head_params(off.params)
    moved = facts["cameras"]["c2"]
    assert moved["rotation_deg"] == pytest.approx(0.5, abs=0.1) and moved["after_px"] < 0.3 * moved["before_px"]
    assert np.array(moved["world_to_camera"]).shape == (4, 4)
    assert max(camera["rotation_deg"] for serial, camera in facts["cameras"].items() if serial != "c2") < 0.1
    assert facts["reprojection_percent"] < plain["reprojection_percent"]
