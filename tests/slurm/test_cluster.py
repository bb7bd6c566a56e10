"""Where no Slurm can be started, the lane says why and leaves another Slurm alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from . import cluster


@pytest.fixture
def able(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has all it takes; its /etc/slurm."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(cluster, "PROGRAMS", ("sh",))
    monkeypatch.setattr(cluster, "ETC", tmp_path)
    assert cluster.missing() == ""
    return tmp_path


def test_it_takes_root(able: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in cluster.missing()


def test_it_names_the_programs_to_install(able: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PROGRAMS", ("sh", "no-such-slurmd"))
    assert cluster.missing() == "no-such-slurmd not found: apt-get install slurm-wlm munge"


def test_another_slurm_is_left_alone_and_what_a_killed_test_left_is_not(able: Path) -> None:
    link = able / "slurm.conf"
    link.symlink_to(f"/nowhere/{cluster.PREFIX}x/slurm.conf")
    assert cluster.missing() == ""
    link.unlink()
    link.symlink_to(__file__)
    assert f"{link} belongs to another Slurm" in cluster.missing()
