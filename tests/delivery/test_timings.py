"""What rules took: the benchmark of the job and the word of the stage, and the difference between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from headcast.delivery.timings import table, timings
from headcast.errors import BadFile

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def finished_job(folder: Path, rule: str, wall: str, cpu: str, said: str) -> None:
    for name in ("benchmarks", "logs"):
        (folder / name).mkdir(exist_ok=True)
    (folder / f"benchmarks/{rule}.tsv").write_text(f"{HEADER}{wall}\t0:01:00\t512.25\t1\t1\t1\t1\t1\t1\t{cpu}\n")
    (folder / f"logs/{rule}.log").write_text(said)


def test_what_a_rule_took(tmp_path: Path) -> None:
    finished_job(
        tmp_path, "matting", "60.5", "88.0", "INFO headcast: matting wrote a/b.json in 99 s\nmatting wrote a/b.json in 57.5 s\n"
    )
    (job,) = timings(tmp_path)
    assert (job.rule, job.wall_s, job.cpu_s, job.memory_mb, job.stage_s, job.start_s) == ("matting", 60.5, 88.0, 512.25, 57.5, 3.0)


def test_the_table_sums_up_and_leaves_open_what_no_log_tells(tmp_path: Path) -> None:
    finished_job(tmp_path, "matting", "60.5", "88.0", "matting wrote a/b.json in 57.5 s\n")
    finished_job(tmp_path, "score", "2.0", "NA", "cut")
    lines = table(timings(tmp_path)).splitlines()
    assert "| `matting` | 60.5 | 3.0 | 88.0 | 512 |" in lines
    assert any(line.startswith("| `score` | 2.0 | – |") for line in lines)
    assert lines[-1].startswith("| all | 62.5 | 3.0 |")


def test_no_timings_are_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no timings"):
        timings(tmp_path)
    finished_job(tmp_path, "score", "soon", "1", "")
    with pytest.raises(BadFile, match="no benchmark"):
        timings(tmp_path)
