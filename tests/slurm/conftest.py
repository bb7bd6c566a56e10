"""One cluster and one scheduling environment for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import Cluster, missing, running_cluster
from .scheduler import make_scheduler


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Environment that schedules."""
    return make_scheduler(tmp_path_factory.mktemp("scheduler") / "venv")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running Slurm, or a skip that says what is missing."""
    reason = missing()
    if reason:
        pytest.skip(f"no Slurm here: {reason}")
    with running_cluster() as running:
        yield running
