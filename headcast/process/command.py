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
import platform
import sys
import time
import typing
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

from headcast.config import Section, validate
from headcast.errors import ConfigError, HeadcastError
from headcast.formats.claim import claim_log
from headcast.process.shortage import shortage
from headcast.process.signals import INTERRUPTED, catch_signals, follow_scheduler

UNEXPECTED = 1
PROGRESS_SECONDS = 5.0
logger = logging.getLogger("headcast")


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
    try:
        catch_signals()
        wanted = follow_scheduler()
        claimed = None if log is None else claim_log(log, lambda: _say(sys.stderr, f"{stage} waits for an earlier run"), wanted)
    except HeadcastError as error:
        _say(sys.stderr, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    with _Terminal(claimed) as terminal:
        logger.info("%s in Python %s at %s", stage, platform.python_version(), sys.prefix)
        progress = Progress(stage, terminal)
        try:
            sections = _sections(run, hints, settings)
            extra = {"progress": progress} if "progress" in hints else {}
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
        _say(self._stream, text)


@dataclass
class _Terminal:
    """Sends file descriptors 1 and 2 to the open log, which it takes over, and keeps the real standard error for the user."""

    log: int | None

    def __enter__(self) -> TextIO:
        sys.stdout.flush()
        sys.stderr.flush()
        self._kept = [os.dup(1), os.dup(2)]
        self._user = os.fdopen(os.dup(2), "w", encoding="utf-8")
        if self.log is not None:
            os.dup2(self.log, 1)
            os.dup2(self.log, 2)
            os.close(self.log)
        self._said = os.fdopen(os.dup(2), "w", encoding="utf-8")
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True, stream=self._said
        )
        return self._user

    def __exit__(self, *failure: object) -> None:
        logging.getLogger().handlers.clear()
        for finish in (self._said.close, sys.stdout.flush, sys.stderr.flush):
            with suppress(OSError):  # a full disk takes no log either; what to do stands on the terminal
                finish()
        for target, kept in enumerate(self._kept, start=1):
            os.dup2(kept, target)
            os.close(kept)
        with suppress(OSError):
            self._user.close()


def _say(stream: TextIO, text: str) -> None:
    """One line to the user; that nobody listens any more is no reason to fail."""
    with suppress(OSError):
        stream.write(f"headcast: {text}\n")
        stream.flush()


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
    if not isinstance(error, HeadcastError) and (short := shortage(error, stage)):
        short.__cause__, error = error, short
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
    _say(terminal, line)
    return code
