"""The face-alignment adapter against a stand-in of the package's public interface, and the package itself where installed."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from headcast.errors import AssetMissing, BadFile
from headcast.imaging.landmarks import consensus
from headcast.networks import fan
from tests.fitting.ring import ring, seen

SIDE = 160


class FaceAlignment:
    """Says where the bright pixels of an image are: 68 points about each blob of the red channel."""

    made: list[dict[str, Any]] = []

    def __init__(self, landmarks_type: int, **options: Any) -> None:
        assert landmarks_type == 2
        self.made.append(options | {"hub": Path(torch.hub.get_dir())})

    def get_landmarks_from_image(self, image: np.ndarray, **asked: bool) -> tuple[Any, Any, Any]:
        assert asked == {"return_bboxes": True, "return_landmark_score": True}
        boxes, points = [], []
        for value in np.unique(image[..., 0])[1:]:
            rows, columns = np.nonzero(image[..., 0] == value)
            box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1, 0.9])
            boxes.append(box)
            points.append(np.linspace(box[:2], box[2:4], 68).astype(np.float32))
        if not boxes:
            return None, None, None
        return points, [np.linspace(0, 2.5, 68)] * len(points), boxes


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> type[FaceAlignment]:
    stand_in = ModuleType("face_alignment")
    stand_in.__version__ = "1.5.0"  # type: ignore[attr-defined]
    stand_in.FaceAlignment = FaceAlignment  # type: ignore[attr-defined]
    stand_in.LandmarksType = SimpleNamespace(TWO_HALF_D=2)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "face_alignment", stand_in)
    monkeypatch.setattr(FaceAlignment, "made", [])
    return FaceAlignment


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    folder = tmp_path / "face_alignment/checkpoints"
    folder.mkdir(parents=True)
    for name in ("network.pth.tar", "detector.pth"):
        torch.save({"conv.weight": torch.zeros(2)}, folder / name)
    return folder / "network.pth.tar", folder / "detector.pth"


def blobs(*boxes: tuple[int, int, int, int], side: int = SIDE) -> np.ndarray:
    """An image with one grey blob for each left, top, right, bottom."""
    image = np.zeros((side, side, 3), np.uint8)
    for value, (left, top, right, bottom) in enumerate(boxes, start=100):
        image[top:bottom, left:right] = value
    return image


def frames(*images: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    yield from images


def test_the_largest_face_is_taken_and_an_absent_one_is_nan(package: type[FaceAlignment], files: tuple[Path, Path]) -> None:
    small_and_large = blobs((5, 5, 15, 15), (40, 50, 100, 110))
    found = fan.detect_views(frames([small_and_large, blobs()]), ("a", "b"), 0.7, *files)
    assert found.points.shape == (1, 2, 68, 2) and found.dense.shape == (1, 2, 478, 2)
    np.testing.assert_allclose(found.points[0, 0, [0, 67]], [[40, 50], [100, 110]])
    assert np.isnan(found.points[0, 1]).all() and (found.confidence[0, 1] == 0).all()
    assert found.confidence[0, 0].min() == 0 and found.confidence[0, 0].max() == 1
    assert np.isnan(found.dense).all()


def test_the_package_is_told_where_the_files_are_and_to_compile_nothing(
    package: type[FaceAlignment], files: tuple[Path, Path]
) -> None:
    before = torch.hub.get_dir()
    fan.open_aligner(0.7, *files)
    (made,) = package.made
    assert made["hub"] == files[0].parent.parent
    assert made["face_detector"] == "sfd"
    assert made["face_detector_kwargs"] == {"path_to_detector": str(files[1]), "filter_threshold": 0.7}
    assert made["compile"] is False
    assert torch.hub.get_dir() == before


def test_large_images_are_reduced_and_their_points_are_not(package: type[FaceAlignment], files: tuple[Path, Path]) -> None:
    found = fan.open_aligner(0.5, *files).detect(blobs((400, 400, 1200, 1200), side=2048))[0]
    np.testing.assert_allclose(found[[0, 67]], [[400, 400], [1200, 1200]], atol=4)


@pytest.mark.parametrize("which", [0, 1])
def test_files_are_examined_before_the_package_opens_them(
    which: int, package: type[FaceAlignment], files: tuple[Path, Path]
) -> None:
    files[which].write_bytes(b"<html>sign in</html>")
    with pytest.raises(BadFile, match="is a web page"):
        fan.open_aligner(0.5, *files)
    files[which].unlink()
    with pytest.raises(AssetMissing):
        fan.open_aligner(0.5, *files)
    assert not package.made


def test_another_series_of_the_package_reads_other_files(
    package: type[FaceAlignment], files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["face_alignment"], "__version__", "1.4.1")
    with pytest.raises(AssetMissing, match=r"1\.4\.1.*face-alignment>=1\.5,<1\.6"):
        fan.open_aligner(0.5, *files)


def test_views_agree_where_there_are_no_dense_points() -> None:
    cameras = ring(np.zeros(3))
    points = np.random.default_rng(1).uniform([-0.06, -0.08, 0.0], [0.06, 0.08, 0.05], (2, 68, 3))
    points[:, [36, 45]] = [[-0.045, 0.03, 0.03], [0.045, 0.03, 0.03]]
    exact = seen(points, np.zeros((2, 478, 3)), cameras)
    dense = np.full(exact.dense.shape, np.nan)
    wrong = exact.points.copy()
    wrong[0, 0, 30] += 60
    agreed = consensus(type(exact)(exact.cameras, wrong, exact.confidence, dense), cameras)
    assert np.isnan(agreed.points[0, 0, 30]).all() and np.isnan(agreed.dense).all()
    kept = np.isfinite(agreed.points[..., 0])
    assert kept.mean() > 0.99
    np.testing.assert_allclose(agreed.points[kept], exact.points[kept], atol=0.5)


def only_large_faces(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """S3FD that sees one face, in every picture, at its coarsest scale."""
    for name, value in state.items():
        if "mbox_conf" in name:
            value.zero_()
            if name.endswith("bias"):
                value[-1] = 5.0 if "conv7_2" in name else -5.0
    return state


@pytest.mark.skipif(find_spec("face_alignment") is None, reason="face-alignment is the user's")
def test_the_real_package_takes_random_weights_from_these_files_and_downloads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models import FAN

    torch.manual_seed(0)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    network, detector = folder / "3DFAN4-7835d9f11d.pth.tar", folder / "s3fd-619a316812.pth"
    torch.save(FAN(4).state_dict(), network)
    torch.save(only_large_faces(s3fd().state_dict()), detector)
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("went to the network"))
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    aligner = fan.open_aligner(0.5, network, detector)
    points, confidence = aligner.detect(image)
    assert points.shape == (68, 2) and confidence.shape == (68,)
    assert np.isfinite(points).all() and (confidence >= 0).all() and (confidence <= 1).all()
    assert np.isnan(fan.open_aligner(1.0, network, detector).detect(image)[0]).all()
    torch.save(FAN(1).state_dict(), network)
    with pytest.raises(BadFile, match="another network"):
        fan.open_aligner(0.5, network, detector)
