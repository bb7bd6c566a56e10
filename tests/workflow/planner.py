"""``snakemake -n`` many times over: each in its own process, forked from one that has imported Snakemake but no headcast."""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

JOB = re.compile(r"python -m scripts\.(\w+) .*--log (?:results/models|results/[^/\s]+/([^/\s]+))/logs/", re.M)
TOTAL = re.compile(r"^total\s+(\d+)", re.M)
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["snakemake.cli", "numpy", "pydantic", "jaxtyping", "PIL.Image", "av"])


def planned(arguments: Sequence[str], folder: Path, said: Path) -> set[str]:
    """What ``snakemake -n`` would run in ``folder``, as ``rule sequence``; what it said goes to the file ``said``."""
    process = _server.Process(target=_dry_run, args=(["-n", "-p", *arguments], str(folder), str(said)))
    process.start()
    process.join(timeout=120)
    text = said.read_text(encoding="utf-8")
    assert process.exitcode == 0, text[-3000:]
    found = {f"{rule} {sequence}".strip() for rule, sequence in JOB.findall(text)}
    total = TOTAL.search(text)
    assert len(found) == (int(total[1]) if total else 0), text
    assert found or "Nothing to be done" in text, text
    return found


def _dry_run(arguments: list[str], folder: str, said: str) -> None:
    """The command line of Snakemake, as a user would type it in ``folder``."""
    stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    os.chdir(folder)
    os.environ.pop("NERSEMBLE_DATA_URL", None)
    from snakemake.cli import main

    assert not any(name.split(".")[0] == "headcast" for name in sys.modules), "the workflow must import its own headcast"
    main(arguments)
