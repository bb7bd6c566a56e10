"""What the rules need to know about the configuration while the DAG is built: no science, no data, only paths and names."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Protocol

from headcast import layout
from headcast.capture.capture import raw_files
from headcast.capture.download import LINK
from headcast.capture.nersemble import ACCESS
from headcast.config import Config, has_gpu
from headcast.errors import AssetMissing, HeadcastError
from headcast.signals import LOOK_SECONDS, SCHEDULER


class Wildcards(Protocol):
    """What Snakemake hands to an input function."""

    subject: str
    sequence: str


@contextmanager
def one_line() -> Iterator[None]:
    """A user's mistake while planning ends the program with one line and its exit code, not with a traceback."""
    try:
        yield
    except HeadcastError as error:
        sys.stderr.write(f"headcast: {error}\n")
        sys.stderr.flush()
        os._exit(error.exit_code)


def share_package(root: Path) -> str:
    """What every job's shell starts with so that it finds this checkout's package and scripts, installed or not.

    Said in the shell, because Snakemake takes PYTHONPATH out of what jobs in conda environments inherit: there a user's own
    PYTHONPATH stays out, elsewhere it comes after the checkout. A prefix replaces Snakemake's own, hence the strict mode.
    """
    quoted = shlex.quote(str(root)).replace("{", "{{").replace("}", "}}")
    return f"set -euo pipefail; export PYTHONPATH={quoted}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; "


def share_gpu() -> None:
    """Decide once per run whether there is a GPU: a job on another node must not choose another preset than the plan did."""
    os.environ["HEADCAST_GPU"] = "1" if has_gpu() else "0"


def doubling(mem_mb: int) -> Callable[[Wildcards, int], int]:
    """Memory of a rule (MB): twice as much at every further attempt; how many there are, a profile's ``retries`` says."""

    def needed(wildcards: Wildcards, attempt: int) -> int:
        return mem_mb * 2 ** (attempt - 1)

    return needed


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


class Plan:
    """Answers for input functions and params, from one validated configuration."""

    def __init__(self, config: Config) -> None:
        self._config = config
        names = "|".join(re.escape(name) for name in sorted(config.subjects, key=len, reverse=True))
        self.subject_pattern = rf"\d{{3}}|{names}" if names else r"\d{3}"

    def everything(self) -> list[str]:
        """Targets of ``all``: every configured subject with every configured sequence."""
        targets = (layout.avatar, layout.evaluation, layout.scores)
        pairs = [(subject, sequence) for subject in self._config.subjects for sequence in self._config.sequences]
        return [target.format(subject=subject, sequence=sequence) for subject, sequence in pairs for target in targets]

    def root(self, wildcards: Wildcards) -> str:
        """Folder of the raw capture."""
        with one_line():
            return str(self._config.capture_root(wildcards.subject))

    def reader(self, wildcards: Wildcards) -> str:
        """Reader of the raw capture."""
        with one_line():
            return self._config.subject(wildcards.subject).reader

    def raw(self, wildcards: Wildcards) -> list[str]:
        """Raw files that exist; without any and without a link to download them the plan ends here, within seconds."""
        with one_line():
            subject = self._config.subject(wildcards.subject)
            root = self._config.capture_root(wildcards.subject)
            files = raw_files(subject.reader, root, wildcards.subject, wildcards.sequence)
            if not (root / wildcards.subject).exists() and not os.environ.get(LINK):
                raise AssetMissing(
                    root / wildcards.subject, f"the raw capture of {wildcards.subject}/{wildcards.sequence} is not there", ACCESS
                )
            return [str(path) for path in files]

    def identity(self, wildcards: Wildcards) -> list[str]:
        """Parameters of the sequence whose identity this one shares, if any."""
        with one_line():
            owner = self._config.identity_sequence(wildcards.subject, wildcards.sequence)
        return [layout.driver_params.format(subject=wildcards.subject, sequence=owner)] if owner else []

    def of_sequences(self, pattern: str) -> Callable[[Wildcards], list[str]]:
        """Input function: ``pattern`` for the sequence itself and for every extra one its avatar learns from."""

        def resolve(wildcards: Wildcards) -> list[str]:
            with one_line():
                extra = self._config.extra_sequences(wildcards.subject, wildcards.sequence)
            return [pattern.format(subject=wildcards.subject, sequence=name) for name in (wildcards.sequence, *extra)]

        return resolve

    def driver(self, wildcards: Wildcards) -> str:
        """Parameters that drive the re-enactment."""
        sequence = self._config.reenactment.driver or wildcards.sequence
        return layout.driver_params.format(subject=wildcards.subject, sequence=sequence)

    def ground_truth(self, wildcards: Wildcards) -> str:
        """Where ground truth would lie; only evaluation and scoring get to know."""
        return str(Path(self.root(wildcards)) / "ground_truth")

    def explain(self, log: str | list[str]) -> None:
        """After a failed run: repeat every line that headcast said about it, last, where it is seen."""
        text = ""
        for path in [log] if isinstance(log, str) else log:
            try:
                text += Path(path).read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
        for line in dict.fromkeys(line for line in text.splitlines() if line.startswith("headcast: ") and " wrote " not in line):
            sys.stderr.write(line + "\n")
