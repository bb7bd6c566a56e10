"""Products: whole or not there, and never silently different from their manifest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from headcast.errors import BadFile
from headcast.formats.atomic import atomic_path
from headcast.formats.manifest import read_product, write_product

PIXELS = np.random.default_rng(0).integers(0, 255, (8, 6, 3), dtype=np.uint8)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "images" / "manifest.json"
    with write_product(path, "images") as writer:
        writer.facts["frames"] = 1
        writer.add_image("0000/a.png", PIXELS)
        writer.add_arrays("b.npz", x=np.arange(3))
    return path


def test_what_was_written_is_read(manifest: Path) -> None:
    product = read_product(manifest, "images")
    np.testing.assert_array_equal(product.image("0000/a.png"), PIXELS)
    np.testing.assert_array_equal(product.arrays("b.npz")["x"], np.arange(3))
    assert product.facts == {"frames": 1}


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_changed_member_is_noticed_on_read(manifest: Path, damage: str) -> None:
    member = manifest.parent / "0000/a.png"
    data = bytearray(member.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        member.write_bytes(data)
    elif damage == "cut":
        member.write_bytes(data[:-1])
    else:
        member.unlink()
    with pytest.raises(BadFile, match=r"a\.png"):
        read_product(manifest, "images").image("0000/a.png")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": "headcast/manifest@0"}', "<html>"])
def test_anything_else_is_not_a_manifest(manifest: Path, content: str) -> None:
    manifest.write_text(content)
    with pytest.raises(BadFile, match="run the images stage again"):
        read_product(manifest, "images")


def test_the_manifest_of_another_stage_is_refused(manifest: Path) -> None:
    with pytest.raises(BadFile, match="mattes"):
        read_product(manifest, "mattes")


def test_an_interrupted_product_has_no_manifest_and_leftovers_go_with_the_next_one(manifest: Path) -> None:
    def interrupted() -> None:
        with write_product(manifest, "images") as writer:
            writer.add_image("0000/new.png", PIXELS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not manifest.exists()
    with write_product(manifest, "images") as writer:
        writer.add_image("0001/a.png", PIXELS)
    assert {p.relative_to(manifest.parent).as_posix() for p in manifest.parent.rglob("*") if p.is_file()} == {
        "0001/a.png",
        "manifest.json",
    }


def test_the_digest_follows_the_content_only(manifest: Path, tmp_path: Path) -> None:
    other = tmp_path / "copy" / "manifest.json"
    with write_product(other, "images") as writer:
        writer.facts["frames"] = 1
        writer.add_arrays("b.npz", x=np.arange(3))
        writer.add_image("0000/a.png", PIXELS)
    assert read_product(other, "images").digest == read_product(manifest, "images").digest
    with write_product(other, "images") as writer:
        writer.facts["frames"] = 1
        writer.add_arrays("b.npz", x=np.arange(4))
        writer.add_image("0000/a.png", PIXELS)
    assert read_product(other, "images").digest != read_product(manifest, "images").digest


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "images" / "manifest.json"
    with write_product(path, "images") as writer:
        writer.add_arrays("evil.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadFile, match=r"evil\.npz"):
        read_product(path, "images").arrays("evil.npz")


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    path.write_text("old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    assert json.loads('"old"') == "old"
