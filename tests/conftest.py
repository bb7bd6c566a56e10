"""Finished runs of the whole workflow, for tests that work on a copy or put back what was; how long each lane took."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from tests.workflow.test_plan import ROOT, snakemake
from tests.workflow.tiny import AVATAR, TARGETS, options

settings.register_profile("steady", deadline=None)  # a loaded machine is no failure
settings.load_profile("steady")
LANES = ("conda", "slurm", "faults", "workflow")
TIMES = "HEADCAST_TIMES"
"""Environment variable: a file to which the times of the lanes are appended, for runs that are split over processes."""
_took: dict[str, dict[str, float]] = {}


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


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the smallest whole workflow ran in peace: what disturbed runs are compared with."""
    from tests.faults.workflow_run import Run

    run = Run(tmp_path_factory.mktemp("undisturbed"))
    try:
        run.finish()
    finally:
        run.stop_everything()
    return run.folder


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add what a test, its fixtures included, took to its lane; lanes of several modules are told module by module."""
    lane = next((name for name in LANES if name in report.keywords), "units")
    module = Path(report.nodeid.split("::")[0]).stem.removeprefix("test_")
    row = _took.setdefault(lane if lane in ("workflow", "units") else f"{lane}: {module}", {"seconds": 0.0})
    row["seconds"] += report.duration
    if report.when == "call" or report.outcome != "passed":
        row[report.outcome] = row.get(report.outcome, 0) + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the lanes and append them to the file that HEADCAST_TIMES names."""
    rows = []
    for lane, row in sorted(_took.items()):
        outcomes = ", ".join(f"{row[name]:.0f} {name}" for name in ("passed", "skipped", "failed") if name in row)
        rows.append(f"{lane:24} {row['seconds']:7.0f} s  {outcomes}")
    terminalreporter.section("seconds of each lane")
    terminalreporter.write_line("\n".join(rows))
    if os.environ.get(TIMES):
        with open(os.environ[TIMES], "a", encoding="utf-8") as stream:
            stream.write("".join(f"{row}\n" for row in rows))
