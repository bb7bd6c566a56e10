"""The shell around every script: arguments from a dataclass, settings from JSON, a log file, progress, one-line errors, exit codes.

The log file takes everything that is said, by Python or by a native library; the terminal gets one line at the start, progress
every few seconds, and, when it fails, the one line that says what to do.
"""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import os
import signal
import sys
import time
import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from headcast.config import Section, validate
from headcast.errors import ConfigError, HeadcastError, OutOfResources

INTERRUPTED = 130
UNEXPECTED = 1
PROGRESS_SECONDS = 5.0
logger = logging.getLogger("headcast")
_stop_requested = False
_polled = False


def command(inputs_type: type[Any], run: Callable[..., Path], arguments: Sequence[str] | None = None) -> None:
    """Parse arguments into ``inputs_type``, call ``run(inputs, **sections, progress)`` and exit with the code of what happened.

    ``run`` names the configuration sections it needs as parameters annotated with their models; ``progress`` is optional.
    """
    sys.exit(execute(inputs_type, run, arguments))


def execute(inputs_type: type[Any], run: Callable[..., Path], arguments: Sequence[str] | None = None) -> int:
    """``command`` without leaving the process: returns the exit code."""
    hints = typing.get_type_hints(run)
    parsed = vars(_parser(inputs_type, run.__doc__ or "").parse_args(arguments))
    log, settings = parsed.pop("log"), parsed.pop("settings")
    stage = run.__module__.rpartition(".")[2]
    with _Terminal(log) as terminal:
        progress = Progress(stage, terminal)
        try:
            sections = _sections(run, hints, settings)
            extra = {"progress": progress} if "progress" in hints else {}
            _catch_signals()
            written = run(inputs_type(**parsed), **sections, **extra)
            progress.finish(written)
            return 0
        except BaseException as error:
            return _report(error, stage, terminal)


class Progress:
    """Tells the user, at most every few seconds, how far a stage is."""

    def __init__(self, stage: str, stream: TextIO) -> None:
        self.stage, self._stream = stage, stream
        self._start = self._last = time.monotonic()
        self._first: tuple[int, float] | None = None

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report that ``done`` of ``total`` units are finished; the last one is always shown.

        What is left is told by the pace since the first report: preparations and units done by an earlier run do not count.
        """
        now = time.monotonic()
        first, since = self._first = self._first or (done, now)
        if now - self._last < PROGRESS_SECONDS and done < total:
            return
        self._last = now
        left = f", {(now - since) / (done - first) * (total - done):.0f} s left" if done > first else ""
        self._say(f"{self.stage} {done}/{total}{left}{', ' + note if note else ''}")

    def finish(self, written: Path) -> None:
        """Say what was written and how long it took."""
        self._say(f"{self.stage} wrote {written} in {time.monotonic() - self._start:.1f} s")

    def _say(self, text: str) -> None:
        logger.info(text)
        self._stream.write(f"headcast: {text}\n")
        self._stream.flush()


def should_stop() -> bool:
    """Whether a signal asked this process to save and leave; asking once declares that the caller polls and saves by itself."""
    global _polled
    _polled = True
    return _stop_requested


def _catch_signals() -> None:
    global _stop_requested, _polled
    _stop_requested = _polled = False
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, _on_signal)


def _on_signal(number: int, frame: FrameType | None) -> None:
    """The first signal lets a polling trainer save; a second one, or one to a stage that has nothing to save, ends it at once."""
    global _stop_requested
    if _stop_requested or not _polled:
        raise KeyboardInterrupt
    _stop_requested = True


@dataclass
class _Terminal:
    """Sends file descriptors 1 and 2 to the log and keeps the real standard error for the user."""

    log: Path | None

    def __enter__(self) -> TextIO:
        sys.stdout.flush()
        sys.stderr.flush()
        self._kept = [os.dup(1), os.dup(2)]
        self._user = os.fdopen(os.dup(2), "w", encoding="utf-8")
        if self.log is not None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            stream = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            os.close(stream)
        self._said = os.fdopen(os.dup(2), "w", encoding="utf-8")
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True, stream=self._said
        )
        return self._user

    def __exit__(self, *failure: object) -> None:
        logging.getLogger().handlers.clear()
        self._said.close()
        sys.stdout.flush()
        sys.stderr.flush()
        for target, kept in enumerate(self._kept, start=1):
            os.dup2(kept, target)
            os.close(kept)
        self._user.close()


def _parser(inputs_type: type[Any], description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description.splitlines()[0] if description else None)
    hints = typing.get_type_hints(inputs_type)
    for field in fields(inputs_type):
        options: dict[str, Any] = {"dest": field.name}
        kind = hints[field.name]
        if typing.get_origin(kind) in (list, tuple):
            options |= {"nargs": "*", "type": typing.get_args(kind)[0]}
        else:
            options["type"] = next((t for t in typing.get_args(kind) if t is not type(None)), kind)
        options |= {"required": True} if field.default is MISSING else {"default": field.default}
        parser.add_argument("--" + field.name.replace("_", "-"), **options)
    parser.add_argument("--settings", default="{}", help="configuration sections as JSON; absent keys take their defaults")
    parser.add_argument("--log", type=Path, default=None, help="file that takes everything this command says")
    return parser


def _sections(run: Callable[..., Path], hints: dict[str, Any], settings: str) -> dict[str, Section]:
    try:
        given = json.loads(settings)
    except json.JSONDecodeError as error:
        raise ConfigError("--settings", f"is not JSON ({error})") from error
    wanted = {
        name: hints[name]
        for name in inspect.signature(run).parameters
        if inspect.isclass(hints[name]) and issubclass(hints[name], Section)
    }
    return {name: validate(model, given.get(name, {})) for name, model in wanted.items()}


def _report(error: BaseException, stage: str, terminal: TextIO) -> int:
    if isinstance(error, MemoryError):
        logger.warning("out of memory", exc_info=error)
        error = OutOfResources(stage, "memory is full", "lower the preset or the size settings of this stage")
    if isinstance(error, HeadcastError):
        logger.error("%s", error, exc_info=error)
        line, code = str(error), error.exit_code
    elif isinstance(error, KeyboardInterrupt):
        line, code = f"{stage}: interrupted; the same command goes on from what was saved", INTERRUPTED
        logger.error("%s", line, exc_info=error)
    elif isinstance(error, SystemExit):
        return int(error.code or 0)
    else:
        line = f"{stage}: unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}; the log has the traceback"
        code = UNEXPECTED
        logger.error("%s", line, exc_info=error)
    terminal.write(f"headcast: {line}\n")
    terminal.flush()
    return code
