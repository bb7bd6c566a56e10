"""The shell around scripts: arguments, settings, logs, exit codes, signals."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from headcast.config import Training
from headcast.errors import BadFile, Diverged
from headcast.process.command import Progress, execute

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Inputs:
    """What the test stage reads."""

    images: list[Path]
    output: Path
    workers: int = 1
    identity: Path | None = None


def call(run, tmp_path: Path, *more: str) -> tuple[int, str]:  # type: ignore[no-untyped-def]
    log = tmp_path / "log.txt"
    code = execute(Inputs, run, ["--images", "a", "b", "--output", "out", "--log", str(log), *more])
    return code, log.read_text()


def test_arguments_and_settings_arrive_typed(tmp_path: Path) -> None:
    got = {}

    def run(inputs: Inputs, training: Training, progress: Progress) -> Path:
        """Collect."""
        got.update(inputs=inputs, training=training)
        progress(1, 1)
        return inputs.output

    code, log = call(run, tmp_path, "--workers", "3", "--settings", '{"training": {"steps": 7}}')
    assert code == 0
    assert got["inputs"] == Inputs([Path("a"), Path("b")], Path("out"), 3)
    assert got["training"].steps == 7
    assert "wrote out" in log


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadFile("x.png", "is cut", "run it again"), 4),
        (Diverged("step 3", "loss is not finite"), 6),
        (MemoryError(), 7),
        (ZeroDivisionError("oops"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_is_one_line_for_the_user_and_a_traceback_in_the_log(
    error: BaseException, code: int, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    def run(inputs: Inputs) -> Path:
        """Fail."""
        raise error

    got, log = call(run, tmp_path)
    said = capfd.readouterr().err
    assert got == code
    assert said.count("\n") == 1
    assert said.startswith("headcast: ")
    assert "Traceback" in log
    assert "Traceback" not in said


@pytest.mark.parametrize("settings", ['{"training": {"stepz": 1}}', "not json"])
def test_bad_settings_are_a_config_error(settings: str, tmp_path: Path) -> None:
    def run(inputs: Inputs, training: Training) -> Path:
        """Never."""
        raise AssertionError

    assert call(run, tmp_path, "--settings", settings)[0] == 2


def test_native_chatter_goes_to_the_log(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    def run(inputs: Inputs) -> Path:
        """Talk like a native library."""
        os.write(2, b"native chatter\n")
        return inputs.output

    _, log = call(run, tmp_path)
    assert "native chatter" in log
    assert "native chatter" not in capfd.readouterr().err


SCRIPT = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
from headcast.process.command import command
from headcast.process.signals import should_stop

@dataclass(frozen=True)
class Inputs:
    output: Path

def run(inputs: Inputs) -> Path:
    polls = {polls}
    if polls: should_stop()
    inputs.output.write_text("ready")
    for _ in range(200):
        time.sleep(0.05)
        if polls and should_stop():
            inputs.output.write_text("saved")
            raise KeyboardInterrupt
    return inputs.output

command(Inputs, run)
"""


@pytest.mark.parametrize(("polls", "left"), [(True, "saved"), (False, "ready")])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_lets_a_polling_stage_save_and_ends_any_other_at_once(polls: bool, left: str, number: int, tmp_path: Path) -> None:
    script, output = tmp_path / "stage.py", tmp_path / "out"
    script.write_text(textwrap.dedent(SCRIPT.format(polls=polls)))
    process = subprocess.Popen(
        [sys.executable, str(script), "--output", str(output)], env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE
    )
    while not output.exists() or not output.read_text():
        assert process.poll() is None
    process.send_signal(number)
    assert process.wait(5) == 130
    assert output.read_text() == left


def test_what_is_left_is_told_by_the_pace_since_the_first_report(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 100.0, 110.0, 120.0])  # made, 100 s of preparation, then ten seconds for every ten steps
    monkeypatch.setattr("headcast.process.command.time.monotonic", lambda: next(clock))
    said = io.StringIO()
    progress = Progress("train", said)
    for done in (500, 510, 520):
        progress(done, 540)
    assert said.getvalue().splitlines() == [
        "headcast: train 500/540",
        "headcast: train 510/540, 30 s left",
        "headcast: train 520/540, 20 s left",
    ]
