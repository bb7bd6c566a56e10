"""What failed and why: the last line of this run's log, nothing from an older one."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from headcast import layout
from headcast.errors import BadFile
from headcast.process.command import execute
from headcast.workflow.failures import SILENT, collect, last_line, read_failures, write_failures
from tests.process.test_command import Inputs


def job(rule: str, log: Path, output: Path, group: bool = False) -> SimpleNamespace:
    return SimpleNamespace(rule=SimpleNamespace(name=rule), log=[str(log)], output=[str(output)], is_group=lambda: False)


class Group(list):  # type: ignore[type-arg]
    def is_group(self) -> bool:
        return True


def logged(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_stage_s_line_is_what_the_user_saw(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def run(inputs: Inputs) -> Path:
        """Fail."""
        if inputs.output.name == "bad":
            raise BadFile(inputs.output, "is cut", "download it again")
        raise ZeroDivisionError("by zero")

    for name, says in (("bad", f"{tmp_path / 'bad'}: is cut; download it again"), ("odd", "unexpected ZeroDivisionError: by zero")):
        log = tmp_path / f"{name}.log"
        execute(Inputs, run, ["--images", "a", "--output", str(tmp_path / name), "--log", str(log)])
        shown = capfd.readouterr().err.splitlines()[-1]
        assert says in shown
        assert f"headcast: {last_line(log, 0.0)}" == shown


def test_a_log_of_an_earlier_run_or_without_an_error_says_nothing(tmp_path: Path) -> None:
    log = logged(tmp_path / "a.log", "2026-01-01 10:00:00,000 ERROR headcast: old line\n")
    os.utime(log, (1, 1))
    assert last_line(log, time.time() - 100) == SILENT
    assert last_line(tmp_path / "none.log", 0.0) == SILENT
    assert last_line(logged(tmp_path / "b.log", "2026-01-01 10:00:00,000 INFO headcast: fine\n"), 0.0) == SILENT


def test_failures_name_subject_sequence_and_rule_and_a_group_only_what_it_did_not_finish(tmp_path: Path) -> None:
    said = "2026-01-01 10:00:00,000 ERROR headcast: first\nTraceback\n2026-01-01 10:00:01,000 ERROR headcast: second\n"
    log = logged(tmp_path / "results/258/EMO-1-shout+laugh/logs/fit_head.log", said)
    shared = logged(tmp_path / "results/models/logs/head_model_open.log", "")
    done = logged(tmp_path / "results/258/HAIR/mattes/manifest.json", "{}")
    group = Group([job("matting", log, done), job("fit_head", log, tmp_path / "none")])
    found = collect([job("head_model", shared, tmp_path / "none"), group], 0.0)
    assert [(f.subject, f.sequence, f.rule, f.line) for f in found] == [
        ("", "", "head_model", SILENT),
        ("258", "EMO-1-shout+laugh", "fit_head", "second"),
    ]
    path = write_failures(tmp_path / "failures.json", found)
    assert read_failures(path) == found
    assert read_failures(tmp_path / "none.json") == []
    path.write_text("[]")
    with pytest.raises(BadFile):
        read_failures(path)


def test_a_path_tells_whose_it_is() -> None:
    assert layout.place("results/258/HAIR/logs/x.log") == ("258", "HAIR")
    assert layout.place("/far/results/anna/A+B/logs/x.log") == ("anna", "A+B")
    assert layout.place("results/models/logs/x.log") is None
    assert layout.place("results/logs/summarise.log") is None
