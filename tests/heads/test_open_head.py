"""The open head: geometry of its parts, eyes that turn rigidly, masks, placement and its cache file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headcast.errors import BadFile, ConfigError
from headcast.geometry.rotations import axis_angle_to_matrix
from headcast.heads import HeadModel, load_head_model
from headcast.heads.cache import write_cache
from headcast.heads.linear_head import LinearHead
from headcast.heads.model import HeadParameters, neutral_parameters
from headcast.heads.open_build import RECIPE
from headcast.heads.open_head import load
from tests.heads.loaded import loaded_head

RIGHT_TO_LEFT = {36: 45, 39: 42, 48: 54, 31: 35, 17: 26, 21: 22, 0: 16, 4: 12, 60: 64}


@pytest.fixture(scope="module")
def head() -> LinearHead:
    return loaded_head()


@pytest.fixture(scope="module")
def rest(head: LinearHead) -> HeadParameters:
    return neutral_parameters(head, 1)


def with_unit(parameters: HeadParameters, head: LinearHead, **units: float) -> HeadParameters:
    expression = torch.zeros(1, head.expression_size, dtype=torch.float64)
    for name, value in units.items():
        expression[0, head.expression_names.index(name)] = value
    return replace(parameters, expression=expression)


def test_satisfies_the_protocol(head: LinearHead) -> None:
    assert isinstance(head, HeadModel)
    assert head.identity_size == 100 and head.expression_size == 52
    assert head.faces.min() == 0 and head.faces.max() == len(head.mean) - 1


def test_unknown_model_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="open"):
        load_head_model("flam")


def test_is_an_adult_head(head: LinearHead, rest: HeadParameters) -> None:
    points = head.landmarks(head.vertices(rest))[0].numpy()
    assert 0.080 < np.linalg.norm(points[36] - points[45]) < 0.105  # outer eye corners
    assert 0.040 < np.linalg.norm(points[48] - points[54]) < 0.062  # mouth
    assert 0.095 < points[27, 1] - points[8, 1] < 0.135  # nasion to chin


def test_landmarks_are_ordered_and_symmetric(head: LinearHead, rest: HeadParameters) -> None:
    points = head.landmarks(head.vertices(rest))[0].numpy()
    for right, left in RIGHT_TO_LEFT.items():
        assert points[right, 0] < 0 < points[left, 0]
        np.testing.assert_allclose(points[right] * [-1, 1, 1], points[left], atol=4e-3)
    assert points[19, 1] > points[37, 1] > points[41, 1] > points[33, 1] > points[51, 1] > points[57, 1] > points[8, 1]


def test_mirror_is_an_involution_that_mirrors_the_units(head: LinearHead) -> None:
    np.testing.assert_array_equal(head.mirror[head.mirror], np.arange(len(head.mean)))
    left, right = (head.expression_basis[head.expression_names.index(f"mouthSmile{side}")] for side in ("Left", "Right"))
    np.testing.assert_allclose(left[head.mirror] * [-1, 1, 1], right, atol=2e-3)


def test_jaw_opens_downwards_and_the_skull_stays(head: LinearHead, rest: HeadParameters) -> None:
    closed, opened = (head.vertices(with_unit(rest, head, jawOpen=value))[0].numpy() for value in (0.0, 1.0))
    lips = [head.landmarks(torch.from_numpy(v)[None])[0].numpy() for v in (closed, opened)]
    assert lips[0][66, 1] - lips[1][66, 1] > 0.015
    np.testing.assert_allclose(closed[head.scalp > 0.5], opened[head.scalp > 0.5], atol=2e-4)


def test_eyes_turn_rigidly_about_their_centres(head: LinearHead, rest: HeadParameters) -> None:
    turned = replace(rest, eye_pose=torch.tensor([[0.0, 0.3, 0.0, 0.0, 0.3, 0.0]], dtype=torch.float64))
    before, after = (head.vertices(p)[0].numpy() for p in (rest, turned))
    for eye in head.eyes:
        arms = [v[eye] - v[eye].mean(axis=0) for v in (before, after)]
        np.testing.assert_allclose(np.linalg.norm(arms[0], axis=1), np.linalg.norm(arms[1], axis=1), atol=1e-9)
        np.testing.assert_allclose(before[eye].mean(axis=0), after[eye].mean(axis=0), atol=1e-9)
    still = np.setdiff1d(np.arange(len(before)), np.concatenate(head.eyes))
    np.testing.assert_array_equal(before[still], after[still])
    pupils = [head.dense_landmarks(torch.from_numpy(v)[None])[0, [468, 473], 0].numpy() for v in (before, after)]
    assert (pupils[1] - pupils[0] > 1e-3).all()  # about +y: towards +x, the subject's left


def test_looking_units_turn_the_eyeballs(head: LinearHead, rest: HeadParameters) -> None:
    looking = head.vertices(with_unit(rest, head, eyeLookOutLeft=1.0))
    pupils = [head.dense_landmarks(v)[0, 473, 0].item() for v in (head.vertices(rest), looking)]
    assert pupils[1] - pupils[0] > 2e-3


def test_placement_is_a_similarity_of_skull_points(head: LinearHead, rest: HeadParameters) -> None:
    rotation = torch.tensor([[0.3, -0.5, 0.2]], dtype=torch.float64)
    translation = torch.tensor([[0.1, 0.2, -0.4]], dtype=torch.float64)
    placed = replace(rest, rotation=rotation, translation=translation, scale=torch.tensor(1.1, dtype=torch.float64))
    expected = 1.1 * head.vertices(rest)[0] @ axis_angle_to_matrix(rotation)[0].T + translation
    torch.testing.assert_close(head.vertices(placed)[0], expected)


def test_neck_pose_turns_the_bust_back_and_leaves_the_skull(head: LinearHead, rest: HeadParameters) -> None:
    turn = torch.tensor([[0.0, 0.4, 0.0]], dtype=torch.float64)
    shifted = replace(rest, rotation=turn, neck_pose=turn)
    before, after = (head.vertices(p)[0].numpy() for p in (rest, shifted))
    skull, bust = head.head_weight == 1, head.head_weight == 0
    assert skull.sum() > 2000 and bust.sum() > 100
    np.testing.assert_allclose(after[skull], before[skull] @ axis_angle_to_matrix(turn)[0].numpy().T, atol=1e-9)
    pivot = head.neck_pivot
    moved = pivot @ axis_angle_to_matrix(turn)[0].numpy().T - pivot
    np.testing.assert_allclose(after[bust], before[bust] + moved, atol=1e-9)  # it keeps its orientation


def test_masks_are_where_their_names_say(head: LinearHead) -> None:
    height, depth = head.mean[:, 1], head.mean[:, 2]
    assert height[head.scalp > 0.9].mean() > height[head.face].mean()
    assert depth[head.face].mean() > depth[head.scalp > 0.9].mean()
    assert not (head.scalp[head.face] > 0.5).any()
    assert not (head.skin & head.mouth_interior).any()
    assert head.face[np.concatenate(head.eyes)].all() and not head.skin[np.concatenate(head.eyes)].any()
    assert head.scalp.min() >= 0.0 and head.scalp.max() == 1.0
    assert ((head.scalp > 0.05) & (head.scalp < 0.95)).sum() > 30  # a soft hairline
    assert head.face[head.landmark_embedding.corners[17:]].all()


def test_identity_keeps_heads_plausible_and_differentiable(head: LinearHead) -> None:
    identity = torch.from_numpy(np.random.default_rng(3).normal(size=head.identity_size)).requires_grad_()
    vertices = head.neutral(identity)
    assert 2e-3 < (vertices - torch.from_numpy(head.mean)).norm(dim=1).mean() < 2.5e-2
    vertices.square().sum().backward()
    assert identity.grad is not None and torch.isfinite(identity.grad).all() and identity.grad.abs().max() > 0


def test_cache_is_read_back_alike_and_damage_is_named(head: LinearHead, tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "open.npz"
    arrays = {name: getattr(head, name) for name in ("mean", "identity_basis", "expression_basis", "gaze", "faces", "base_index")}
    arrays |= {
        name: getattr(head, name) for name in ("scalp", "face", "skin", "mouth_interior", "head_weight", "mirror", "neck_pivot")
    }
    arrays |= {"left_eye": head.eyes[0], "right_eye": head.eyes[1], "expression_names": np.array(head.expression_names)}
    arrays |= {"landmark_corners": head.landmark_embedding.corners, "landmark_weights": head.landmark_embedding.weights}
    arrays |= {"dense_corners": head.dense_embedding.corners, "dense_weights": head.dense_embedding.weights}
    write_cache(cache, arrays | {"recipe": np.array(RECIPE)})
    again = load(cache)
    np.testing.assert_array_equal(again.identity_basis, head.identity_basis)
    assert again.expression_names == head.expression_names
    cache.write_bytes(cache.read_bytes()[:5000])
    with pytest.raises(BadFile, match="damaged"):
        load(cache)
