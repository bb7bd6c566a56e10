"""The rig, the performance and the subdivision that the demo stands on."""

from __future__ import annotations

import numpy as np
import pytest

from headcast.capture.calibration import check_calibration, focus
from headcast.demo import cameras, performance
from headcast.demo.geometry_files import control_quads
from headcast.demo.surfaces import catmull_clark
from tests.demo.conftest import CUBE, QUADS


def test_the_rig_is_nersembles_and_faces_the_head() -> None:
    rig = cameras.rig()
    assert len(rig) == 16
    assert list(rig) == sorted(rig)
    assert {"222200046", "222200037", "222200039"} <= set(rig)
    check_calibration(list(rig.values()), "rig")
    assert np.linalg.norm(focus(list(rig.values())) - cameras.TARGET) < 0.02
    azimuth = [cameras.placement(camera)["azimuth_deg"] for camera in rig.values()]
    assert 90 < max(azimuth) - min(azimuth) < 98


@pytest.mark.parametrize("sequence", performance.SEQUENCES)
def test_the_performance_starts_at_rest_and_moves_smoothly(sequence: str) -> None:
    angles = performance.head_angles(sequence, 8)
    assert angles.shape == ((performance.FRAMES - 1) * 8 + 1, 3)
    assert np.array_equal(angles[0], [0, 0, 0])
    assert np.abs(np.diff(angles, axis=0)).max() < 3
    turn = performance.rotation(angles[20])
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert len(performance.EXPRESSIONS[sequence]) == performance.FRAMES
    names = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight")
    assert not performance.expression("HAIR", 0, names).any()
    assert performance.expression("HAIR", 6, names).tolist() == [0, 0.95, 0.95]


def test_subdivision_of_a_cube_is_closed_and_its_control_quads_come_back() -> None:
    matrix, finer = catmull_clark(QUADS, len(CUBE))
    assert matrix.shape == (26, 8)
    np.testing.assert_allclose(np.asarray(matrix.sum(axis=1)).ravel(), 1)
    edges = np.sort(np.stack([finer, np.roll(finer, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    assert np.array_equal(control_quads(finer), QUADS)
