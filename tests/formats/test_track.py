"""Landmarks and what was detected before the consensus, as files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headcast.errors import BadFile
from headcast.formats.manifest import write_product
from headcast.formats.track import read_detections, read_landmarks, write_landmarks
from headcast.imaging.landmarks import Landmarks

FRAMES, CAMERAS = 3, ("a", "b")


def landmarks(seed: int) -> Landmarks:
    rng = np.random.default_rng(seed)
    points, dense = (rng.uniform(0, 99, (FRAMES, len(CAMERAS), count, 2)) for count in (68, 478))
    points[1, 0] = np.nan
    return Landmarks(CAMERAS, points, rng.uniform(0, 1, points.shape[:3]), dense)


def test_agreed_and_detected_points_are_kept_apart(tmp_path: Path) -> None:
    path, agreed, detected = tmp_path / "landmarks/manifest.json", landmarks(0), landmarks(1)
    write_landmarks(path, agreed, {"frames": FRAMES}, detected)
    for written, read in ((agreed, read_landmarks(path)), (detected, read_detections(path))):
        assert read.cameras == CAMERAS
        for name in ("points", "confidence", "dense"):
            np.testing.assert_allclose(getattr(read, name), getattr(written, name), rtol=1e-6)


def test_detections_without_the_dense_points_are_named(tmp_path: Path) -> None:
    path, points = tmp_path / "landmarks/manifest.json", np.zeros((FRAMES, 2, 68, 2), np.float32)
    with write_product(path, "landmarks") as writer:
        writer.facts |= {"cameras": list(CAMERAS)}
        writer.add_arrays("detections.npz", points=points, confidence=points[..., 0])
    with pytest.raises(BadFile, match="detections.npz has no dense; run the landmarks stage again"):
        read_detections(path)


def test_shapes_that_contradict_the_cameras_are_refused(tmp_path: Path) -> None:
    path, agreed = tmp_path / "landmarks/manifest.json", landmarks(0)
    write_landmarks(path, replace(agreed, cameras=CAMERAS), {"cameras": ["a", "b", "c"]}, agreed)
    assert read_landmarks(path).cameras == CAMERAS  # the cameras written are those of the landmarks
    with write_product(path, "landmarks") as writer:
        writer.facts |= {"cameras": ["a", "b", "c"]}
        writer.add_arrays("landmarks.npz", points=agreed.points, confidence=agreed.confidence, dense=agreed.dense)
    with pytest.raises(BadFile, match=r"points has shape \(3, 2, 68, 2\), expected \(3, 3, 68, 2\)"):
        read_landmarks(path)
