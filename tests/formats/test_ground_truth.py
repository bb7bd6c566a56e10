"""Ground truth read back from both layouts as it was written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headcast.demo.truth_files import STRAND_STEP_M, strand_codes, write_archive
from headcast.errors import BadFile
from headcast.formats.ground_truth import GroundTruth, open_ground_truth

SERIAL, FRAME = "222200037", 4
ENCODING = {"share_levels": 64, "orientation_step_deg": 2, "confidence_levels": 31, "depth_step_m": 0.0005}
SHARES = {
    "alpha": np.array([[0, 1.0], [0.5, 0.25]]),
    "hair": np.array([[0, 1.0], [0.25, 0]]),
    "face": np.array([[0, 0], [0.25, 0.25]]),
}
DEGREES = np.array([[0, 178.0], [46, 0]])
CONFIDENCE = np.array([[0, 1.0], [0.5, 0]])
DEPTH = np.array([[0, 1.0], [0.95, 1.022]])


def save(root: Path, kind: str, suffix: str, pixels: np.ndarray) -> Path:
    path = root / "HAIR" / kind / f"cam_{SERIAL}" / f"frame_{FRAME:05d}{suffix}"
    path.parent.mkdir(parents=True)
    Image.fromarray(pixels).save(path, **({"lossless": True, "exact": True} if suffix == ".webp" else {}))
    return path


def single_planes(root: Path) -> GroundTruth:
    for kind, share in SHARES.items():
        save(root, kind, ".png", np.rint(share * 255).astype(np.uint8))
    save(root, "orientation", ".png", DEGREES.astype(np.uint8))
    save(root, "confidence", ".png", np.rint(CONFIDENCE * 255).astype(np.uint8))
    save(root, "depth", ".png", np.rint(DEPTH * 1e4).astype(np.uint16))
    return open_ground_truth(root) or pytest.fail("not opened")


def packed(root: Path) -> GroundTruth:
    save(root, "masks", ".webp", np.stack([np.rint(share * 64) for share in SHARES.values()], axis=-1).astype(np.uint8))
    none = np.zeros_like(DEGREES)
    save(root, "hair_maps", ".webp", np.stack([DEGREES / 2, np.rint(CONFIDENCE * 31), none], axis=-1).astype(np.uint8))
    depth = np.rint(DEPTH / 0.0005).astype(int)
    save(root, "depth", ".webp", np.stack([depth >> 8, depth & 255, none], axis=-1).astype(np.uint8))
    (root / "encoding.json").write_text(json.dumps(ENCODING))
    return open_ground_truth(root) or pytest.fail("not opened")


@pytest.mark.parametrize(("layout", "tolerance"), [(single_planes, 0.5 / 255), (packed, 0.5 / 31)])
def test_every_plane_comes_back_in_its_unit(tmp_path: Path, layout, tolerance: float) -> None:
    truth = layout(tmp_path)
    where = "HAIR", SERIAL, FRAME
    for kind, share in SHARES.items():
        plane = getattr(truth, kind)(*where)
        assert plane.dtype == np.float32
        np.testing.assert_allclose(plane, share, atol=0.5 / 255)
    confidence, angle = truth.confidence(*where), truth.orientation(*where)
    np.testing.assert_allclose(confidence, CONFIDENCE, atol=tolerance)
    assert np.array_equal(np.isnan(angle), CONFIDENCE == 0)
    np.testing.assert_allclose(np.rad2deg(angle[CONFIDENCE > 0]), DEGREES[CONFIDENCE > 0], atol=1e-4)
    np.testing.assert_allclose(truth.depth(*where), DEPTH, atol=1e-6)


@pytest.mark.parametrize("layout", [single_planes, packed])
def test_what_is_not_there_is_none(tmp_path: Path, layout) -> None:
    truth = layout(tmp_path)
    for kind in ("alpha", "hair", "face", "orientation", "confidence", "depth"):
        for where in (("HAIR", SERIAL, 5), ("HAIR", "1", FRAME), ("FREE", SERIAL, FRAME)):
            assert getattr(truth, kind)(*where) is None
    assert truth.strands("HAIR") is None
    assert truth.geometry("HAIR") is None


def test_no_folder_is_no_ground_truth(tmp_path: Path) -> None:
    assert open_ground_truth(tmp_path / "ground_truth") is None


def test_strands_and_geometry_come_back(tmp_path: Path) -> None:
    strands, landmarks = np.random.default_rng(0).normal(size=(2, 3, 4, 3)), np.zeros((2, 68, 3), np.float32)
    (tmp_path / "HAIR").mkdir()
    np.savez_compressed(tmp_path / "HAIR/strands.npz", strands=strands.astype(np.float16))
    np.savez_compressed(tmp_path / "HAIR/geometry.npz", landmarks_3d=landmarks)
    truth = open_ground_truth(tmp_path)
    assert truth is not None
    read, geometry = truth.strands("HAIR"), truth.geometry("HAIR")
    assert read is not None
    assert geometry is not None
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, strands, atol=2e-3)
    assert geometry["landmarks_3d"].shape == (2, 68, 3)


def test_coded_strands_come_back_to_half_a_step(tmp_path: Path) -> None:
    strands = np.random.default_rng(0).normal(scale=0.1, size=(3, 5, 8, 3))
    write_archive(tmp_path / "HAIR/strands.npz", strand_codes(strands))
    truth = open_ground_truth(tmp_path)
    assert truth is not None
    np.testing.assert_allclose(truth.strands("HAIR"), strands, atol=STRAND_STEP_M / 2 + 1e-7)


@pytest.mark.parametrize(("layout", "name"), [(single_planes, "alpha"), (packed, "masks")])
def test_a_damaged_picture_is_named(tmp_path: Path, layout, name: str) -> None:
    truth = layout(tmp_path)
    path = next((tmp_path / "HAIR" / name).rglob("frame_*"))
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(BadFile, match=path.name):
        truth.alpha("HAIR", SERIAL, FRAME)


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", json.dumps(ENCODING | {"share_levels": 0}), json.dumps(ENCODING | {"depth_step_m": "x"})]
)
def test_a_damaged_encoding_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "encoding.json").write_text(content)
    with pytest.raises(BadFile, match="encoding.json"):
        open_ground_truth(tmp_path)


def test_packed_pictures_without_units_are_refused(tmp_path: Path) -> None:
    packed(tmp_path)
    (tmp_path / "encoding.json").unlink()
    truth = open_ground_truth(tmp_path)
    assert truth is not None
    with pytest.raises(BadFile, match="encoding.json"):
        truth.alpha("HAIR", SERIAL, FRAME)


@pytest.mark.parametrize("name", ["strands", "geometry"])
def test_a_damaged_archive_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "HAIR").mkdir()
    (tmp_path / f"HAIR/{name}.npz").write_bytes(b"PK\x03\x04 no archive")
    truth = open_ground_truth(tmp_path)
    with pytest.raises(BadFile, match=f"{name}.npz"):
        getattr(truth, name)("HAIR")


def test_a_picture_written_anew_is_read_anew(tmp_path: Path) -> None:
    truth = packed(tmp_path)
    before = truth.alpha("HAIR", SERIAL, FRAME)
    path = next((tmp_path / "HAIR/masks").rglob("*.webp"))
    Image.fromarray(np.full((2, 2, 3), 64, np.uint8)).save(path, lossless=True)
    after = truth.alpha("HAIR", SERIAL, FRAME)
    assert before is not None
    assert after is not None
    assert before.min() == 0
    assert after.min() == 1
