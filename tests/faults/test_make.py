"""``make demo`` among other runs: refused while one lives, unlocks what a killed one left, and passes signals on.

Snakemake is a stand-in here that says what it was called with and works until it is told to go on.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.workflow.test_plan import ROOT

from .workflow_run import wait_for

STAND_IN = """#!/bin/sh
echo "$$ $*" >> calls
case "$*" in *--unlock*) rm -r .snakemake/locks; exit 0;; esac
mkdir -p .snakemake/locks && touch .snakemake/locks/0.input.lock
while [ ! -e go ]; do sleep 0.05; done
rm -r .snakemake/locks
"""


class Make:
    """A checkout whose environment holds only stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, list[subprocess.Popen[bytes]]()
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, folder)
        for name, text in {"snakemake": STAND_IN, "python": "#!/bin/sh\necho summary >> calls\n"}.items():
            path = folder / "venv/bin" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        (folder / "venv/.installed").touch()

    def start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["make", "demo", "VENV=venv"], cwd=self.folder, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.started.append(process)
        return process

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def snakemake(self, number: int) -> int:
        """Process of the ``number``-th call, once it works."""
        wait_for(
            lambda: len(self.calls()) > number and (self.folder / ".snakemake/locks/0.input.lock").exists(),
            20,
            "nothing was called",
        )
        return int(self.calls()[number].split()[0])


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    make = Make(tmp_path)
    yield make
    (tmp_path / "go").touch()
    for process in make.started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_second_make_is_refused_with_one_line_and_unlocks_nothing(make: Make) -> None:
    first = make.start()
    make.snakemake(0)
    second = make.start()
    said = second.communicate(timeout=20)[1].decode()
    assert second.returncode != 0
    assert "headcast: another run is at work here; wait for it or stop it" in said
    assert len(make.calls()) == 1
    (make.folder / "go").touch()
    assert first.wait(20) == 0
    assert make.calls()[-1] == "summary"


def test_a_run_that_make_did_not_start_is_respected_too(make: Make) -> None:
    (make.folder / ".snakemake").mkdir()
    with open(make.folder / ".snakemake/headcast.lock", "w") as running:
        fcntl.flock(running, fcntl.LOCK_SH)
        assert make.start().wait(20) != 0
    assert make.calls() == []


def test_what_a_killed_make_left_is_unlocked_by_the_next(make: Make) -> None:
    first = make.start()
    make.snakemake(0)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    (make.folder / "go").touch()
    assert make.start().wait(20) == 0
    assert ["--unlock" in call for call in make.calls()] == [False, True, False, False]


def test_the_lock_lives_as_long_as_snakemake_when_only_make_is_killed(make: Make) -> None:
    first = make.start()
    snakemake = make.snakemake(0)
    first.kill()
    first.wait()
    assert make.start().wait(20) != 0
    os.kill(snakemake, signal.SIGKILL)
    (make.folder / "go").touch()
    wait_for(lambda: make.start().wait(20) == 0, 20, "the lock outlived its holder")


def test_a_signal_to_make_reaches_snakemake(make: Make) -> None:
    first = make.start()
    snakemake = make.snakemake(0)
    first.terminate()
    assert first.wait(20) != 0
    wait_for(lambda: not Path(f"/proc/{snakemake}").exists(), 5, "snakemake goes on")
