"""avatar.pth: self-contained, sealed, deterministic, and safe to open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import headcast
from headcast.errors import AssetMissing, BadFile
from headcast.formats.avatar_file import read_avatar, read_metadata, write_avatar
from tests.ball import ball_avatar, camera

FACTS = {"subject": "ball", "licences": {"head": "CC0-1.0"}, "metrics": {"psnr": 30.5}}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_avatar(tmp_path / "avatar.pth", ball_avatar(), FACTS)
    return tmp_path / "avatar.pth"


def test_an_avatar_renders_the_same_after_the_file(written: Path) -> None:
    before, after = ball_avatar(), headcast.load_avatar(written)
    for arguments in ({}, {"expression": {"jawOpen": 0.5}, "head_pose": [0, 0.3, 0, 0, 0, 0]}, {"hair": False}):
        one, two = (avatar.render(camera=camera(), **arguments) for avatar in (before, after))
        assert torch.equal(one.image, two.image) and torch.equal(one.alpha, two.alpha)
    assert after.metadata["licences"] == FACTS["licences"] and len(after.metadata["digest"]) == 64
    assert read_metadata(written)["metrics"] == {"psnr": 30.5}


def test_an_avatar_without_hair_is_an_avatar(tmp_path: Path) -> None:
    write_avatar(tmp_path / "bald.pth", ball_avatar(hair=False), {})
    assert read_avatar(tmp_path / "bald.pth").hair is None


def test_only_tensors_and_text_are_inside(written: Path) -> None:
    content = torch.load(written, weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in content["tensors"].values())
    assert {type(content[name]) for name in ("format", "metadata", "digest")} == {str}


def test_the_same_avatar_gives_the_same_bytes(tmp_path: Path) -> None:
    seals = [write_avatar(tmp_path / name, ball_avatar(), FACTS) for name in ("a.pth", "b.pth")]
    assert seals[0] == seals[1]
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()
    assert write_avatar(tmp_path / "c.pth", ball_avatar(), {**FACTS, "subject": "other"}) != seals[0]


def altered(content: dict, kind: str) -> dict:
    if kind == "tensor":
        content["tensors"]["head/color"] = content["tensors"]["head/color"] + 0.01
    elif kind == "metadata":
        content["metadata"] = content["metadata"].replace("CC0-1.0", "none")
    elif kind == "missing":
        del content["tensors"]["head/color"]
    elif kind == "version":
        content["version"] = 99
    elif kind == "format":
        content["format"] = "something"
    return content


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("tensor", "digest"),
        ("metadata", "digest"),
        ("missing", "digest"),
        ("version", "format 99"),
        ("format", "not an avatar file"),
    ],
)
def test_alterations_are_found(written: Path, kind: str, says: str) -> None:
    torch.save(altered(torch.load(written, weights_only=True), kind), written)
    with pytest.raises(BadFile, match=says) as caught:
        read_avatar(written)
    assert "\n" not in str(caught.value) and str(written) in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_one_line(written: Path, share: float) -> None:
    content = written.read_bytes()
    written.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadFile, match="not a readable avatar") as caught:
        read_avatar(written)
    assert "\n" not in str(caught.value)


def test_code_in_a_file_does_not_run(tmp_path: Path) -> None:
    torch.save({"format": "headcast.avatar", "payload": Path}, tmp_path / "evil.pth")
    with pytest.raises(BadFile):
        read_avatar(tmp_path / "evil.pth")


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(AssetMissing, match="train it"):
        headcast.load_avatar(tmp_path / "nothing.pth")


def test_broken_numbers_are_never_written(tmp_path: Path) -> None:
    avatar = ball_avatar()
    with torch.no_grad():
        avatar.head.color[0, 0] = torch.nan
    with pytest.raises(BadFile, match="head/color"):
        write_avatar(tmp_path / "avatar.pth", avatar, {})
    assert not list(tmp_path.iterdir())


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, headcast, headcast.config; assert 'torch' not in sys.modules; print(headcast.__version__)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == headcast.__version__
