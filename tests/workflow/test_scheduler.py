"""What the scheduler's process does for its jobs: tells them whom to follow, shows that it lives, takes them along."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCHEDULER = """
import os, subprocess, sys, time
from headcast.workflow.scheduler import lead_jobs, take_jobs_along

lead_jobs()
take_jobs_along()
jobs = [subprocess.Popen([sys.executable, *more]) for more in (["-m", "scripts.job"], ["-c", "import time; time.sleep(30)"])]
while not os.path.exists("told"):
    assert jobs[0].poll() is None
    time.sleep(0.02)
try:
    print("ready", flush=True)
    jobs[0].wait()
except KeyboardInterrupt:
    jobs[0].wait()
print("job", jobs[0].returncode, "other", jobs[1].poll(), flush=True)
jobs[1].kill()
"""
JOB = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
open("told.new", "w").write(os.environ["HEADCAST_SCHEDULER"])
os.rename("told.new", "told")
time.sleep(30)
"""


@pytest.fixture
def scheduler(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A process that leads one job and runs one other program."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/__init__.py").touch()
    (tmp_path / "scripts/job.py").write_text(JOB)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}"}
    code = "import signal; signal.signal(signal.SIGTERM, lambda *_: None)\n" + SCHEDULER
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_scheduler_reaches_its_jobs_and_no_other_program(number: int, scheduler: subprocess.Popen[str]) -> None:
    scheduler.send_signal(number)
    assert scheduler.communicate(timeout=10)[0] == "job 130 other None\n"


def test_jobs_know_their_scheduler(scheduler: subprocess.Popen[str], tmp_path: Path) -> None:
    assert (tmp_path / "told").read_text() == str(scheduler.pid)


def test_a_living_scheduler_holds_the_lock_and_a_killed_one_does_not(scheduler: subprocess.Popen[str], tmp_path: Path) -> None:
    with open(tmp_path / ".snakemake/headcast.lock") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        scheduler.kill()
        scheduler.wait()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.05)
    pytest.fail("the lock outlived its holder")
