"""Snakemake's jobs, lighter: without this a plan of a hundred subjects takes a quarter more memory.

For every file of every job Snakemake 9 keeps the path twice and an empty table of flags, for every list of a job two objects that
forbid to call ``index`` and ``sort``: half a kilobyte, two hundred thousand times. A job that has entered the plan needs one path
for all that name it, no table where there is no flag, and one such object for all lists.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def lighten_jobs() -> None:
    """Every job that is planned from now on is made lighter; where Snakemake is built in another way it stays as it is."""
    from snakemake.dag import DAG

    with suppress(AttributeError):
        if not hasattr(DAG.cache_job, "lightens"):
            DAG.cache_job = _lightening(DAG.cache_job)


def _lightening(cache_job: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    guards: dict[str, Any] = {}

    def then_lighten(dag: Any, job: Any) -> None:
        cache_job(dag, job)
        with suppress(AttributeError):
            for items in (job.input, job.output, job.log, job.wildcards):
                share_guards(items, guards)
            for file in (*job.input, *job.output, *job.log, job.benchmark):
                if file is not None and not file.is_callable() and not file.flags:
                    file._file = sys.intern(str(file))

    then_lighten.lightens = True  # type: ignore[attr-defined]
    return then_lighten


def share_guards(items: Any, guards: dict[str, Any]) -> None:
    """Give one of Snakemake's lists the guards of the first one; an item that has the name of a guarded method stays."""
    names = guards.setdefault("names", items._allowed_overrides)
    items._allowed_overrides = names
    for name in names:
        own = getattr(items, name)
        if type(own).__name__ == "AttributeGuard":
            setattr(items, name, guards.setdefault(name, own))
