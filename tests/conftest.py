"""One finished run of the whole workflow for all tests that need one; who changes it works on a copy or puts back what was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from tests.workflow.test_plan import ROOT, snakemake
from tests.workflow.tiny import AVATAR, TARGETS, options

settings.register_profile("steady", deadline=None)  # a loaded machine is no failure
settings.load_profile("steady")


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's raw capture without its ground truth."""
    root = tmp_path_factory.mktemp("capture")
    shutil.copytree(ROOT / "assets/demo/demo", root / "demo")
    return root


@pytest.fixture(scope="session")
def finished(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the whole workflow has run; ground truth appears only after the avatar is made."""
    folder = tmp_path_factory.mktemp("run")
    for targets in ([AVATAR], TARGETS):
        done = snakemake(*options(raw), *targets, folder=folder)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        if not (raw / "ground_truth").exists():
            shutil.copytree(ROOT / "assets/demo/ground_truth", raw / "ground_truth")
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """The finished run once more, for a test that changes it."""
    return Path(shutil.copytree(finished, tmp_path / "run", symlinks=True))
