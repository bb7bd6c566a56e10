"""FLAME, BFM and ICT from files that have the embedded head's shape: regions carried over, frames and units, cache, origin."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headcast.errors import AssetMissing, BadFile
from headcast.heads import HeadModel, load_head_model, user_files
from headcast.heads.linear_head import LinearHead
from headcast.heads.model import neutral_parameters
from headcast.imaging.landmarks import ibug_from_dense
from tests.heads import shaped
from tests.heads.loaded import loaded_head

WRITERS: dict[str, Callable[[Path], LinearHead]] = {"flame": shaped.flame, "bfm": shaped.bfm, "ict": shaped.ict}


@pytest.fixture(scope="module", params=list(WRITERS))
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[HeadModel, Path]:
    """A model of the user's files, and the folder of its cache and files."""
    folder = tmp_path_factory.mktemp(request.param)
    WRITERS[request.param](folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(user_files.open_head, "load", loaded_head)
        return load_head_model(request.param, folder / "model.npz", folder), folder


def test_satisfies_the_protocol_and_is_a_head(loaded: tuple[HeadModel, Path]) -> None:
    head, _ = loaded
    assert isinstance(head, HeadModel)
    rest = neutral_parameters(head, 1)
    vertices = head.vertices(rest)
    torch.testing.assert_close(vertices[0], torch.from_numpy(head.mean), atol=1e-9, rtol=0)
    points = head.landmarks(vertices)[0].numpy()
    assert 0.080 < np.linalg.norm(points[36] - points[45]) < 0.105  # m between the outer eye corners
    assert points[36, 0] < 0 < points[45, 0] and points[27, 1] > points[8, 1] and points[30, 2] > points[36, 2]
    assert head.faces.max() == len(head.mean) - 1 and head.expression_bounds.shape == (head.expression_size, 2)
    assert len(head.expression_names) == head.expression_size == len(head.expression_basis) == len(head.gaze)


def test_dense_points_land_where_the_landmarks_are(loaded: tuple[HeadModel, Path]) -> None:
    head, _ = loaded
    vertices = torch.from_numpy(head.mean)[None]
    dense, sparse = head.dense_landmarks(vertices)[0].numpy(), head.landmarks(vertices)[0].numpy()
    assert np.isfinite(dense[:468]).all(axis=1).sum() > 450
    distance = np.linalg.norm(ibug_from_dense(dense) - sparse, axis=1)[17:]
    assert np.nanmedian(distance) < 2e-3 and np.nanmax(distance) < 8e-3


def test_regions_are_those_of_the_head_it_was_made_from(loaded: tuple[HeadModel, Path]) -> None:
    head, truth = loaded[0], loaded_head()
    if head.name != "bfm":
        grown = [np.average(model.mean[:, 1], weights=model.scalp) for model in (head, truth)]
        assert abs(grown[0] - grown[1]) < 0.01 and head.scalp.max() > 0.95
        assert not head.scalp[np.concatenate(head.eyes)].any()
        assert head.head_weight.min() < 0.01 and head.head_weight.max() == 1.0
    else:
        assert not head.scalp.any() and (head.head_weight == 1).all()
    assert head.face.sum() > 800 and not (head.scalp[head.face] > 0.6).any()
    for left_right, side in zip(head.eyelids, (1, -1), strict=True):
        assert len(left_right) > 10 and (side * head.mean[left_right, 0] > 0).all() and head.skin[left_right].all()
    mirrored = head.mean[head.mirror] * [-1, 1, 1]
    assert np.linalg.norm(mirrored - head.mean, axis=1).max() < 3e-3


def test_mouth_and_eyes(loaded: tuple[HeadModel, Path]) -> None:
    head, _ = loaded
    if head.name == "bfm":
        assert not len(head.eyes[0]) and not head.mouth_interior.any()
        return
    assert (head.mean[head.eyes[0], 0] > 0).all() and (head.mean[head.eyes[1], 0] < 0).all()
    inside = head.mean[head.mouth_interior]
    lips = head.landmarks(torch.from_numpy(head.mean)[None])[0, 48:].numpy()
    assert len(inside) > 50 and np.linalg.norm(inside.mean(axis=0) - lips.mean(axis=0)) < 0.05
    turned = replace(neutral_parameters(head, 1), eye_pose=torch.tensor([[0, 0.3, 0, 0, 0.3, 0]], dtype=torch.float64))
    moved = np.linalg.norm(head.vertices(turned)[0].numpy() - head.mean, axis=1)
    assert moved[np.concatenate(head.eyes)].max() > 2e-3
    assert moved[np.setdiff1d(np.arange(len(moved)), np.concatenate(head.eyes))].max() < 1e-9
    iris = head.dense_landmarks(torch.from_numpy(head.mean)[None])[0, [473, 468]].numpy()
    assert iris[0, 0] > 0.02 and iris[1, 0] < -0.02


def test_expressions_of_the_same_name_do_the_same(loaded: tuple[HeadModel, Path]) -> None:
    head, truth = loaded[0], loaded_head()
    if head.name != "ict":
        return
    assert set(head.expression_names) == set(truth.expression_names)
    found = head.expression_basis[head.expression_names.index("mouthSmileLeft")]
    expected = truth.expression_basis[truth.expression_names.index("mouthSmileLeft")]
    assert np.abs(found).max() == pytest.approx(np.abs(expected).max(), rel=1e-4)
    look = head.gaze[head.expression_names.index("eyeLookOutLeft")]
    np.testing.assert_allclose(look, truth.gaze[truth.expression_names.index("eyeLookOutLeft")], atol=0.05)


def test_the_cache_is_the_model_and_names_its_files(loaded: tuple[HeadModel, Path], tmp_path: Path) -> None:
    head, folder = loaded
    again = load_head_model(head.name, folder / "model.npz", tmp_path)  # without the files
    np.testing.assert_array_equal(again.identity_basis, head.identity_basis)
    np.testing.assert_array_equal(again.expression_basis, head.expression_basis)
    assert again.sources == head.sources and again.licence == head.licence
    for path, digest in head.sources.items():
        assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == digest
    assert head.redistributable == (head.name == "ict")


@pytest.mark.parametrize(
    ("name", "file"), [("bfm", "BFM09_model_info.mat"), ("ict", "vertex_indices.json"), ("flame", "generic_model.pkl")]
)
def test_missing_files_say_where_to_obtain_them(name: str, file: str, tmp_path: Path) -> None:
    if name == "ict":
        (tmp_path / "assets/ICT-FaceKit").mkdir(parents=True)
        (tmp_path / "assets/ICT-FaceKit/ict_facekit_light_f32.npz").write_bytes(b"x")
    with pytest.raises(AssetMissing, match=file) as raised:
        load_head_model(name, root=tmp_path)
    assert "https://" in str(raised.value) and "licence: " in str(raised.value)


@pytest.mark.parametrize("name", ["bfm", "ict"])
def test_a_web_page_in_place_of_the_file_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_files.open_head, "load", loaded_head)
    for path in (
        "assets/BFM/BFM09_model_info.mat",
        "assets/ICT-FaceKit/ict_facekit_light_f32.npz",
        "assets/ICT-FaceKit/vertex_indices.json",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"<html>log in</html>")
    with pytest.raises(BadFile, match="web page"):
        load_head_model(name, root=tmp_path)
