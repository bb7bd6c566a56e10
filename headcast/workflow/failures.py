"""What failed in a run and why: the jobs that Snakemake gave up, what their stages said last, ``results/failures.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headcast import layout
from headcast.errors import BadFile
from headcast.formats.atomic import write_json

FORMAT = "headcast/failures@1"
SAID = re.compile(r"^\S+ \S+ ERROR headcast: (.*)$", re.M)
SILENT = "ended without a word (killed, out of memory, or its node was lost)"


@dataclass(frozen=True)
class Failure:
    """A job that failed for good: whose (empty for what all share), which rule, its one line, and its log."""

    subject: str
    sequence: str
    rule: str
    line: str
    log: str


def collect(jobs: Iterable[Any], since: float) -> list[Failure]:
    """The jobs (Snakemake's, or groups of them) that failed for good, each with the last line that its log has since ``since``."""
    found = [_failure(job, since) for entry in jobs for job in (entry if entry.is_group() else [entry]) if _unfinished(job)]
    return sorted(found, key=lambda failure: (failure.subject, failure.sequence, failure.rule))


def _unfinished(job: Any) -> bool:
    return not all(Path(str(output)).exists() for output in job.output) or not job.output


def _failure(job: Any, since: float) -> Failure:
    log = str(next(iter(job.log), ""))
    return Failure(*(layout.place(log) or ("", "")), job.rule.name, last_line(Path(log), since), log)


def last_line(log: Path, since: float) -> str:
    """The one line that a stage ended with; a log that is absent or older than ``since`` (s, epoch) says nothing."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace") if log.stat().st_mtime >= since else ""
    except OSError:
        text = ""
    said = SAID.findall(text)
    return said[-1] if said else SILENT


def write_failures(path: Path, failures: Iterable[Failure]) -> Path:
    """Write the summary of a failed run."""
    return write_json(path, {"format": FORMAT, "failures": [asdict(failure) for failure in failures]})


def read_failures(path: Path) -> list[Failure]:
    """The failures of the last run; none when it had none and left no file, ``BadFile`` when the file is anything else."""
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [Failure(**entry) for entry in content["failures"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadFile(path, f"is not a {FORMAT} file ({type(error).__name__})", "delete it; a failed run writes it anew") from error
