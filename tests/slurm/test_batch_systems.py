"""profiles/cluster-generic with the real executor plugin, on a stand-in for SGE: qsub, qstat, qacct and qdel as small programs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from headcast import layout as at
from tests.workflow.test_plan import ROOT

from .scheduler import environment, snakemake_command, tiny_demo

pytestmark = pytest.mark.slurm
MODEL = at.head_model.format(model="open")
PROGRAMS = {
    "qsub": """
number=$(( $(ls $SPOOL | grep -c script) + 1 ))
echo "$@" > $SPOOL/$number.asked
for script; do :; done
cp "$script" $SPOOL/$number.script
run() {
    [ "$number" != "$KILLED" ] && env -i PATH=/usr/bin:/bin sh $SPOOL/$number.script > $SPOOL/$number.said 2>&1
    echo $? > $SPOOL/$number.exit
}
run > /dev/null 2>&1 &
echo $number
""",
    "qstat": '[ "$1" = -j ] && [ ! -e $SPOOL/$2.exit ]',
    "qacct": '[ -e $SPOOL/$2.exit ] && printf "failed       0\\nexit_status  %s\\n" "$(cat $SPOOL/$2.exit)"',
    "qdel": 'echo "$@" >> $SPOOL/deleted',
}


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A batch system that runs jobs at once."""
    programs, spool = tmp_path / "bin", tmp_path / "spool"
    programs.mkdir()
    spool.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("SPOOL", str(spool))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return spool


def run(scheduler: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    quick = ["--seconds-between-status-checks", "1", "--latency-wait", "5"]
    command = snakemake_command(scheduler, ROOT / "profiles/cluster-generic", *quick, *tiny_demo(1, 1), MODEL)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment())


def test_a_job_is_queued_watched_and_when_it_is_killed_queued_again_with_twice_the_memory(
    scheduler: Path, spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILLED", "1")
    done = run(scheduler, tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert (tmp_path / MODEL).exists()
    asked = [(spool / f"{number}.asked").read_text() for number in (1, 2)]
    assert all(" -N headcast-head_model " in words for words in asked)
    assert [re.findall(r"mem_free=(\d+)M,h_rt=(\d+)", words) for words in asked] == [[("2000", "600")], [("4000", "600")]]
