"""The raw NeRSemble layout: what is read of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from headcast.capture.capture import open_capture
from headcast.capture.film import VideoFilm
from headcast.capture.raw import raw_files
from headcast.capture.video import read_video_frames
from headcast.errors import BadFile

SERIALS = ["222200036", "222200037", "222200039", "222200046"]


@pytest.fixture(scope="session")
def capture_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small capture of four cameras in NeRSemble's layout."""
    root = tmp_path_factory.mktemp("raw")
    folder = root / "001"
    extrinsics = {}
    for number, serial in enumerate(SERIALS):
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_euler("yx", [20 * number - 30, 180], degrees=True).as_matrix()
        matrix[2, 3] = 1.0
        extrinsics[serial] = matrix.tolist()
    write(
        folder / "calibration/camera_params.json",
        {"world_2_cam": extrinsics, "intrinsics": [[150.0, 0, 22], [0, 150, 32], [0, 0, 1]]},
    )
    write(folder / "calibration/color_calibration.json", {serial: np.eye(3).tolist() for serial in SERIALS})
    rng = np.random.default_rng(0)
    for serial in SERIALS:
        plate = folder / f"sequences/BACKGROUND/image_{serial}.jpg"
        plate.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (64, 44, 3), dtype=np.uint8)).save(plate)
        video(folder / f"sequences/HAIR/images/cam_{serial}.mp4", rng.integers(0, 255, (5, 64, 44, 3), dtype=np.uint8))
    return root


@pytest.fixture
def root(capture_template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(capture_template, tmp_path / "raw"))


def copied_subject(template: Path, root: Path, subject: str) -> Path:
    """The template's participant under another number."""
    return Path(shutil.copytree(template / "001", root / subject))


def copied_sequence(folder: Path, sequence: str, name: str) -> Path:
    """A sequence of a participant under another name."""
    return Path(shutil.copytree(folder / "sequences" / sequence, folder / "sequences" / name))


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def video(path: Path, frames: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv444p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def opened(root: Path):  # type: ignore[no-untyped-def]
    return open_capture("nersemble", root, "001", "HAIR", None, 4)


def test_a_capture_is_read_sorted_and_whole(root: Path) -> None:
    capture = opened(root)
    assert list(capture.cameras) == sorted(SERIALS)
    assert {(c.width, c.height) for c in capture.cameras.values()} == {(44, 64)}
    assert sorted(raw_files("nersemble", root, "001", "HAIR")) == capture.files


def test_of_some_cameras_only_theirs_are_watched(root: Path) -> None:
    few = open_capture("nersemble", root, "001", "HAIR", list(SERIALS[:4]), 4)
    assert raw_files("nersemble", root, "001", "HAIR", list(SERIALS[:4])) == few.files


def test_per_serial_intrinsics_of_the_benchmark_sets_are_read(root: Path) -> None:
    path = root / "001/calibration/camera_params.json"
    params = json.loads(path.read_text())
    params["intrinsics"] = {serial: [[150.0 + k, 0, 22], [0, 150, 32], [0, 0, 1]] for k, serial in enumerate(SERIALS)}
    write(path, params)
    assert [c.K[0, 0] for c in opened(root).cameras.values()] == [150, 151, 152, 153]


def test_a_subject_with_a_name_of_its_own_may_lie_beside_the_participants(root: Path) -> None:
    (root / "001").rename(root / "anna")
    (root / "metadata_sequences.csv").write_text("ID,BACKGROUND,HAIR\n1,x,x\n")
    assert list(open_capture("nersemble", root, "anna", "HAIR", None, 4).cameras) == sorted(SERIALS)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
def test_a_truncated_video_is_found_without_decoding(share: float, root: Path) -> None:
    path = root / "001/sequences/HAIR/images/cam_222200037.mp4"
    VideoFilm(path).check()
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BadFile, match=r"cam_222200037\.mp4"):
        VideoFilm(path).check()


def test_the_video_is_decoded_in_order_with_times(root: Path) -> None:
    frames = list(read_video_frames(root / "001/sequences/HAIR/images/cam_222200037.mp4"))
    assert [index for index, _, _ in frames] == list(range(5))
    np.testing.assert_allclose([time for _, time, _ in frames], np.arange(5) / 24, atol=1e-6)
