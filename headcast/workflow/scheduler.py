"""What the scheduler's own process does for its jobs: lets them find this checkout, leads them, takes them along when it leaves."""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from headcast import layout
from headcast.config import has_gpu
from headcast.process.signals import LOOK_SECONDS, SCHEDULER


def share_package(root: Path) -> str:
    """What every job's shell starts with so that it finds this checkout's package and scripts, installed or not.

    Said in the shell, because Snakemake takes PYTHONPATH out of what jobs in conda environments inherit: there a user's own
    PYTHONPATH stays out, elsewhere it comes after the checkout. The folder that is worked in is not looked into: it may be another
    checkout. A prefix replaces Snakemake's own, hence the strict mode.
    """
    quoted = shlex.quote(str(root)).replace("{", "{{").replace("}", "}}")
    return f"set -euo pipefail; export PYTHONSAFEPATH=1 PYTHONPATH={quoted}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; "


def share_gpu() -> None:
    """Decide once per run whether there is a GPU: a job on another node must not choose another preset than the plan did."""
    os.environ["HEADCAST_GPU"] = "1" if has_gpu() else "0"


def lead_jobs() -> None:
    """Tell jobs which process to follow, and hold ``layout.RUNNING`` while this one lives: ``make`` unlocks no living run."""
    os.environ[SCHEDULER] = str(os.getpid())
    with suppress(OSError):
        Path(layout.RUNNING).parent.mkdir(exist_ok=True)
        fcntl.flock(os.open(layout.RUNNING, os.O_RDWR | os.O_CREAT, 0o666), fcntl.LOCK_SH | fcntl.LOCK_NB)


def take_jobs_along() -> None:
    """SIGTERM and SIGINT to the scheduler stop its jobs, which save what they can; Snakemake alone waits until they are done."""
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        if callable(before):
            signal.signal(number, _passing_on(before))


def _passing_on(before: Callable[[int, FrameType | None], object]) -> Callable[[int, FrameType | None], None]:
    def pass_on(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=_stop_jobs, daemon=True).start()
        before(number, frame)

    return pass_on


def _stop_jobs() -> None:
    """Ask every job of this process once, also those that are only now being started."""
    import psutil

    asked: set[int] = set()
    while True:
        for child in psutil.Process().children():
            with suppress(psutil.Error):
                if child.pid not in asked and "-m scripts." in " ".join(child.cmdline()):
                    child.terminate()
                    asked.add(child.pid)
        time.sleep(LOOK_SECONDS)
