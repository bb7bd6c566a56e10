"""The embedded head finds itself in a head of its own kind, wherever that is, and carries over what it knows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from headcast.heads.linear_head import LinearHead
from headcast.heads.transfer import Surface, carry, jaw_share
from tests.heads.loaded import loaded_head


@pytest.fixture(scope="module")
def head() -> LinearHead:
    return loaded_head()


def another(head: LinearHead, skin: np.ndarray) -> Surface:
    """A person of the model, larger, turned and elsewhere."""
    identity = np.random.default_rng(4).normal(size=head.identity_size) * 0.8
    shape = head.mean + np.einsum("i,ivc->vc", identity, head.identity_basis)
    moved = 1.1 * shape @ Rotation.from_euler("xyz", (8, -15, 5), degrees=True).as_matrix().T + [0.1, -0.2, 0.3]
    share = jaw_share(head.expression_basis[head.expression_names.index("jawOpen")])
    return Surface(moved, head.faces, head.landmark_embedding.on(moved), skin, share)


def test_regions_and_dense_points_of_a_person_of_its_own_kind(head: LinearHead) -> None:
    surface = another(head, head.skin)
    carried = carry(head, surface)
    skin = head.skin
    assert np.abs(carried.scalp - head.scalp)[skin].mean() < 0.03
    assert (carried.face == head.face)[skin].mean() > 0.97
    assert np.abs(carried.head_weight - head.head_weight)[skin].mean() < 0.03
    assert (carried.mouth_interior & ~head.mouth_interior).sum() < 0.02 * skin.sum()
    true = head.dense_embedding.on(surface.vertices)[:468]
    distance = np.linalg.norm(carried.dense.on(surface.vertices)[:468] - true, axis=1)
    assert np.isfinite(distance).mean() > 0.97 and np.nanmedian(distance) < 2e-3 and np.nanpercentile(distance, 95) < 6e-3


def test_the_lips_stay_apart(head: LinearHead) -> None:
    surface = another(head, head.skin)
    carried = carry(head, surface)
    assert surface.opening is not None
    follows = (surface.opening[carried.dense.corners] * carried.dense.weights).sum(axis=1)
    assert np.nanmin(follows[[14, 17, 87, 317]]) > 0.35 > np.nanmax(follows[[13, 0, 82, 312]])  # lower lip, upper lip
