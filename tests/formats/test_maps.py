"""Per-pixel products and cameras survive the round trip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headcast.capture.camera import Camera
from headcast.errors import BadFile
from headcast.formats.frames import member_name, read_background, read_cameras, read_times, write_background, write_cameras
from headcast.formats.manifest import write_product
from headcast.formats.maps import Orientations, matte_bytes, orientation_bytes, read_mattes, read_orientations
from headcast.imaging.crop import head_crop

RNG = np.random.default_rng(0)


def orientations(path: Path, data: bytes) -> Orientations:
    with write_product(path, "orientation_maps") as writer:
        writer.add_bytes(member_name("orientation", 0, "1", "npz"), data)
    return read_orientations(path)


def test_orientation_keeps_angles_and_absence(tmp_path: Path) -> None:
    angle, confidence = RNG.uniform(0, np.pi, (20, 30)), RNG.uniform(0.1, 1, (20, 30))
    angle[:5], confidence[:, :7], angle[10, 10] = np.nan, 0, np.nan
    got_angle, got_confidence = orientations(tmp_path / "m.json", orientation_bytes(angle, confidence)).maps(0, "1")
    known = np.isfinite(angle) & (confidence > 0)
    np.testing.assert_array_equal(np.isfinite(got_angle), known)
    np.testing.assert_allclose(got_angle[known], angle[known], atol=2e-3)
    np.testing.assert_allclose(got_confidence, np.where(known, confidence, 0), atol=1e-3)


def test_an_image_without_hair_has_no_orientation(tmp_path: Path) -> None:
    angle, confidence = orientations(tmp_path / "m.json", orientation_bytes(np.full((8, 8), np.nan), np.zeros((8, 8)))).maps(0, "1")
    assert np.isnan(angle).all()
    assert not confidence.any()


def test_a_foreign_orientation_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile):
        orientations(tmp_path / "m.json", b"PK nonsense").maps(0, "1")


def test_a_matte_is_rounded_to_eight_bits(tmp_path: Path) -> None:
    alpha = RNG.uniform(-0.1, 1.1, (9, 9))
    with write_product(tmp_path / "m.json", "mattes") as writer:
        writer.add_bytes(member_name("matte", 2, "1"), matte_bytes(alpha))
    got = read_mattes(tmp_path / "m.json").alpha(2, "1") / 255
    np.testing.assert_allclose(got, np.clip(alpha, 0, 1), atol=0.5 / 255 + 1e-9)


def test_cameras_survive_to_the_last_bit(tmp_path: Path) -> None:
    extrinsics = np.eye(4)
    extrinsics[:3, 3] = RNG.normal(size=3)
    raw = {"b": Camera("b", np.array([[1225.1, 0, 178.6], [0, 1225.3, 252.2], [0, 0, 1]]), extrinsics, 352, 512)}
    working = {"b": head_crop(raw["b"], 256).camera(raw["b"])}
    write_cameras(tmp_path / "cameras/manifest.json", working, raw, [0.0, 0.04])
    assert read_times(tmp_path / "cameras/manifest.json") == [0.0, 0.04]
    for which, expected in (("working", working), ("raw", raw)):
        got = read_cameras(tmp_path / "cameras/manifest.json", which)["b"]
        np.testing.assert_array_equal(got.K, expected["b"].K)
        np.testing.assert_array_equal(got.world_to_camera, expected["b"].world_to_camera)
        assert (got.width, got.height) == (expected["b"].width, expected["b"].height)


def test_plates_come_with_what_is_visible(tmp_path: Path) -> None:
    plate, visible = RNG.integers(0, 255, (8, 8, 3), dtype=np.uint8), RNG.random((8, 8)) > 0.5
    write_background(tmp_path / "background/manifest.json", {"1": plate}, {"1": visible})
    background = read_background(tmp_path / "background/manifest.json")
    np.testing.assert_array_equal(background.plate("1"), plate)
    np.testing.assert_array_equal(background.visible("1"), visible)
