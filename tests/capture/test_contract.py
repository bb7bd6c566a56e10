"""Every reader, one contract: the same spot in space ends in the same cameras and under the same pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from headcast.capture.capture import PREPROCESSED, READERS, UNCALIBRATED, open_capture
from headcast.capture.film import FolderFilm
from headcast.capture.raw import LAYOUTS as RAW
from headcast.capture.raw import raw_files, recorded
from headcast.config import Extraction, Matting
from headcast.errors import AssetMissing, CaptureError
from headcast.formats.frames import read_background, read_cameras, read_images
from headcast.formats.maps import read_mattes
from headcast.stages import download, extract_frames, matting

from . import spot_rig as rig
from .spot_rig import SEQUENCE, SERIALS, SPOTS, SUBJECT

SIZE = 144


@dataclass(frozen=True)
class Layout:
    """A reader and how its fixture is written."""

    reader: str
    write: Callable[[Path], None]
    tolerance_px: float = 0.2


LAYOUTS = {
    "nersemble": Layout("nersemble", rig.write_nersemble),
    "custom json": Layout("custom", lambda root: rig.write_custom(root, rig.as_json)),
    "custom lens": Layout("custom", lambda root: rig.write_custom(root, rig.as_bent_json, rig.BENT)),
    "custom OpenGL mm": Layout("custom", lambda root: rig.write_custom(root, rig.as_opengl_millimetres)),
    "custom npz": Layout("custom", lambda root: rig.write_custom(root, rig.as_npz)),
    "custom COLMAP": Layout("custom", lambda root: rig.write_custom(root, rig.as_colmap)),
    "custom Metashape": Layout("custom", lambda root: rig.write_custom(root, rig.as_metashape)),
    "renderme": Layout("renderme", rig.write_renderme),
}


@pytest.fixture(params=list(LAYOUTS))
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> Layout:
    chosen = LAYOUTS[request.param]
    if chosen.reader == "renderme":
        pytest.importorskip("h5py", reason="reads .smc files: pip install 'headcast[renderme]'")
    chosen.write(tmp_path / "raw")
    return chosen


def extracted(layout: Layout, tmp_path: Path) -> extract_frames.Inputs:
    """Run download and extraction on a layout."""
    out = tmp_path / "out"
    at = {name: out / name / "manifest.json" for name in ("images", "cameras", "background")}
    source = (SUBJECT, SEQUENCE, tmp_path / "raw", layout.reader)
    listed = download.run(download.Inputs(*source, out / "download.json"), Extraction(size=SIZE), lambda *_: None)
    inputs = extract_frames.Inputs(listed, *source, at["images"], at["cameras"], at["background"])
    extract_frames.run(inputs, Extraction(size=SIZE), lambda *_: None)
    return inputs


def test_every_reader_is_under_contract() -> None:
    assert {layout.reader for layout in LAYOUTS.values()} == set(READERS)
    assert set(RAW) == {*READERS, *UNCALIBRATED, *PREPROCESSED}
    assert {name for name, where in RAW.items() if not where.calibrated} == set(UNCALIBRATED)


def test_cameras_are_the_true_ones_and_films_are_whole(layout: Layout, tmp_path: Path) -> None:
    capture = open_capture(layout.reader, tmp_path / "raw", SUBJECT, SEQUENCE, None, 4)
    assert list(capture.cameras) == sorted(SERIALS) == list(capture.films)
    for serial, true in rig.true_cameras().items():
        np.testing.assert_allclose(capture.cameras[serial].K, true.K, atol=1e-6)
        np.testing.assert_allclose(capture.cameras[serial].world_to_camera, true.world_to_camera, atol=1e-6)
        frames = list(capture.films[serial].frames())
        assert [frame.number for frame in frames] == list(range(rig.FRAMES))
        assert np.all(np.diff([frame.time_s for frame in frames]) > 0)
        assert capture.films[serial].size() == (rig.WIDTH, rig.HEIGHT) == frames[0].rgb.shape[1::-1]
    assert set(capture.files) <= set(raw_files(layout.reader, tmp_path / "raw", SUBJECT, SEQUENCE))
    assert recorded(layout.reader, tmp_path / "raw", SUBJECT) == {SEQUENCE}
    two = set(raw_files(layout.reader, tmp_path / "raw", SUBJECT, SEQUENCE, SERIALS[:2]))
    assert {path for serial in SERIALS[:2] for path in capture.films[serial].files} <= two


def test_the_spot_lies_where_the_working_cameras_say(layout: Layout, tmp_path: Path) -> None:
    inputs = extracted(layout, tmp_path)
    images, cameras = read_images(inputs.images), read_cameras(inputs.cameras)
    background = read_background(inputs.background)
    assert images.frames == rig.FRAMES and images.size == SIZE
    for frame, serial in images.views():
        bright = np.where(background.visible(serial), images.image(frame, serial).astype(float).mean(-1) - 75, 0).clip(0)
        row, column = ndimage.center_of_mass(bright)
        expected = cameras[serial].project(SPOTS[frame])
        np.testing.assert_allclose([column + 0.5, row + 0.5], expected, atol=layout.tolerance_px)


def test_plates_or_masks_make_mattes(layout: Layout, tmp_path: Path) -> None:
    inputs = extracted(layout, tmp_path)
    background = read_background(inputs.background)
    if background.has_plates:
        assert abs(float(background.plate(SERIALS[0])[background.visible(SERIALS[0])].mean()) - 60) < 2
        return
    out = tmp_path / "mattes/manifest.json"
    with pytest.raises(CaptureError, match="matting.backend: capture"):
        matting.run(matting.Inputs(inputs.images, inputs.background, out), Matting(), lambda *_: None)
    matting.run(matting.Inputs(inputs.images, inputs.background, out), Matting(backend="capture"), lambda *_: None)
    alpha = read_mattes(out).alpha(0, SERIALS[0])
    row, column = ndimage.center_of_mass(alpha)
    expected = read_cameras(inputs.cameras)[SERIALS[0]].project(SPOTS[0])
    np.testing.assert_allclose([column + 0.5, row + 0.5], expected, atol=0.5)


def test_an_absent_sequence_is_named(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(AssetMissing, match="EMO-1"):
        open_capture(layout.reader, tmp_path / "raw", SUBJECT, "EMO-1", None, 4)


def test_an_uncalibrated_camera_is_named(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="camera cam7 is not calibrated"):
        open_capture(layout.reader, tmp_path / "raw", SUBJECT, SEQUENCE, [*SERIALS[:3], "cam7"], 4)


def test_pictures_follow_each_other_by_number(tmp_path: Path) -> None:
    for number in (8, 9, 10, 11):
        rig.save_picture(tmp_path / f"frame{number}.png", np.full((4, 4, 3), number, np.uint8))
    film = FolderFilm(tmp_path, 10.0)
    film.check()
    assert [int(frame.rgb[0, 0, 0]) for frame in film.frames()] == [8, 9, 10, 11]
