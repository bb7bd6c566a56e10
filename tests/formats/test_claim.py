"""The log of a job is its lock: a second process waits, also for what a killed one left running, and then says one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headcast.errors import HeadcastError
from headcast.formats.claim import claim_log

ROOT = Path(__file__).parent.parent.parent
HOLDER = """
import os, subprocess, sys, time
from pathlib import Path
from headcast.formats.claim import claim_log

log = claim_log(Path(sys.argv[1]), lambda: None)
os.dup2(log, 1)
os.close(log)
if "helper" in sys.argv:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
Path(sys.argv[2]).write_text("ready")
time.sleep(60)
"""


def hold(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    """A process that holds the log, in a group of its own."""
    command = [sys.executable, "-c", HOLDER, str(folder / "logs/a.log"), str(folder / "ready"), *more]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True)
    while not (folder / "ready").exists():
        assert process.poll() is None
        time.sleep(0.02)
    return process


def claimed(folder: Path, patience: float) -> str:
    """What the log holds once it is ours."""
    stream = claim_log(folder / "logs/a.log", lambda: None, patience=patience)
    os.close(stream)
    return (folder / "logs/a.log").read_text()


def test_the_log_is_emptied_and_names_its_process(tmp_path: Path) -> None:
    claimed(tmp_path, 0)
    with open(tmp_path / "logs/a.log", "a") as log:
        log.write("of an earlier run\n")
    assert claimed(tmp_path, 0).startswith(f"process {os.getpid()} on ")
    assert "earlier" not in claimed(tmp_path, 0)


def test_while_another_works_the_wait_is_bounded_and_its_log_stays(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    try:
        told: list[None] = []
        with pytest.raises(HeadcastError, match=rf"a\.log: another process {holder.pid} on \S+ still works on this; "):
            claim_log(tmp_path / "logs/a.log", lambda: told.append(None), patience=0.5)
        assert len(told) == 1
        assert f"process {holder.pid}" in (tmp_path / "logs/a.log").read_text()
    finally:
        holder.kill()
        holder.wait()
    assert f"process {os.getpid()}" in claimed(tmp_path, 10)


def test_removing_the_log_as_snakemake_does_does_not_remove_the_lock(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    try:
        (tmp_path / "logs/a.log").unlink()
        with pytest.raises(HeadcastError, match=f"process {holder.pid}"):
            claimed(tmp_path, 0.5)
    finally:
        holder.kill()
        holder.wait()
    assert f"process {os.getpid()}" in claimed(tmp_path, 10)


def test_a_helper_that_outlives_its_killed_job_keeps_the_lock(tmp_path: Path) -> None:
    holder = hold(tmp_path, "helper")
    try:
        holder.kill()
        holder.wait()
        with pytest.raises(HeadcastError, match="still works on this"):
            claimed(tmp_path, 0.5)
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
    assert f"process {os.getpid()}" in claimed(tmp_path, 10)


def test_a_job_that_nobody_wants_any_more_leaves_the_log_of_the_next_run_alone(tmp_path: Path) -> None:
    stream = claim_log(tmp_path / "a.log", lambda: None)
    os.write(stream, b"of the next run\n")
    os.close(stream)
    with pytest.raises(KeyboardInterrupt):
        claim_log(tmp_path / "a.log", lambda: None, wanted=lambda: False)
    assert "of the next run" in (tmp_path / "a.log").read_text()
    os.close(claim_log(tmp_path / "a.log", lambda: None, patience=0))
