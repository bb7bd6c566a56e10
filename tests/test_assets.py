"""The lock of weights and models: true of what is installed, complete for every backend, and checked before use."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from headcast import assets as lock
from headcast.assets import LOCK, assets, digests, made_with, obtained, packages, used_by, verify
from headcast.config import load_config
from headcast.errors import AssetMissing, BadFile

ROOT = Path(__file__).parent.parent
THEIRS = """BFM/BFM09_model_info.mat CDGNet/LIP_epoch_149.pth MODNet/modnet_photographic_portrait_matting.ckpt
BackgroundMattingV2/pytorch_resnet101.pth FLAME/generic_model.pkl FLAME/flame2023.pkl FLAME/flame_static_embedding.pkl
FLAME/flame_dynamic_embedding.npy FLAME/landmark_embedding_with_eyes.npy FLAME/FLAME_masks.pkl FLAME/uv_masks.npz
FLAME/hair_list.pkl
FLAME/head_template_mesh.obj FLAME/tex_mean_painted.png flame_mesh_aligned_to_pinscreen.obj tets_data.npz
perm/checkpoints/stylegan2-raw-texture.pkl perm/checkpoints/unet-superres.pkl perm/checkpoints/vae-res-texture.pkl"""


def test_the_lock_lies_where_the_architecture_says() -> None:
    assert (ROOT / "assets/assets.lock.json").resolve() == LOCK.resolve()


def test_every_backend_that_is_installed_is_the_locked_one() -> None:
    for section in ("landmarks", "matting"):
        config = getattr(load_config({}, gpu=False), section)
        assert used_by({section: config.model_dump(mode="json")}), section
        verify(section, config.backend)


def test_every_default_asset_has_source_size_hash_and_licence() -> None:
    settings = {
        name: getattr(load_config({}, gpu=False), name).model_dump(mode="json") for name in ("landmarks", "matting", "fitting")
    }
    used = used_by(settings)
    assert {asset.name for asset in used} == {"makehuman", "facemesh", "face_detection", "selfie"}
    for asset in used:
        assert asset.source and asset.licence and asset.bytes and len(str(asset.sha256)) == 64
        assert asset.commercial and asset.redistribution


def test_what_users_of_the_reference_bring_is_named_as_their_own() -> None:
    paths = {asset.path: asset for asset in assets().values()}
    for name in THEIRS.split():
        asset = paths[f"assets/{name}"]
        assert asset.sha256 is None
        assert asset.package is None
        assert asset.note or asset.licence


def test_strands_of_a_file_are_the_user_s() -> None:
    config = load_config({"hair": {"initialiser": "file", "file": "a.abc"}}, gpu=False)
    (asset,) = used_by({"hair": config.hair.model_dump(mode="json")})
    assert asset.name == "own_strands" and asset.commercial is None and asset.redistribution is None
    assert used_by({"hair": load_config({}, gpu=False).hair.model_dump(mode="json")}) == []


def test_other_bytes_and_missing_packages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    known = assets()["selfie"]
    for changed, error, says in (
        (replace(known, sha256="0" * 64), BadFile, "SHA-256 differs"),
        (replace(known, path="mediapipe/none.tflite"), AssetMissing, "not installed"),
        (replace(known, package="no-such-package"), AssetMissing, "not installed"),
    ):
        monkeypatch.setattr(lock, "assets", lambda changed=changed: {"selfie": changed})
        with pytest.raises(error, match=says):
            verify("matting", "plate")


OWN = {
    ("matting", "background_matting_v2"): ["BackgroundMattingV2/pytorch_resnet101.pth"],
    ("matting", "modnet"): ["MODNet/modnet_photographic_portrait_matting.ckpt"],
    ("hair_masks", "cdgnet"): ["CDGNet/LIP_epoch_149.pth"],
    ("hair_masks", "matte_anything"): [f"MatteAnything/{name}/model.safetensors" for name in ("grounding-dino", "sam", "vitmatte")],
    ("landmarks", "face_alignment"): [
        f"face_alignment/checkpoints/{name}" for name in ("3DFAN4-7835d9f11d.pth.tar", "s3fd-619a316812.pth")
    ],
}


@pytest.mark.parametrize(("section", "backend"), OWN)
def test_a_network_of_the_user_s_is_asked_for_file_by_file(
    section: str, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in OWN[section, backend]:
        path = Path("assets", name)
        with pytest.raises(AssetMissing, match="licence: ") as caught:
            obtained(section, backend, packages_too=False)
        assert caught.value.where == str(path) and "https://" in str(caught.value) and "\n" not in str(caught.value)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert obtained(section, backend, packages_too=False) == [Path("assets", name) for name in OWN[section, backend]]


@pytest.mark.parametrize(("section", "backend"), [("landmarks", "face_alignment"), ("hair_masks", "matte_anything")])
def test_a_package_of_the_user_s_is_asked_for_by_its_name(section: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "find_spec", lambda module: None)
    with pytest.raises(AssetMissing, match="pip install '"):
        obtained(section, backend)


def test_weights_whose_hash_begins_otherwise_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pth").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    known = replace(assets()["fan_3d"], path="net.pth", used_by="matting.backend: modnet")
    for begins in (digest, digest[:10]):
        monkeypatch.setattr(lock, "assets", lambda begins=begins: {"net": replace(known, sha256=begins)})
        assert verify("matting", "modnet") == [Path("net.pth")]
    monkeypatch.setattr(lock, "assets", lambda: {"net": known})
    with pytest.raises(BadFile, match="does not begin with 7835d9f11d"):
        verify("matting", "modnet")
    assert digests([Path("net.pth")]) == {"net.pth": digest}


def test_versions_are_those_installed_and_a_research_package_counts_once_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"python", "headcast", "torch", "numpy", "mediapipe"} <= set(made_with())
    name = "diff-gaussian-rasterization"
    versions = {name: "1.0"}
    real = lock.metadata.version
    monkeypatch.setattr(lock.metadata, "version", lambda wanted: versions.get(wanted) or real(wanted))
    assert name not in made_with()
    monkeypatch.setitem(sys.modules, packages()[name].module, ModuleType("loaded"))
    assert made_with()[name] == "1.0"
