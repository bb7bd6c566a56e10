"""The three stages with networks of the user's: from files at their places to products that name backend and weights."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from headcast import assets as lock
from headcast.config import HairMasks, LandmarkDetection, Matting
from headcast.errors import AssetMissing, BadFile, CaptureError, ConfigError
from headcast.formats.frames import member_name, write_background, write_cameras
from headcast.formats.manifest import png, read_product, write_product
from headcast.formats.maps import read_masks, read_mattes
from headcast.formats.track import read_landmarks
from headcast.networks import lip_labels
from headcast.stages import hair_masks, landmarks, matting
from tests.fitting.ring import ring

SIDE, FRAMES = 64, 2
CAMERAS = {serial: camera.resize(SIDE, SIDE) for serial, camera in ring(np.zeros(3), (-20, 0, 20)).items()}
VIEWS = [(frame, serial) for frame in range(FRAMES) for serial in CAMERAS]
PLACES = {
    "background_matting_v2": "assets/BackgroundMattingV2/pytorch_resnet101.pth",
    "modnet": "assets/MODNet/modnet_photographic_portrait_matting.ckpt",
    "cdgnet": "assets/CDGNet/LIP_epoch_149.pth",
}


def quiet(*_: object) -> None:
    """No progress."""


def write_views(path: Path, product: str, kind: str, pictures: dict[tuple[int, str], np.ndarray]) -> Path:
    with write_product(path, product) as writer:
        writer.facts |= {"frames": FRAMES, "raw_frames": [0, 1], "cameras": list(CAMERAS), "size": SIDE, "times_s": [0.0, 0.1]}
        for view, pixels in pictures.items():
            writer.add_bytes(member_name(kind, *view), png(pixels))
    return path


@pytest.fixture
def sequence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images, cameras, plates and round mattes of a sequence; the left eighth of every view lies outside the raw frame."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    write_views(
        tmp_path / "images/manifest.json",
        "images",
        "image",
        {view: rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for view in VIEWS},
    )
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    matte = np.where(np.hypot(x, y) < SIDE / 3, 255, 0).astype(np.uint8)
    write_views(tmp_path / "given/manifest.json", "mattes", "matte", dict.fromkeys(VIEWS, matte))
    visible = np.ones((SIDE, SIDE), bool)
    visible[:, : SIDE // 8] = False
    plates = {serial: rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for serial in CAMERAS}
    write_background(tmp_path / "background/manifest.json", plates, dict.fromkeys(CAMERAS, visible))
    write_cameras(tmp_path / "cameras/manifest.json", CAMERAS, CAMERAS, [0.0, 0.1])
    return tmp_path


def placed(folder: Path, backend: str, checkpoint: Callable[[str], Path]) -> Path:
    """The checkpoint where the lock says."""
    path = folder / PLACES[backend]
    path.parent.mkdir(parents=True)
    path.symlink_to(checkpoint(backend))
    return path


def matte(folder: Path, backend: str, output: str = "mattes", **settings: Any) -> Path:
    inputs = matting.Inputs(folder / "images/manifest.json", folder / "background/manifest.json", folder / output / "manifest.json")
    return matting.run(inputs, Matting(backend=backend, **settings), quiet)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["background_matting_v2", "modnet"])
def test_every_view_is_matted_and_the_manifest_says_by_what(
    backend: str, sequence: Path, checkpoint: Callable[[str], Path]
) -> None:
    weights = placed(sequence, backend, checkpoint)
    written = matte(sequence, backend)
    product = read_product(written, "mattes")
    assert product.facts["backend"] == backend
    assert product.facts["weights"] == {PLACES[backend]: hashlib.sha256(weights.read_bytes()).hexdigest()}
    assert set(product.members) == {member_name("matte", *view) for view in VIEWS}
    for view in VIEWS:
        alpha = read_mattes(written).alpha(*view)
        assert alpha.shape == (SIDE, SIDE) and not alpha[:, : SIDE // 8].any() and alpha.any()
    assert read_product(matte(sequence, backend, "again", batch=1), "mattes").digest == product.digest


def test_only_the_network_that_looks_at_plates_needs_them(sequence: Path, checkpoint: Callable[[str], Path]) -> None:
    write_background(sequence / "background/manifest.json", {}, {serial: np.ones((SIDE, SIDE), bool) for serial in CAMERAS})
    for backend in ("background_matting_v2", "modnet"):
        placed(sequence, backend, checkpoint)
    matte(sequence, "modnet")
    with pytest.raises(CaptureError, match="no background plates"):
        matte(sequence, "background_matting_v2")


def test_weights_of_another_network_leave_no_product(sequence: Path, checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(AssetMissing, match=PLACES["modnet"]):
        matte(sequence, "modnet")
    path = sequence / PLACES["modnet"]
    path.parent.mkdir(parents=True)
    path.symlink_to(checkpoint("background_matting_v2"))
    with pytest.raises(BadFile, match="another network than MODNet"):
        matte(sequence, "modnet")
    assert not (sequence / "mattes/manifest.json").exists()


def test_labels_by_a_network_need_no_fit(
    sequence: Path, checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lip_labels, "SIDE", 65)
    placed(sequence, "cdgnet", checkpoint)
    at = {name: sequence / name / "manifest.json" for name in ("images", "cameras")}
    inputs = hair_masks.Inputs(**at, mattes=sequence / "given/manifest.json", output=sequence / "masks/manifest.json")
    written = hair_masks.run(inputs, HairMasks(backend="cdgnet"), quiet)  # type: ignore[arg-type]
    product = read_product(written, "masks")
    assert product.facts["backend"] == "cdgnet" and list(product.facts["weights"]) == [PLACES["cdgnet"]]
    assert len(product.members) == 2 * len(VIEWS)
    for view in VIEWS:
        labels, hair = read_masks(written).labels(*view), read_masks(written).hair(*view)
        alpha = read_mattes(inputs.mattes).alpha(*view)
        assert ((labels == 0) == (alpha < 128)).all() and (hair <= alpha).all()
    with pytest.raises(ConfigError, match="give --surface and --model"):
        hair_masks.run(inputs, HairMasks(), quiet)  # type: ignore[arg-type]


class Everywhere:
    """A stand-in of face-alignment that sees the same world points in every view."""

    def __init__(self, *_: object, **__: object) -> None:
        self._views = iter(VIEWS)
        rng = np.random.default_rng(1)
        self._points = rng.uniform([-0.03, -0.03, 0.0], [0.03, 0.03, 0.03], (68, 3))

    def get_landmarks_from_image(self, image: np.ndarray, **_: bool) -> tuple[Any, Any, Any]:
        _, serial = next(self._views)
        return [CAMERAS[serial].project(self._points)], [np.full(68, 1.6)], [np.array([0, 0, 10, 10, 1.0])]


def test_landmarks_by_the_user_s_package_come_in_the_same_file(sequence: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("face_alignment")
    package.__spec__ = ModuleSpec("face_alignment", None)
    package.__dict__.update(__version__="1.5.0", FaceAlignment=Everywhere, LandmarksType=SimpleNamespace(TWO_HALF_D=2))
    monkeypatch.setitem(sys.modules, "face_alignment", package)
    known = {name: asset for name, asset in lock.assets().items() if name in ("fan_3d", "s3fd")}
    for asset in known.values():
        Path(asset.path).parent.mkdir(parents=True, exist_ok=True)
        torch.save({"weight": torch.zeros(1)}, asset.path)
    at = {name: sequence / name / "manifest.json" for name in ("images", "cameras")}
    inputs = landmarks.Inputs(**at, output=sequence / "landmarks/manifest.json")
    settings = LandmarkDetection(backend="face_alignment")
    with pytest.raises(BadFile, match="does not begin with 7835d9f11d"):
        landmarks.run(inputs, settings, quiet)  # type: ignore[arg-type]
    monkeypatch.setattr(lock, "assets", lambda: {name: replace(asset, sha256=None) for name, asset in known.items()})
    written = landmarks.run(inputs, settings, quiet)  # type: ignore[arg-type]
    found = read_landmarks(written)
    assert found.points.shape == (FRAMES, len(CAMERAS), 68, 2) and np.isfinite(found.points).all()
    assert found.confidence.max() <= 0.8 + 1e-6 and np.isnan(found.dense).all()
    assert read_product(written, "landmarks").facts["backend"] == "face_alignment"
