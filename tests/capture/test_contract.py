"""Every reader, one contract: the same spot in space ends in the same cameras and under the same pixels, and damage is one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from headcast.capture.capture import PREPROCESSED, READERS, UNCALIBRATED, open_capture
from headcast.capture.raw import LAYOUTS as RAW
from headcast.capture.raw import raw_files, recorded
from headcast.config import Extraction, Matting
from headcast.errors import AssetMissing, BadFile, CaptureError, HeadcastError
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


def edit(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def millimetres(folder: Path) -> None:
    def change(content: dict) -> None:
        for camera in content["cameras"].values():
            camera["matrix"] = [[*row[:3], row[3] * (1000 if k < 3 else 1)] for k, row in enumerate(camera["matrix"])]

    edit(folder / "cameras.json", change)


def swapped(folder: Path) -> None:
    def change(content: dict) -> None:
        for camera in content["cameras"].values():
            camera["matrix"] = np.linalg.inv(camera["matrix"]).tolist()

    edit(folder / "cameras.json", change)


def no_rate(folder: Path) -> None:
    edit(folder / "cameras.json", lambda content: content.pop("fps"))


def unknown_key(folder: Path) -> None:
    edit(folder / "cameras.json", lambda content: content.update(units="mm"))


def unknown_unit(folder: Path) -> None:
    edit(folder / "cameras.json", lambda content: content.update(unit="inch"))


def outside(folder: Path) -> None:
    edit(folder / "cameras.json", lambda content: (content.pop("cameras"), content.update({"from": "../../rig.npz"})))


def no_matrix(folder: Path) -> None:
    edit(folder / "cameras.json", lambda content: content["cameras"][SERIALS[0]].pop("matrix"))


def html(folder: Path) -> None:
    (folder / "cameras.json").write_text("<html>log in</html>")


def no_film(folder: Path) -> None:
    (folder / f"sequences/{SEQUENCE}/{SERIALS[1]}.mp4").unlink()


def two_films(folder: Path) -> None:
    film = folder / f"sequences/{SEQUENCE}/{SERIALS[1]}.mp4"
    shutil.copy(film, film.with_suffix(".mkv"))


def no_plate(folder: Path) -> None:
    (folder / f"background/{SERIALS[1]}.png").unlink()


def other_size(folder: Path) -> None:
    edit(folder / "cameras.json", lambda content: content["cameras"][SERIALS[1]].update(width=256))


def cut_film(folder: Path) -> None:
    film = folder / f"sequences/{SEQUENCE}/{SERIALS[1]}.mp4"
    film.write_bytes(film.read_bytes()[:-400])


def odd_picture(folder: Path) -> None:
    Image.new("RGB", (20, 20)).save(folder / f"sequences/{SEQUENCE}/{SERIALS[0]}/001.png")


def broken_picture(folder: Path) -> None:
    (folder / f"sequences/{SEQUENCE}/{SERIALS[0]}/001.png").write_bytes(b"no picture")


@pytest.mark.parametrize(
    ("damage", "kind", "says"),
    [
        (millimetres, CaptureError, "look like millimetres"),
        (swapped, CaptureError, "camera-to-world"),
        (no_rate, CaptureError, "fps"),
        (unknown_key, BadFile, "units is not known"),
        (unknown_unit, BadFile, "'inch'.*m, cm, mm"),
        (outside, BadFile, "leaves the capture's folder"),
        (no_matrix, BadFile, "222200036 has no matrix"),
        (html, BadFile, "not JSON"),
        (no_film, CaptureError, "222200037 has no film"),
        (two_films, CaptureError, "second film"),
        (no_plate, CaptureError, "no background plate"),
        (other_size, CaptureError, "128.*256"),
        (cut_film, BadFile, r"222200037\.mp4"),
        (odd_picture, CaptureError, r"001\.png.*20"),
        (broken_picture, BadFile, r"001\.png"),
    ],
)
def test_damage_to_a_custom_rig_is_one_line(
    damage: Callable[[Path], None], kind: type[HeadcastError], says: str, tmp_path: Path
) -> None:
    rig.write_custom(tmp_path / "raw", rig.as_json)
    damage(tmp_path / "raw" / SUBJECT)
    with pytest.raises(kind, match=says) as caught:
        extracted(LAYOUTS["custom json"], tmp_path)
    assert "\n" not in str(caught.value)


def colmap_moves(folder: Path) -> None:
    path = folder / "sparse/images.txt"
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace(" 4.0 ", " 4.1 ")
    path.write_text("\n".join(lines))


def colmap_fisheye(folder: Path) -> None:
    path = folder / "sparse/cameras.txt"
    path.write_text(path.read_text().replace("PINHOLE", "THIN_PRISM_FISHEYE"))


def colmap_gone(folder: Path) -> None:
    (folder / "sparse/images.txt").unlink()


@pytest.mark.parametrize(
    ("damage", "says"), [(colmap_moves, "222200036 moves"), (colmap_fisheye, "THIN_PRISM"), (colmap_gone, "export it as text")]
)
def test_damage_to_a_colmap_model_is_one_line(damage: Callable[[Path], None], says: str, tmp_path: Path) -> None:
    rig.write_custom(tmp_path / "raw", rig.as_colmap)
    damage(tmp_path / "raw" / SUBJECT)
    with pytest.raises(HeadcastError, match=says):
        open_capture("custom", tmp_path / "raw", SUBJECT, SEQUENCE, None, 4)


@pytest.mark.parametrize(
    ("lacks", "says"),
    [("Camera/222200037/color/1", "lacks color of frame 1"), ("Camera/222200039/mask/2", "lacks mask of frame 2")],
)
def test_a_frame_that_an_smc_file_lacks_is_named(lacks: str, says: str, tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="reads .smc files: pip install 'headcast[renderme]'")
    rig.write_renderme(tmp_path / "raw", lacks)
    with pytest.raises(CaptureError, match=says):
        extracted(LAYOUTS["renderme"], tmp_path)


def test_what_is_no_smc_file_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="reads .smc files: pip install 'headcast[renderme]'")
    path = tmp_path / "raw" / SUBJECT / f"{SUBJECT}_{SEQUENCE}_anno.smc"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<html>log in</html>")
    with pytest.raises(BadFile, match="not a RenderMe-360 file"):
        open_capture("renderme", tmp_path / "raw", SUBJECT, SEQUENCE, None, 4)
