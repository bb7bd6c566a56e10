"""VHAP's folders: exported so that FLAME's own code and an OpenGL camera see what ours do, read back to the same capture."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from headcast.capture.vhap import DIVISIONS
from headcast.config import Extraction, Fitting, HeldOut, load_config
from headcast.errors import AssetMissing, BadFile, CaptureError, ConfigError, HeadcastError
from headcast.formats.frames import read_background, read_cameras, read_images
from headcast.formats.maps import read_mattes
from headcast.formats.track import read_head_params, read_surface, write_head_params
from headcast.heads import load_head_model, user_files
from headcast.heads.flame_head import FlameHead
from headcast.heads.model import HeadParameters, neutral_parameters
from headcast.stages import download, export_vhap, import_vhap
from tests.doctor.ball_capture import SIZE, BallCapture, healthy
from tests.heads import shaped
from tests.heads.loaded import loaded_head

FRAMES, SERIALS = 4, ["c0", "c1", "c2", "c3"]
BELOW = "ball/sequences/TALK"
FLAME = Fitting(model="flame")
HELD = HeldOut(cameras=["c1"], frames_fraction=0.25)


@dataclass(frozen=True)
class Exported:
    """The folder of an export, with what went in."""

    folder: Path
    model: Path
    head: FlameHead
    parameters: HeadParameters

    @property
    def root(self) -> Path:
        return self.folder / "vhap"

    @property
    def sequence(self) -> Path:
        return self.root / BELOW


def short() -> BallCapture:
    ball = healthy()
    ball.times = ball.times[:FRAMES]
    ball.cameras = {serial: ball.cameras[serial] for serial in SERIALS}
    ball.plates = {serial: ball.plates[serial] for serial in SERIALS}
    ball.detected, ball.agreed, ball.dense = (a[:FRAMES, :4].copy() for a in (ball.detected, ball.agreed, ball.dense))
    return ball


def performance(head: FlameHead) -> HeadParameters:
    """Every parameter in motion, at a size that is not FLAME's."""
    rng = np.random.default_rng(3)
    sizes = {"head_pose": 3, "neck_pose": 3, "jaw_pose": 3, "eye_pose": 6}
    found: dict[str, Any] = {name: 0.15 * rng.normal(size=(FRAMES, size)) for name, size in sizes.items()}
    found["expression"] = 0.3 * rng.normal(size=(FRAMES, head.expression_size))
    found["identity"] = rng.normal(size=head.identity_size)
    found["rotation"] = Rotation.from_euler("yx", np.stack([[20, -10, 5, 60], [5, 10, -5, 3]], 1), degrees=True).as_rotvec()
    found["translation"] = np.array([0.3, -0.2, 0.1]) + 0.01 * rng.normal(size=(FRAMES, 3))
    found["scale"] = np.array(1.07)
    return replace(neutral_parameters(head, FRAMES), **{name: torch.from_numpy(np.asarray(v)) for name, v in found.items()})


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(tmp_path_factory.mktemp("vhap"))


def export(folder: Path) -> Exported:
    """Write the products of the ball with a track and export them."""
    shaped.flame(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(user_files.open_head, "load", loaded_head)
        head = load_head_model("flame", folder / "flame.npz", folder)
    assert isinstance(head, FlameHead)
    products, parameters = short().write(folder / "results"), performance(head)
    write_head_params(products.surface, parameters, {"model": "flame"}, head.vertices(parameters).numpy())
    images = json.loads(products.images.read_text())
    images["facts"]["raw_frames"] = list(range(FRAMES))
    products.images.write_text(json.dumps(images))
    given = {name: getattr(products, name) for name in ("images", "cameras", "mattes", "surface")}
    done = Exported(folder, folder / "flame.npz", head, parameters)
    inputs = export_vhap.Inputs("ball", "TALK", **given, model=done.model, output=done.root / "manifest.json")
    export_vhap.run(inputs, FLAME, HELD, lambda *_: None)
    return done


def imported(exported: Exported, root: Path, out: Path, **settings: object) -> import_vhap.Inputs:
    names = ("images", "cameras", "background", "mattes", "params", "surface")
    at = {name: out / name / "manifest.json" for name in names}
    inputs = import_vhap.Inputs("ball", "TALK", root, 25.0, exported.model, **at)
    import_vhap.run(inputs, Extraction(**{"size": SIZE, **settings}), FLAME, lambda *_: None)
    return inputs


def transforms(folder: Path, division: str = "") -> dict[str, Any]:
    return json.loads((folder / f"transforms{division}.json").read_text())


def test_the_layout_is_vhap_s(exported: Exported) -> None:
    whole = transforms(exported.sequence)
    assert len(whole["frames"]) == FRAMES * 4
    assert (whole["timestep_indices"], whole["camera_indices"]) == ([0, 1, 2, 3], [0, 1, 2, 3])
    view = next(v for v in whole["frames"] if (v["timestep_index"], v["camera_id"]) == (2, "c3"))
    assert view["file_path"] == "images/00002_03.png" and view["fg_mask_path"] == "fg_masks/00002_03.png"
    assert view["flame_param_path"] == "flame_param/00002.npz" and view["camera_index"] == 3
    assert np.tan(view["camera_angle_x"] / 2) == pytest.approx(view["w"] / 2 / view["fl_x"])
    shapes = {
        **{"shape": (300,), "expr": (1, 100), "static_offset": (1, len(exported.head.mean) + 120, 3), "eyes_pose": (1, 6)},
        **dict.fromkeys(("rotation", "neck_pose", "jaw_pose", "translation"), (1, 3)),
    }
    for name in ("flame_param/00002.npz", "canonical_flame_param.npz"):
        arrays = np.load(exported.sequence / name, allow_pickle=False)
        assert {key: arrays[key].shape for key in arrays.files} == shapes
        assert {arrays[key].dtype for key in arrays.files} == {np.dtype(np.float32)}
    np.testing.assert_allclose(np.load(exported.sequence / "canonical_flame_param.npz")["jaw_pose"], [[0.3, 0, 0]], atol=1e-7)
    with Image.open(exported.sequence / view["file_path"]) as image, Image.open(exported.sequence / view["fg_mask_path"]) as mask:
        assert (image.mode, mask.mode, image.size, mask.size) == ("RGB", "L", (SIZE, SIZE), (SIZE, SIZE))
        assert (np.asarray(image)[np.asarray(mask) == 0] == 255).all()


def test_the_motion_of_all_timesteps_is_one_file_for_viewers(exported: Exported) -> None:
    motion = np.load(exported.sequence / "flame_param.npz", allow_pickle=False)
    for timestep in range(FRAMES):
        one = np.load(exported.sequence / f"flame_param/{timestep:05d}.npz")
        assert set(one.files) == set(motion.files)
        for name in ("expr", "rotation", "neck_pose", "jaw_pose", "eyes_pose", "translation"):
            np.testing.assert_array_equal(motion[name][timestep : timestep + 1], one[name])
            assert motion[name].shape[0] == FRAMES and motion[name].dtype == np.float32
    assert abs(motion["translation"].mean(0)).max() < 1e-6  # the world is centred on the head


def test_divisions_are_the_workflow_s_held_out_views(exported: Exported) -> None:
    views = {
        d: {(v["timestep_index"], v["camera_id"]) for v in transforms(exported.sequence, f"_{d}")["frames"]} for d in DIVISIONS
    }
    assert views["train"] == {(t, c) for t in range(3) for c in ("c0", "c2", "c3")}
    assert views["val"] == {(t, "c1") for t in range(3)}
    assert views["test"] == {(3, c) for c in SERIALS}


def test_flame_itself_before_an_opengl_camera_shows_what_ours_does(exported: Exported) -> None:
    ours, cameras = exported.head.vertices(exported.parameters).numpy(), short().cameras
    for view in transforms(exported.sequence)["frames"]:
        arrays = {
            name: torch.from_numpy(a.astype(np.float64))
            for name, a in np.load(exported.sequence / view["flame_param_path"]).items()
        }
        codes = torch.cat([arrays["shape"][:100], arrays["expr"][0, :50]])[None]
        joints = [arrays[name] for name in ("rotation", "neck_pose", "jaw_pose")] + list(arrays["eyes_pose"].split(3, dim=1))
        flame = (exported.head.skinned(codes, torch.stack(joints, dim=1))[0] + arrays["translation"])[0].numpy()
        to_eye = np.linalg.inv(np.array(view["transform_matrix"]))
        eye = flame @ to_eye[:3, :3].T + to_eye[:3, 3]
        assert (eye[:, 2] < 0).all()  # an OpenGL camera looks along −z
        x = view["cx"] - view["fl_x"] * eye[:, 0] / eye[:, 2]
        y = view["cy"] + view["fl_y"] * eye[:, 1] / eye[:, 2]
        expected = cameras[view["camera_id"]].project(ours[view["timestep_index"]])
        np.testing.assert_allclose(np.stack([x, y], 1), expected, atol=1e-3)


def test_what_was_exported_is_read_back_to_the_same_capture(exported: Exported, tmp_path: Path) -> None:
    taken, ball = imported(exported, exported.root, tmp_path), short()
    images, cameras, mattes = read_images(taken.images), read_cameras(taken.cameras), read_mattes(taken.mattes)
    assert (images.frames, images.serials, images.times) == (FRAMES, SERIALS, [0.0, 0.04, 0.08, 0.12])
    ours, points = exported.head.vertices(exported.parameters).numpy(), np.random.default_rng(0).normal(size=(50, 3)) * 0.1
    for serial, camera in cameras.items():
        np.testing.assert_allclose(camera.project(points), ball.cameras[serial].project(points), atol=1e-5)
        assert read_background(taken.background).visible(serial).all()
    assert not read_background(taken.background).has_plates
    for frame, serial in images.views():
        alpha = ball.alpha[frame, serial]
        np.testing.assert_array_equal(mattes.alpha(frame, serial), alpha)
        np.testing.assert_array_equal(images.image(frame, serial)[alpha == 255], ball.images[frame, serial][alpha == 255])
    np.testing.assert_allclose(read_surface(taken.surface), ours, atol=1e-5)
    parameters, facts = read_head_params(taken.params)
    np.testing.assert_allclose(exported.head.vertices(parameters).numpy(), ours, atol=1e-5)
    np.testing.assert_allclose(parameters.rotation, exported.parameters.rotation, atol=1e-6)
    assert float(parameters.scale) == pytest.approx(1.07) and facts["offset_mm"] == 0 == facts["components_left_out"]


def test_divisions_without_the_whole_list_are_read_together(exported: Exported, tmp_path: Path) -> None:
    root = Path(shutil.copytree(exported.root, tmp_path / "raw"))
    (root / BELOW / "transforms.json").unlink()
    taken = imported(exported, root, tmp_path / "out", stride=2)
    assert read_images(taken.images).raw_frames == [0, 2]
    np.testing.assert_allclose(read_surface(taken.surface), exported.head.vertices(exported.parameters).numpy()[::2], atol=1e-5)


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the arrays of every timestep."""
    for path in folder.glob("flame_param/*.npz"):
        arrays = dict(np.load(path))
        change(arrays)
        np.savez(path, **arrays)


def test_a_person_s_offset_is_in_the_surface_and_what_is_left_out_is_said(exported: Exported, tmp_path: Path) -> None:
    root = Path(shutil.copytree(exported.root, tmp_path / "raw"))
    offset = np.zeros((1, len(exported.head.mean) + 120, 3), np.float32)
    offset[..., 1] = 0.002

    def change(arrays: dict[str, Any]) -> None:
        arrays["static_offset"] = offset
        arrays["expr"][0, 70] = 1.5

    rewritten(root / BELOW, change)
    taken = imported(exported, root, tmp_path / "out")
    parameters, facts = read_head_params(taken.params)
    assert (facts["offset_mm"], facts["components_left_out"]) == (2.0, 1.5)
    moved = read_surface(taken.surface) - exported.head.vertices(parameters).numpy()
    lengths = np.linalg.norm(moved, axis=-1)
    assert 0.5e-3 < np.median(lengths) < 4e-3


def test_a_portrait_picture_becomes_a_square_about_its_principal_point(exported: Exported, tmp_path: Path) -> None:
    root = Path(shutil.copytree(exported.root, tmp_path / "raw"))

    def taller(content: dict[str, Any]) -> None:
        for view in content["frames"]:
            view["h"], view["cy"] = 2 * view["h"], view["cy"] + view["h"] / 2

    edit(root / BELOW, taller)
    for path in [*(root / BELOW).glob("images/*.png"), *(root / BELOW).glob("fg_masks/*.png")]:
        with Image.open(path) as image:
            pad = ((SIZE // 2, SIZE // 2), (0, 0), (0, 0))[: np.asarray(image).ndim]
            Image.fromarray(np.pad(np.asarray(image), pad)).save(path)
    taken = imported(exported, root, tmp_path / "out")
    visible = read_background(taken.background).visible("c0")
    assert visible[SIZE // 2].sum() < SIZE and visible[:, SIZE // 2].all()
    camera, points = read_cameras(taken.cameras)["c0"], np.zeros((1, 3))
    shrunk = SIZE / round(SIZE * 2600 / 2200)
    middle = short().cameras["c0"].project(points) - SIZE / 2
    np.testing.assert_allclose(camera.project(points) - SIZE / 2, shrunk * middle, atol=1.0)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = transforms(folder)
    change(content)
    (folder / "transforms.json").write_text(json.dumps(content))


def moved_camera(folder: Path) -> None:
    edit(folder, lambda content: content["frames"][6]["transform_matrix"][0].__setitem__(3, 5.0))


def no_view(folder: Path) -> None:
    edit(folder, lambda content: content["frames"].pop(5))


def no_matrix(folder: Path) -> None:
    edit(folder, lambda content: content["frames"][3].pop("transform_matrix"))


def no_number(folder: Path) -> None:
    edit(folder, lambda content: content["frames"][3].update(fl_x="wide"))


def no_pose(folder: Path) -> None:
    edit(folder, lambda content: content["frames"][3].update(transform_matrix=[[0, 0, 0, 0]] * 4))


def no_unit(folder: Path) -> None:
    edit(folder, lambda content: content["headcast"].update(unit_m=0))


def no_origin(folder: Path) -> None:
    edit(folder, lambda content: content.update(headcast={"origin_m": "here"}))


def outside(folder: Path) -> None:
    edit(folder, lambda content: content["frames"][0].update(file_path="../../../secret.png"))


def odd_name(folder: Path) -> None:
    edit(folder, lambda content: content["frames"][0].update(camera_id="../c0"))


def no_mask(folder: Path) -> None:
    (folder / "fg_masks/00001_02.png").unlink()


def other_size(folder: Path) -> None:
    Image.new("RGB", (20, 20)).save(folder / "images/00001_02.png")


def no_neck(folder: Path) -> None:
    rewritten(folder, lambda arrays: arrays.pop("neck_pose"))


def wrong_shape(folder: Path) -> None:
    rewritten(folder, lambda arrays: arrays.update(eyes_pose=np.zeros((1, 3))))


def not_finite(folder: Path) -> None:
    rewritten(folder, lambda arrays: arrays["translation"].fill(np.nan))


def no_numbers(folder: Path) -> None:
    (folder / "flame_param/00000.npz").write_bytes(b"PK no archive")


def html(folder: Path) -> None:
    (folder / "transforms.json").write_text("<html>log in</html>")


def nothing(folder: Path) -> None:
    for path in folder.glob("transforms*.json"):
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "kind", "says"),
    [
        (moved_camera, CaptureError, "camera c2 moves at timestep 1"),
        (no_view, CaptureError, "timestep 1 from camera c1"),
        (no_matrix, BadFile, "no transform_matrix"),
        (no_number, BadFile, "timestep 0, camera c3 holds what is no number"),
        (no_pose, BadFile, "is no 4×4 pose"),
        (no_unit, BadFile, "no positive unit_m"),
        (no_origin, BadFile, "headcast holds what is no number"),
        (outside, BadFile, "leaves the capture's folder"),
        (odd_name, BadFile, "is no name"),
        (no_mask, CaptureError, r"fg_masks/00001_02\.png"),
        (other_size, CaptureError, r"00001_02\.png.*20"),
        (no_neck, BadFile, "no neck_pose"),
        (wrong_shape, BadFile, "unexpected shapes"),
        (not_finite, BadFile, "translation holds values that are not finite"),
        (no_numbers, BadFile, r"00000\.npz"),
        (html, BadFile, "not JSON"),
        (nothing, AssetMissing, "not there"),
    ],
)
def test_damage_is_one_line(
    damage: Callable[[Path], None], kind: type[HeadcastError], says: str, exported: Exported, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(exported.root, tmp_path / "raw"))
    damage(root / BELOW)
    with pytest.raises(kind, match=says) as caught:
        imported(exported, root, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_its_files_are_listed_like_those_of_any_capture(exported: Exported, tmp_path: Path) -> None:
    inputs = download.Inputs("ball", "TALK", exported.root, "vhap", tmp_path / "download.json", "state")
    listed = json.loads(download.run(inputs, Extraction(), lambda *_: None).read_text())["files"]
    names = {"transforms.json", "images/00001_02.png", "fg_masks/00001_02.png", "flame_param/00001.npz"}
    assert {f"{BELOW}/{name}" for name in names} <= set(listed)


def test_only_flame_goes_in_and_out() -> None:
    with pytest.raises(ConfigError, match="vhap brings a track of FLAME"):
        load_config({"subjects": {"ball": {"reader": "vhap", "fps": 25}}}, gpu=False)
    load_config({"subjects": {"ball": {"reader": "vhap", "fps": 25}}, "fitting": {"model": "flame"}}, gpu=False)
