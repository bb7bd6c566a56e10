"""A toy capture, assembled, is what the pipeline's own readers read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headcast.capture.capture import open_capture
from headcast.capture.video import read_video_frames
from headcast.demo import develop, truth, truth_cache
from headcast.demo.assemble import Sources, assemble
from headcast.errors import BadFile
from headcast.formats.ground_truth import open_ground_truth
from tests.demo.conftest import FRAMES, HEIGHT, SERIALS, WIDTH


def silent(done: int, total: int) -> None:
    assert done <= total


@pytest.fixture(scope="module")
def capture(toy: Sources) -> Path:
    truth_cache.fill(toy.bundle, toy.cache, 1, silent)
    assemble(toy, toy.bundle.parent / "capture", silent)
    return toy.bundle.parent / "capture"


def test_the_capture_and_its_ground_truth_are_read_back(toy: Sources, capture: Path) -> None:
    opened = open_capture("nersemble", capture, "demo", "HAIR", None, 4)
    known = open_ground_truth(capture / "ground_truth")
    assert known is not None
    assert tuple(opened.cameras) == SERIALS
    for serial in SERIALS:
        np.testing.assert_allclose(opened.cameras[serial].world_to_camera, toy.cameras[serial].world_to_camera, atol=1e-12)
        frames = [frame.rgb for frame in read_video_frames(opened.films[serial].path)]
        assert [frame.shape for frame in frames] == [(HEIGHT, WIDTH, 3)] * FRAMES
        with Image.open(opened.plates[serial]) as image:
            plate = np.array(image).astype(float)
        for number, frame in enumerate(frames):
            check_view(toy, known.alpha("HAIR", serial, number), frame.astype(float), plate, serial)


def check_view(toy: Sources, alpha: np.ndarray | None, frame: np.ndarray, plate: np.ndarray, serial: str) -> None:
    """Plate where nothing is, the subject's colour after the cast is undone where it is opaque."""
    assert alpha is not None
    assert 0.1 < alpha.mean() < 0.9
    assert np.abs(frame - plate)[alpha == 0].mean() < 4
    linear = develop.decode_srgb(frame[alpha == 1] / 255) @ toy.matrices[serial].T
    expected = develop.decode_srgb(np.array([140, 110, 90]) / 255)
    np.testing.assert_allclose(linear.mean(axis=0), expected, rtol=0.05)


def test_ground_truth_files_hold_what_the_rasterizer_says(toy: Sources, capture: Path) -> None:
    known, serial = open_ground_truth(capture / "ground_truth"), SERIALS[1]
    assert known is not None
    expected = truth.views(toy.geometry, "HAIR", 0)[serial]
    where = "HAIR", serial, 0
    np.testing.assert_allclose(known.alpha(*where), expected.alpha, atol=0.5 / 32 + 1e-6)
    np.testing.assert_allclose(known.hair(*where), expected.hair, atol=0.5 / 8 + 1e-6)
    np.testing.assert_allclose(known.face(*where), expected.face, atol=0.5 / 8 + 1e-6)
    np.testing.assert_allclose(known.depth(*where), expected.depth, atol=4.1e-3)
    hair, angle = expected.hair >= 0.5, known.orientation(*where)
    assert angle is not None
    assert hair.any()
    assert np.array_equal(np.isfinite(angle), hair)
    assert np.rad2deg(np.abs(np.angle(np.exp(2j * (angle - expected.angle)[hair])) / 2)).max() < 2.01
    assert known.orientation("HAIR", serial, 1) is None


def test_geometry_and_strands_are_those_of_the_bundle(toy: Sources, capture: Path) -> None:
    known = open_ground_truth(capture / "ground_truth")
    assert known is not None
    strands, geometry = known.strands("HAIR"), known.geometry("HAIR")
    assert strands is not None
    assert geometry is not None
    for number in range(FRAMES):
        arrays = toy.geometry.frame("HAIR", number)
        np.testing.assert_allclose(strands[number], toy.geometry.strands(arrays), atol=2.6e-4)
        np.testing.assert_allclose(geometry["vertices"][number], arrays["skin"][:8], atol=1e-5)
        np.testing.assert_allclose(geometry["landmarks_3d"][number], arrays["landmarks"], atol=1e-6)
    with np.load(capture / "ground_truth/head.npz") as head:
        assert head["faces"].shape == (6, 4)
        assert sorted(np.unique(head["faces"])) == list(range(8))


def test_an_interrupted_run_goes_on_and_gives_the_same(toy: Sources, capture: Path) -> None:
    before = {path: path.read_bytes() for path in capture.rglob("*") if path.is_file()}
    for path in list(before)[::3]:
        path.unlink()
    next(toy.cache.root.glob("*.npz")).unlink()
    truth_cache.fill(toy.bundle, toy.cache, 1, silent)
    assemble(toy, capture, silent)
    after = {path: path.read_bytes() for path in capture.rglob("*") if path.is_file()}
    assert after.keys() == before.keys()
    assert [path for path in before if path.suffix != ".mp4" and after[path] != before[path]] == []
    videos = [path for path in before if path.suffix == ".mp4"]
    assert [len(list(read_video_frames(path))) for path in videos] == [FRAMES] * len(videos)


def test_a_damaged_picture_is_named(toy: Sources) -> None:
    path = toy.pictures / f"HAIR_0007_{SERIALS[0]}.webp"
    path.write_bytes((toy.pictures / f"HAIR_0001_{SERIALS[0]}.webp").read_bytes()[:30])
    with pytest.raises(BadFile, match=path.name):
        toy.picture("HAIR", 7, SERIALS[0])
