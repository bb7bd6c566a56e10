"""Views spread over processes: the same product for any number of workers, errors come through, no worker survives its stage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headcast.errors import BadFile
from headcast.formats.manifest import read_product, write_product
from headcast.stages.views import write_members

ROOT = Path(__file__).parent.parent.parent


def work(number: int) -> dict[str, bytes]:
    if number < 0:
        raise BadFile("view", "is broken")
    return {f"{number:04d}/member.bin": bytes([number])}


def product(folder: Path, jobs: list[tuple[int]], workers: int) -> str:
    with write_product(folder / "manifest.json", "test") as writer:
        write_members(writer, work, jobs, workers, lambda *_: None)
    return read_product(folder / "manifest.json", "test").digest


def test_any_number_of_workers_writes_the_same_product(tmp_path: Path) -> None:
    jobs = [(number,) for number in range(6)]
    assert product(tmp_path / "one", jobs, 1) == product(tmp_path / "two", jobs, 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_is_the_stage_s_error_and_leaves_no_manifest(workers: int, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="is broken"):
        product(tmp_path, [(1,), (-1,)], workers)
    assert not (tmp_path / "manifest.json").exists()


SCRIPT = """
import os, sys, time
from pathlib import Path
from headcast.formats.manifest import write_product
from headcast.process.signals import catch_signals
from headcast.stages.views import write_members

def work(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(60)

if __name__ == "__main__":
    catch_signals()  # as every stage; a shell's background job starts with SIGINT ignored
    with write_product(Path(sys.argv[1], "product/manifest.json"), "test") as writer:
        write_members(writer, work, [(sys.argv[1],)] * 2, 2, print)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_survives_a_stage_that_was_killed_or_asked_to_leave(number: int, tmp_path: Path) -> None:
    script, marks = tmp_path / "stage.py", tmp_path / "marks"
    script.write_text(SCRIPT)
    marks.mkdir()
    process = subprocess.Popen([sys.executable, str(script), str(marks)], env={**os.environ, "PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 60
    while not (workers := [int(path.name) for path in marks.iterdir() if path.name.isdigit()]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(number)
    process.wait(10)
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{worker}/cmdline").exists() and Path(f"/proc/{worker}/cmdline").read_bytes() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.2)
