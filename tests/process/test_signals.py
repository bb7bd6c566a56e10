"""Jobs that are asked to leave, once or twice, or whose scheduler is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headcast.process.signals import SCHEDULER

from .test_command import ROOT, SCRIPT

STARTER = """
import subprocess, sys
subprocess.Popen([sys.executable, *sys.argv[1:]]).wait()
"""


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def stage(folder: Path, polls: bool) -> list[str]:
    """Arguments of a stage that works for ten seconds and, where it polls, says that it saved."""
    (folder / "stage.py").write_text(textwrap.dedent(SCRIPT.format(polls=polls)))
    return [str(folder / "stage.py"), "--output", str(folder / "out"), "--log", str(folder / "log")]


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def says(folder: Path, text: str) -> Callable[[], bool]:
    return lambda: (folder / "out").exists() and (folder / "out").read_text() == text


def process_of(folder: Path) -> int:
    return int((folder / "log").read_text().split()[1])


def alive(process: int) -> bool:
    state = Path(f"/proc/{process}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(("polls", "left"), [(True, "saved"), (False, "ready")])
@pytest.mark.parametrize("direct", [True, False], ids=["its own child", "behind a shell"])
def test_a_job_leaves_when_its_scheduler_is_killed(direct: bool, polls: bool, left: str, tmp_path: Path) -> None:
    starter = [sys.executable, "-c", STARTER]
    arguments = stage(tmp_path, polls) if direct else ["-c", STARTER, *stage(tmp_path, polls)]
    code = f"import os; os.environ[{SCHEDULER!r}] = str(os.getpid())" + STARTER
    scheduler = subprocess.Popen([*starter[:2], code, *arguments], env=environment(), stderr=subprocess.DEVNULL)
    wait_for(says(tmp_path, "ready"))
    job = process_of(tmp_path)
    assert alive(job)
    scheduler.kill()
    scheduler.wait()
    wait_for(lambda: not alive(job), 5)
    assert says(tmp_path, left)()
    assert "interrupted" in (tmp_path / "log").read_text()


def test_an_orphan_that_comes_late_leaves_what_the_next_run_made(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    arguments = [sys.executable, *stage(tmp_path, polls=False)]
    (tmp_path / "log").write_text("of the next run")
    done = subprocess.run(arguments, env=environment(**{SCHEDULER: str(gone.pid)}), check=False, timeout=20)
    assert done.returncode == 130
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "log").read_text() == "of the next run"


def test_by_hand_there_is_no_scheduler_to_follow(tmp_path: Path) -> None:
    code = "import subprocess, sys; print(subprocess.Popen([sys.executable, *sys.argv[1:]]).pid)"
    subprocess.run([sys.executable, "-c", code, *stage(tmp_path, polls=False)], env=environment(), check=True, timeout=9)
    wait_for(says(tmp_path, "ready"))
    time.sleep(1.5)
    assert alive(process_of(tmp_path))
    os.kill(process_of(tmp_path), signal.SIGKILL)


@pytest.mark.parametrize("polls", [True, False])
def test_who_asks_twice_at_once_asks_once(polls: bool, tmp_path: Path) -> None:
    job = subprocess.Popen([sys.executable, *stage(tmp_path, polls)], env=environment(), stderr=subprocess.DEVNULL)
    wait_for(says(tmp_path, "ready"))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
        job.send_signal(number)
    assert job.wait(5) == 130
    assert says(tmp_path, "saved" if polls else "ready")()


def test_a_job_that_nobody_listens_to_does_not_fail(tmp_path: Path) -> None:
    job = subprocess.Popen([sys.executable, *stage(tmp_path, polls=True)], env=environment(), stderr=subprocess.PIPE)
    wait_for(says(tmp_path, "ready"))
    assert job.stderr is not None
    job.stderr.close()
    job.terminate()
    assert job.wait(5) == 130
    assert says(tmp_path, "saved")()
    assert "BrokenPipe" not in (tmp_path / "log").read_text()


def test_a_hang_up_counts_as_a_signal_unless_it_is_ignored(tmp_path: Path) -> None:
    for folder, prefix in ((tmp_path / "heard", []), (tmp_path / "ignored", ["nohup"])):
        folder.mkdir()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        job = subprocess.Popen([*prefix, sys.executable, *stage(folder, polls=True)], env=environment(), **quiet)
        wait_for(says(folder, "ready"))
        job.send_signal(signal.SIGHUP)
        if prefix:
            with pytest.raises(subprocess.TimeoutExpired):
                job.wait(1)
            job.kill()
        assert job.wait(5) == (-signal.SIGKILL if prefix else 130)
