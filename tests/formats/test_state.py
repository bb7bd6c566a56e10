"""Training state: resumes the same work, starts anew for any other, and has one writer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from headcast.errors import HeadcastError
from headcast.formats.state import RING, fingerprint, open_store

STATE = {"index": 3, "x": torch.arange(4.0)}


def test_the_same_fingerprint_resumes_and_another_starts_anew(tmp_path: Path) -> None:
    with open_store(tmp_path, "a") as store:
        assert store.load() is None
        store.save(STATE)
    with open_store(tmp_path, "a") as store:
        loaded = store.load()
        assert loaded is not None
        assert loaded["index"] == 3
        assert torch.equal(loaded["x"], STATE["x"])
    with open_store(tmp_path, "b") as store:
        assert store.load() is None


def test_resume_training_false_forgets(tmp_path: Path) -> None:
    with open_store(tmp_path, "a") as store:
        store.save(STATE)
    with open_store(tmp_path, "a", resume=False) as store:
        assert store.load() is None


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def flip(path: Path) -> None:
    """One bit of the numbers changes; the file reads as before."""
    data = bytearray(path.read_bytes())
    place = data.index(torch.arange(4.0).numpy().tobytes())
    data[place + 7] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, flip])
def test_a_damaged_state_gives_way_to_the_one_before(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    with open_store(tmp_path, "a") as store:
        for index in range(5):
            store.save({**STATE, "index": index})
        assert sorted(path.name for path in tmp_path.glob("*.pt")) == sorted(RING)
        for expected in (4, 3, 2):
            loaded = store.load()
            assert loaded is not None and loaded["index"] == expected
            damage(store.paths[4 - expected])
        assert store.load() is None
        store.clear()
        assert not list(tmp_path.glob("*.pt"))


def test_a_kill_between_two_saves_loses_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path, "a") as store:
        store.save(STATE)
        store.paths[0].replace(store.paths[1])
        assert store.load() is not None


def test_there_is_never_a_second_writer(tmp_path: Path) -> None:
    with open_store(tmp_path, "a"), pytest.raises(HeadcastError, match="another process"), open_store(tmp_path, "a"):
        pass


def test_the_fingerprint_follows_every_part() -> None:
    base = fingerprint(code="1", settings={"steps": 3}, inputs=["x"])
    assert base == fingerprint(inputs=["x"], settings={"steps": 3}, code="1")
    assert (
        len(
            {
                base,
                fingerprint(code="2", settings={"steps": 3}, inputs=["x"]),
                fingerprint(code="1", settings={"steps": 4}, inputs=["x"]),
            }
        )
        == 3
    )
