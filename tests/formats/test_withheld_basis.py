"""A basis that may not travel is not in the file, and comes back from the user's own model or not at all."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from headcast.errors import AssetMissing, BadFile
from headcast.formats import withheld_basis
from headcast.formats.avatar_file import read_avatar, write_avatar
from tests.ball import ball_avatar, camera

SOURCES = {"assets/FLAME/generic_model.pkl": "ab" * 32}
SCALE = 1.25


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """results/anna/TALK/avatar.pth, its basis withheld, in an otherwise empty working folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results/anna/TALK/avatar.pth"
    path.parent.mkdir(parents=True)
    write_avatar(path, ball_avatar(), {"withheld_basis": withheld_basis.reference("flame", SCALE, SOURCES)})
    return path


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, sources: dict[str, str]) -> None:
    basis = ball_avatar().canonical.expression_basis.double().numpy() / SCALE
    (folder / "models").mkdir()
    (folder / "models/flame.npz").touch()
    model = SimpleNamespace(sources=sources, expression_basis=basis)
    monkeypatch.setattr(withheld_basis, "load_head_model", lambda name, cache: model)


def test_the_basis_is_not_in_the_file(written: Path) -> None:
    assert withheld_basis.TENSOR not in torch.load(written, weights_only=True)["tensors"]


def test_without_the_model_the_user_is_told_what_to_build(written: Path) -> None:
    with pytest.raises(AssetMissing, match="licence does not let its basis travel.*snakemake results/models/flame.npz"):
        read_avatar(written)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_users_own_model_completes_it(written: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, elsewhere: bool) -> None:
    if elsewhere:  # beside the avatar's results, wherever the program runs
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
    install(monkeypatch, tmp_path / "results", SOURCES)
    again, before = read_avatar(written), ball_avatar()
    np.testing.assert_allclose(again.canonical.expression_basis, before.canonical.expression_basis, atol=1e-9)
    images = [avatar.render(expression={"jawOpen": 0.5}, camera=camera()).image for avatar in (again, before)]
    torch.testing.assert_close(images[0], images[1], atol=1e-4, rtol=0)
    write_avatar(written, again, again.metadata)
    assert withheld_basis.TENSOR not in torch.load(written, weights_only=True)["tensors"]


def test_another_version_of_the_model_is_refused(written: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path / "results", {"assets/FLAME/flame2023.pkl": "cd" * 32})
    with pytest.raises(BadFile, match="other files"):
        read_avatar(written)
