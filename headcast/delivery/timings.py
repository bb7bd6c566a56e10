"""What every rule took: Snakemake's benchmark of its job beside the time that the stage itself tells at the end of its log."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import NamedTuple

from headcast.errors import BadFile

WROTE = re.compile(r"wrote \S+ in ([\d.]+) s$", re.M)


class Timing(NamedTuple):
    """One job: seconds on the clock and of processors, memory at most (MB), and the seconds of the stage itself.

    Processors and memory are 0 where a job was too short for Snakemake to look at.
    """

    rule: str
    wall_s: float
    cpu_s: float
    memory_mb: float
    stage_s: float | None

    @property
    def start_s(self) -> float | None:
        """What is not the stage's own work: the job's shell, Python, imports."""
        return None if self.stage_s is None else max(self.wall_s - self.stage_s, 0.0)


def timings(folder: Path) -> list[Timing]:
    """The jobs of a sequence (``results/{subject}/{sequence}``) in the order in which they ended; ``BadFile`` without any."""
    files = sorted((folder / "benchmarks").glob("*.tsv"), key=lambda path: path.stat().st_mtime)
    if not files:
        raise BadFile(folder / "benchmarks", "holds no timings", "run snakemake for this sequence first")
    return [_timing(path, folder / "logs" / f"{path.stem}.log") for path in files]


def _timing(path: Path, log: Path) -> Timing:
    try:
        row = next(csv.DictReader(path.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
        wall, cpu, memory = (0.0 if row[name] == "NA" else float(row[name]) for name in ("s", "cpu_time", "max_rss"))
    except (StopIteration, KeyError, ValueError) as error:
        raise BadFile(path, "is no benchmark of Snakemake", "delete it; the next run of its rule writes it again") from error
    told = WROTE.findall(log.read_text(encoding="utf-8", errors="replace")) if log.exists() else []
    return Timing(path.stem, wall, cpu, memory, float(told[-1]) if told else None)


def table(jobs: list[Timing]) -> str:
    """The jobs as Markdown, with their sums."""
    lines = ["| rule | s | of it start | processor s | MB |", "|---|---|---|---|---|"]
    for job in jobs:
        start = "–" if job.start_s is None else f"{job.start_s:.1f}"
        lines.append(f"| `{job.rule}` | {job.wall_s:.1f} | {start} | {job.cpu_s:.1f} | {job.memory_mb:.0f} |")
    wall, cpu, start = (sum(values) for values in zip(*((j.wall_s, j.cpu_s, j.start_s or 0.0) for j in jobs), strict=True))
    return "\n".join([*lines, f"| all | {wall:.1f} | {start:.1f} | {cpu:.1f} | {max(job.memory_mb for job in jobs):.0f} |"])
