"""FLAME: equal to `smplx` on a random model, exact slopes, files with and without chumpy, and what it knows about a head."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headcast.errors import AssetMissing, BadFile
from headcast.geometry.rotations import axis_angle_to_matrix
from headcast.heads import HeadModel
from headcast.heads.flame_files import IDENTITIES, JAW_JOINT, FlameArrays, FlameLandmarks, read_dense, read_flame, read_landmarks
from headcast.heads.flame_head import FlameHead
from headcast.heads.model import DENSE_LANDMARKS, Embedding, HeadParameters, neutral_parameters
from headcast.heads.skinning import joint_transforms, pose_features, skin
from tests.heads.flame_files import VERTICES, random_embeddings, random_model, with_chumpy, write_flame
from tests.heads.make_flame_by_smplx import FRAMES, parameters

BY_SMPLX = Path(__file__).with_name("flame_by_smplx.npz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("FLAME")
    write_flame(path, random_model(), *random_embeddings())
    return path


@pytest.fixture(scope="module")
def files(folder: Path) -> tuple[FlameArrays, FlameLandmarks]:
    arrays = read_flame(folder / "generic_model.pkl")
    return arrays, read_landmarks((folder / "flame_static_embedding.pkl", folder / "flame_dynamic_embedding.npy"), arrays.faces)


@pytest.fixture(scope="module")
def head(files: tuple[FlameArrays, FlameLandmarks]) -> FlameHead:
    """The random model without anything that needs a real head's shape."""
    arrays, landmarks = files
    nothing, rng = np.zeros(VERTICES, dtype=bool), np.random.default_rng(5)
    dense = Embedding(rng.integers(0, VERTICES, (DENSE_LANDMARKS, 3)), np.full((DENSE_LANDMARKS, 3), 1 / 3))
    dense.weights[100:] = np.nan
    masks = dict.fromkeys(("face", "skin", "mouth_interior"), nothing)
    floats = {"scalp": np.zeros(VERTICES), "head_weight": 1 - arrays.weights[:, 0], "mirror": np.arange(VERTICES)}
    parts = {"landmark_embedding": landmarks.static, "contour_embedding": landmarks.contour, "dense_embedding": dense}
    empty = np.zeros(0, dtype=np.int64)
    return FlameHead(arrays, **floats, **masks, eyes=(empty, empty), **parts, licence="none", redistributable=False, sources={})


def posed() -> tuple[torch.Tensor, torch.Tensor]:
    given = {name: torch.from_numpy(value) for name, value in parameters().items()}
    joints = ("global_orient", "neck_pose", "jaw_pose", "leye_pose", "reye_pose")
    return torch.cat([given["betas"], given["expression"]], dim=1), torch.stack([given[name] for name in joints], dim=1)


def test_equals_smplx(head: FlameHead) -> None:
    by_smplx = np.load(BY_SMPLX)
    vertices, _ = head.skinned(*posed())
    np.testing.assert_allclose(vertices.numpy(), by_smplx["vertices"], atol=1e-6)
    np.testing.assert_allclose(head.landmarks(vertices)[:, 17:].numpy(), by_smplx["inner"], atol=1e-6)
    turn = axis_angle_to_matrix(posed()[1])[:, 0].numpy()  # smplx looks at the root alone
    yaw = np.degrees(np.arctan2(turn[:, 2, 0], np.hypot(turn[:, 0, 0], turn[:, 1, 0])))
    assert yaw.min() < -39 < 39 < yaw.max()
    np.testing.assert_allclose(head.contour(vertices, yaw).numpy(), by_smplx["contour"], atol=1e-6)


def test_equals_an_installed_smplx(tmp_path: Path) -> None:
    smplx = pytest.importorskip("smplx")
    path = write_flame(tmp_path, random_model(3), *random_embeddings(3))
    path.rename(tmp_path / "FLAME_NEUTRAL.pkl")
    other = smplx.FLAME(str(tmp_path), num_betas=100, num_expression_coeffs=50, batch_size=FRAMES, dtype=torch.float64)
    expected = other(**{name: torch.from_numpy(value) for name, value in parameters().items()}).vertices.detach()
    arrays = read_flame(tmp_path / "FLAME_NEUTRAL.pkl")
    shape, pose = posed()
    rotations = axis_angle_to_matrix(pose)
    shapes = torch.from_numpy(np.concatenate([arrays.identity, arrays.expression]))
    shaped = torch.from_numpy(arrays.template) + torch.einsum("fn,nvc->fvc", shape, shapes)
    joints = torch.einsum("jv,fvc->fjc", torch.from_numpy(arrays.joints), shaped)
    bent = shaped + torch.einsum("fn,nvc->fvc", pose_features(rotations), torch.from_numpy(arrays.pose))
    found = skin(bent, torch.from_numpy(arrays.weights), *joint_transforms(joints, rotations, (-1, 0, 1, 1, 1)))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_skinning_and_rotations_pass_gradcheck() -> None:
    generator = torch.Generator().manual_seed(1)
    vertices, joints, turns = (torch.randn(2, n, 3, dtype=torch.float64, generator=generator) for n in (4, 5, 5))
    weights = torch.rand(4, 5, dtype=torch.float64, generator=generator)
    for tensor in (vertices, joints, turns, weights):
        tensor.requires_grad_()

    def moved(vertices: torch.Tensor, joints: torch.Tensor, turns: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return skin(vertices, weights, *joint_transforms(joints, axis_angle_to_matrix(turns), (-1, 0, 1, 1, 1)))

    assert torch.autograd.gradcheck(moved, (vertices, joints, turns, weights))
    at_rest = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(axis_angle_to_matrix, (at_rest,))


def test_one_joint_alone_is_a_rotation_about_it() -> None:
    joints = torch.tensor([[[0.0, 0, 0], [0, 1, 0]]], dtype=torch.float64)
    turns = axis_angle_to_matrix(torch.tensor([[[0.0, 0, 0], [0, 0, torch.pi / 2]]], dtype=torch.float64))
    points = torch.tensor([[[0.0, 2, 0], [1, 1, 0]]], dtype=torch.float64)
    found = skin(points, torch.tensor([[0.0, 1], [1, 0]], dtype=torch.float64), *joint_transforms(joints, turns, (-1, 0)))
    torch.testing.assert_close(found, torch.tensor([[[-1.0, 1, 0], [1, 1, 0]]], dtype=torch.float64))


def code(head: FlameHead, frames: int = 3) -> HeadParameters:
    rng = np.random.default_rng(9)
    expression = rng.normal(size=(frames, head.expression_size)) * 0.5
    expression[:, -3:] = rng.normal(size=(frames, 3)) * 0.2
    identity = torch.from_numpy(rng.normal(size=head.identity_size))
    return replace(neutral_parameters(head, frames), identity=identity, expression=torch.from_numpy(expression))


def test_satisfies_the_protocol(head: FlameHead) -> None:
    assert isinstance(head, HeadModel)
    assert len(head.expression_names) == head.expression_size == 53 == len(head.expression_bounds) == len(head.expression_spread)
    assert head.expression_basis.shape == (53, VERTICES, 3)


def test_jaw_units_turn_the_jaw_and_jaw_pose_adds_to_them(head: FlameHead) -> None:
    by_unit = code(head)
    rest = torch.cat([by_unit.expression[:, :-3], torch.zeros(3, 3, dtype=torch.float64)], dim=1)
    by_pose = replace(by_unit, expression=rest, jaw_pose=by_unit.expression[:, -3:])
    torch.testing.assert_close(head.vertices(by_unit), head.vertices(by_pose))
    assert (head.vertices(by_unit) - head.vertices(replace(by_unit, expression=rest))).abs().max() > 1e-3


def test_placement_is_the_skulls_whatever_root_and_neck_do(files: tuple[FlameArrays, FlameLandmarks], head: FlameHead) -> None:
    arrays = replace(files[0], weights=np.eye(5)[np.arange(VERTICES) % 2], pose=np.zeros_like(files[0].pose))
    stiff, still = replace(head, arrays=arrays), code(head)
    bent = replace(still, head_pose=still.expression[:, :3], neck_pose=still.expression[:, 3:6])
    before, after = stiff.vertices(still), stiff.vertices(bent)
    skull, bust = np.arange(VERTICES) % 2 == 1, np.arange(VERTICES) % 2 == 0
    torch.testing.assert_close(before[:, skull], after[:, skull])
    inverse = before[:, bust] - before[:, bust].mean(dim=1, keepdim=True)
    expected = inverse @ axis_angle_to_matrix(bent.neck_pose)  # row vectors: turned back by the neck
    torch.testing.assert_close(after[:, bust] - after[:, bust].mean(dim=1, keepdim=True), expected)


def test_tracked_points_and_their_slopes(head: FlameHead) -> None:
    given, points = code(head), head.tracked_points()
    vertices = head.vertices(given)
    expected = torch.cat([head.landmarks(vertices), head.dense_landmarks(vertices)[:, :468]], dim=1).numpy()
    found = points.points(given.identity.numpy(), given.expression.numpy())
    assert points.known.sum() == 168 and np.isfinite(found).all()
    np.testing.assert_allclose(found[:, points.known], expected[:, points.known], atol=1e-12)
    np.testing.assert_allclose(points.rest(given.identity.numpy()), points.points(given.identity.numpy(), np.zeros((1, 53)))[0])
    both = np.concatenate([given.identity.numpy(), given.expression[0].numpy()])
    slopes, h = points.slopes(both[:IDENTITIES], both[IDENTITIES:]), 1e-6
    for column in (0, 57, 99, 100, 149, 150, 151, 152):
        ends = []
        for step in (h, -h):
            moved = both.copy()
            moved[column] += step
            ends.append(points.points(moved[:IDENTITIES], moved[None, IDENTITIES:])[0])
        np.testing.assert_allclose(slopes[..., column], (ends[0] - ends[1]) / (2 * h), atol=1e-8)


def test_chumpy_and_plain_files_are_the_same_model(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "flame2023.pkl"
    path.write_bytes(with_chumpy(random_model()))
    assert b"chumpy.ch" in path.read_bytes()
    plain, wrapped = read_flame(folder / "generic_model.pkl"), read_flame(path)
    for name, value in vars(plain).items():
        np.testing.assert_array_equal(value, getattr(wrapped, name))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_protocol_is_read(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(pickle.dumps(random_model(), protocol))
    np.testing.assert_array_equal(read_flame(path).template, random_model()["v_template"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shapedirs": np.zeros((VERTICES, 3, 10))}, "10 components"),
        ({"shapedirs": np.zeros((VERTICES - 1, 3, 400))}, "shapedirs has shape"),
        ({"v_template": np.full((VERTICES, 3), np.nan)}, "not finite"),
        ({"f": np.full((4, 3), VERTICES)}, "does not index"),
        ({"kintree_table": np.zeros((2, 24), int)}, "kintree_table has shape"),
        ({"kintree_table": np.array([[0, 0, 1, 2, 3]] * 2)}, "joints hang on"),
        ({"weights": "none"}, "weights"),
        ({"J_regressor": [[1, 2], [3]]}, "J_regressor"),
    ],
)
def test_another_model_is_named(change: dict[str, object], said: str, tmp_path: Path) -> None:
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(pickle.dumps(random_model() | change, 2))
    with pytest.raises(BadFile, match=said):
        read_flame(path)


def test_landmarks_with_eyes(files: tuple[FlameArrays, FlameLandmarks], tmp_path: Path) -> None:
    arrays, by_two = files
    static, dynamic = random_embeddings()
    front = [dynamic["lmk_face_idx"][0], static["lmk_face_idx"], [3, 4]]
    weights = [dynamic["lmk_b_coords"][0], static["lmk_b_coords"], np.full((2, 3), 1 / 3)]
    content = {"full_lmk_faces_idx": np.concatenate(front)[None], "full_lmk_bary_coords": np.concatenate(weights)[None]}
    content |= {"dynamic_lmk_faces_idx": dynamic["lmk_face_idx"], "dynamic_lmk_bary_coords": dynamic["lmk_b_coords"]}
    path = tmp_path / "landmark_embedding_with_eyes.npy"
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    found = read_landmarks((path,), arrays.faces)
    np.testing.assert_array_equal(found.static.corners, by_two.static.corners)
    np.testing.assert_array_equal(found.contour.weights, by_two.contour.weights)
    assert found.irises is not None and len(found.irises.corners) == 2
    content["full_lmk_bary_coords"] = content["full_lmk_bary_coords"][:, :50]
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(BadFile, match="full_lmk_bary_coords"):
        read_landmarks((path,), arrays.faces)


def test_the_105_points_of_facemesh(files: tuple[FlameArrays, FlameLandmarks], tmp_path: Path) -> None:
    rng, path = np.random.default_rng(3), tmp_path / "mediapipe_landmark_embedding.npz"
    index = rng.permutation(468)[:105]
    np.savez(path, lmk_face_idx=rng.integers(0, 90, 105), lmk_b_coords=rng.dirichlet(np.ones(3), 105), landmark_indices=index)
    dense = read_dense(path, files[0].faces)
    assert np.flatnonzero(np.isfinite(dense.weights).all(axis=1)).tolist() == sorted(index.tolist())


def test_missing_files_name_what_to_obtain(folder: Path, tmp_path: Path) -> None:
    from headcast.heads import load_head_model

    with pytest.raises(AssetMissing, match="flame2023_Open.pkl or flame2023.pkl or generic_model.pkl") as raised:
        load_head_model("flame", root=tmp_path)
    assert "https://flame.is.tue.mpg.de" in str(raised.value) and "licence" in str(raised.value)
    target = tmp_path / "assets/FLAME"
    target.mkdir(parents=True)
    (target / "generic_model.pkl").write_bytes((folder / "generic_model.pkl").read_bytes())
    (target / "flame_static_embedding.pkl").write_bytes(b"x")
    with pytest.raises(AssetMissing, match="flame_dynamic_embedding.npy"):
        load_head_model("flame", root=tmp_path)


def test_the_jaw_joint_drives_the_jaw(head: FlameHead) -> None:
    turn = torch.zeros(1, 5, 3, dtype=torch.float64)
    turn[0, JAW_JOINT, 0] = 0.3
    moved, _ = head.skinned(torch.zeros(1, 150, dtype=torch.float64), turn)
    features = 9 * (JAW_JOINT - 1)
    only_jaw = replace(head.arrays, pose=np.where(np.arange(36)[:, None, None] // 9 == features // 9, head.arrays.pose, 0.0))
    again, _ = replace(head, arrays=only_jaw).skinned(torch.zeros(1, 150, dtype=torch.float64), turn)
    torch.testing.assert_close(moved, again)
    assert json.dumps(list(head.expression_names)[-3:]) == '["jawX", "jawY", "jawZ"]'
