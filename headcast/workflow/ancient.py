"""Plans that overlook nothing behind an ``ancient`` input.

Snakemake takes what depends on a job that runs for certain to run, too, and asks it no further; then it leaves out what depends on
that job by ``ancient`` files alone. So what is missing or changed behind them is never looked at, and a run ends well without the
file that was asked for (Snakemake's issue 4166, open as of 9.27). Here such jobs are asked like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


def look_behind_ancient_inputs() -> None:
    """Every plan from now on looks behind ``ancient`` inputs; where Snakemake is built in another way it stays as it is."""
    from snakemake.dag import DAG

    with suppress(AttributeError):
        if not hasattr(DAG.update_needrun, "looks_behind"):
            DAG.bfs, DAG.update_needrun = _walking(DAG.bfs), _marked(DAG.update_needrun)


@dataclass(frozen=True)
class Certain:
    """Jobs that run because of a job, by that job, and by which files: all but those that depend on it by ancient files alone."""

    depending: Mapping[Any, Mapping[Any, Any]]

    def __getitem__(self, job: Any) -> dict[Any, Any]:
        return {later: files for later, files in self.depending[job].items() if not all(file.is_ancient for file in files)}


def _walking(bfs: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    def walk(dag: Any, direction: Any, *jobs: Any, **options: Any) -> Iterator[Any]:
        marking = getattr(dag, "marks_what_runs", False) and direction is dag.depending
        return bfs(dag, Certain(direction) if marking else direction, *jobs, **options)

    return walk


def _marked(update_needrun: Callable[..., Any]) -> Callable[..., Any]:
    async def update(dag: Any, *arguments: Any, **options: Any) -> None:
        dag.marks_what_runs = True
        try:
            await update_needrun(dag, *arguments, **options)
        finally:
            dag.marks_what_runs = False

    update.looks_behind = True  # type: ignore[attr-defined]
    return update
