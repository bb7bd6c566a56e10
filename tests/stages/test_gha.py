"""Gaussian Head Avatar's layout: exported to the letter, read back to the same products, damage in one line."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headcast.capture.gha import VIEW_FILES
from headcast.capture.raw import gha_files
from headcast.config import Extraction, Fitting
from headcast.errors import AssetMissing, BadFile, CaptureError, HeadcastError
from headcast.formats.frames import read_background, read_cameras, read_images
from headcast.formats.maps import read_masks, read_mattes, read_orientations
from headcast.formats.track import read_landmarks, write_head_params
from headcast.heads.model import neutral_parameters
from headcast.stages import download, export_gha, import_gha
from tests.doctor.ball_capture import SIZE, BallCapture, healthy
from tests.heads.loaded import cache_path, loaded_head

FRAMES, SERIALS = 2, ["c0", "c1", "c2", "c3"]
BELOW = "ball/sequences/TALK"


def short() -> BallCapture:
    """Two frames of four cameras; one view without a face."""
    ball = healthy()
    ball.times = ball.times[:FRAMES]
    ball.cameras = {serial: ball.cameras[serial] for serial in SERIALS}
    ball.plates = {serial: ball.plates[serial] for serial in SERIALS}
    ball.detected, ball.agreed, ball.dense = (a[:FRAMES, :4].copy() for a in (ball.detected, ball.agreed, ball.dense))
    ball.agreed[1, 3] = np.nan
    return ball


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an export, beside the products that it was made from."""
    return export(tmp_path_factory.mktemp("gha"))


def export(folder: Path) -> Path:
    """Write the products of the ball and export them."""
    products, head = short().write(folder / "results"), loaded_head()
    parameters = neutral_parameters(head, FRAMES)
    write_head_params(products.surface, parameters, {"model": "open"}, head.vertices(parameters).numpy())
    given = {name: getattr(products, name) for name in GIVEN}
    inputs = export_gha.Inputs("ball", "TALK", **given, model=cache_path(), output=folder / "export/manifest.json")
    export_gha.run(inputs, Fitting(), lambda *_: None)
    return folder


GIVEN = ("images", "cameras", "background", "mattes", "masks", "orientation", "landmarks", "surface")


def imported(root: Path, out: Path, **settings: object) -> import_gha.Inputs:
    """The products of a preprocessed folder."""
    names = ("images", "cameras", "background", "mattes", "masks", "orientation", "landmarks")
    inputs = import_gha.Inputs("ball", "TALK", root, 25.0, **{name: out / name / "manifest.json" for name in names})
    import_gha.run(inputs, Extraction(**{"size": SIZE, **settings}), lambda *_: None)
    return inputs


def test_the_layout_is_the_reference_s(exported: Path) -> None:
    folder = exported / "export" / BELOW
    view = {"frame": "0001", "serial": "c2"}
    expected = {
        "images/0001/image_c2.jpg": ((2048, 2048), "RGB"),
        "images/0001/image_lowres_c2.jpg": ((256, 256), "RGB"),
        "images/0001/visible_c2.jpg": ((2048, 2048), "L"),
        "images/0001/visible_lowres_c2.jpg": ((256, 256), "L"),
        "images/0001/mask_c2.jpg": ((2048, 2048), "L"),
        "images/0001/mask_lowres_c2.jpg": ((256, 256), "L"),
        "background/image_c2.jpg": ((2048, 2048), "RGB"),
        **{f"NeuralHaircut_masks/{kind}/0001/image_c2.jpg": ((1024, 1024), "L") for kind in ("body", "hair", "head")},
        "orientation_maps/0001/image_c2.png": ((1024, 1024), "L"),
        "orientation_confidence_maps/0001/image_c2.png": ((1024, 1024), "L"),
        "orientation_filtered_imgs/0001/image_c2.png": ((1024, 1024), "L"),
        "orientation_vis_imgs/0001/image_c2.png": ((1024, 1024), "RGB"),
    }
    for name, (size, mode) in expected.items():
        with Image.open(folder / name) as image:
            assert (image.size, image.mode) == (size, mode), name
    assert {path.format(**view) for path in VIEW_FILES.values()} - set(expected) == {"cameras/0001/camera_c2.npz"}
    camera = np.load(folder / "cameras/0001/camera_c2.npz")
    assert camera["extrinsic"].shape == (3, 4) and camera["intrinsic"].shape == (3, 3)
    assert abs(camera["intrinsic"][0, 2] - 1024) < 1
    assert np.load(folder / "landmarks/0001/lmk_c2.npy").shape == (68, 3)
    assert not (folder / "landmarks/0001/lmk_c3.npy").exists()
    degrees = np.asarray(Image.open(folder / "orientation_maps/0001/image_c2.png"))
    assert set(np.unique(degrees)) <= {0, round(np.degrees(0.5))}


def test_the_track_has_the_reference_s_shapes(exported: Path) -> None:
    folder = exported / "export" / BELOW / "params/0001"
    params = np.load(folder / "params.npz")
    shapes = {"id_coeff": (1, 80), "exp_coeff": (1, 64), "scale": (1,), "pose": (1, 6)}
    assert {name: params[name].shape for name in shapes} == shapes
    assert str(params["basis"]) == "open"
    assert np.load(folder / "lmk_3d.npy").shape == (66, 3)
    assert np.load(folder / "vertices.npy").shape == loaded_head().mean.shape


def test_what_was_exported_is_read_back_to_the_same_products(exported: Path, tmp_path: Path) -> None:
    taken, ball = imported(exported / "export", tmp_path), short()
    images, cameras = read_images(taken.images), read_cameras(taken.cameras)
    background, mattes = read_background(taken.background), read_mattes(taken.mattes)
    masks, orientations = read_masks(taken.masks), read_orientations(taken.orientation)
    landmarks = read_landmarks(taken.landmarks)
    assert (images.frames, images.serials, images.times) == (FRAMES, SERIALS, [0.0, 0.04])
    for frame, serial in images.views():
        view = (frame, serial)
        np.testing.assert_allclose(cameras[serial].K, ball.cameras[serial].K, rtol=1e-9)
        np.testing.assert_allclose(cameras[serial].world_to_camera, ball.cameras[serial].world_to_camera, atol=1e-9)
        assert np.abs(images.image(*view).astype(int) - ball.images[view]).mean() < 5
        assert np.abs(mattes.alpha(*view).astype(int) - ball.alpha[view]).mean() < 3
        assert (masks.labels(*view) == ball.labels[view]).mean() > 0.97
        angle, confidence = orientations.maps(*view)
        certain = (ball.confidence[view] > 0) & (confidence > 0.5)
        assert certain.sum() > 100 and np.abs(angle[certain].astype(float) - 0.5).max() < np.radians(1)
        assert background.visible(serial).all() and background.plate(serial).shape == (SIZE, SIZE, 3)
    np.testing.assert_allclose(landmarks.points, ball.agreed, atol=1e-3)
    assert np.isnan(landmarks.points[1, 3]).all() and np.isnan(landmarks.dense).all()
    assert {path.name for path in gha_files(exported / "export", "ball", "TALK")} >= {"image_c2.jpg", "camera_c2.npz"}


def test_its_files_are_listed_like_those_of_any_capture(exported: Path, tmp_path: Path) -> None:
    inputs = download.Inputs("ball", "TALK", exported / "export", "gha", tmp_path / "download.json", "state")
    listed = json.loads(download.run(inputs, Extraction(), lambda *_: None).read_text())["files"]
    assert f"{BELOW}/images/0001/image_c2.jpg" in listed and f"{BELOW}/cameras/0001/camera_c2.npz" in listed


def test_stride_and_cameras_select(exported: Path, tmp_path: Path) -> None:
    taken = imported(exported / "export", tmp_path, stride=2, cameras=SERIALS[:3], min_cameras=3)
    images = read_images(taken.images)
    assert (images.frames, images.serials, images.raw_frames) == (1, SERIALS[:3], [0])


def no_mask(folder: Path) -> None:
    (folder / "images/0001/mask_c1.jpg").unlink()


def no_plate(folder: Path) -> None:
    (folder / "background/image_c1.jpg").unlink()


def no_confidence(folder: Path) -> None:
    shutil.rmtree(folder / "orientation_confidence_maps")


def moved_camera(folder: Path) -> None:
    path = folder / "cameras/0001/camera_c1.npz"
    arrays = dict(np.load(path))
    np.savez(path, extrinsic=arrays["extrinsic"] + 0.1, intrinsic=arrays["intrinsic"])


def small_pixels(folder: Path) -> None:
    for path in folder.glob("cameras/*/*.npz"):
        arrays = dict(np.load(path))
        np.savez(path, extrinsic=arrays["extrinsic"], intrinsic=arrays["intrinsic"] * np.array([[0.125], [0.125], [1]]))


def no_camera_array(folder: Path) -> None:
    np.savez(folder / "cameras/0000/camera_c0.npz", extrinsic=np.eye(3, 4))


def cut_picture(folder: Path) -> None:
    path = folder / "images/0001/image_c1.jpg"
    path.write_bytes(path.read_bytes()[:2000])


def odd_landmarks(folder: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.zeros((66, 2)))
    (folder / "landmarks/0000/lmk_c0.npy").write_bytes(stream.getvalue())


def no_landmarks(folder: Path) -> None:
    shutil.rmtree(folder / "landmarks/0001")


def nothing(folder: Path) -> None:
    shutil.rmtree(folder / "images")


@pytest.mark.parametrize(
    ("damage", "kind", "says"),
    [
        (no_mask, CaptureError, r"0001/mask_c1\.jpg"),
        (no_plate, CaptureError, r"background/image_c1\.jpg"),
        (no_confidence, CaptureError, "orientation_confidence_maps"),
        (moved_camera, CaptureError, "must stand still"),
        (small_pixels, CaptureError, "pixels of 2048²"),
        (no_camera_array, BadFile, r"camera_c0\.npz.*intrinsic"),
        (cut_picture, BadFile, r"image_c1\.jpg"),
        (odd_landmarks, BadFile, r"\(66, 2\)"),
        (no_landmarks, CaptureError, "landmarks/0001"),
        (nothing, AssetMissing, "not there"),
    ],
)
def test_damage_is_one_line(
    damage: Callable[[Path], None], kind: type[HeadcastError], says: str, exported: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(exported / "export", tmp_path / "raw"))
    damage(root / BELOW)
    with pytest.raises(kind, match=says) as caught:
        imported(root, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_the_export_is_listed_with_hashes(exported: Path) -> None:
    manifest = json.loads((exported / "export/manifest.json").read_text())
    assert len(manifest["members"]) == FRAMES * 4 * 15 - 1 + 4 + FRAMES * 3
