"""What the rules need to know about the configuration while the DAG is built: no science, no data, only paths and names."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from headcast import layout
from headcast.assets import head_assets
from headcast.capture.capture import raw_files
from headcast.capture.download import LINK
from headcast.capture.nersemble import ACCESS
from headcast.config import Config
from headcast.errors import AssetMissing, HeadcastError


class Wildcards(Protocol):
    """What Snakemake hands to an input function."""

    subject: str
    sequence: str


class ModelWildcards(Protocol):
    """What Snakemake hands to the input function of a head model."""

    model: str


@contextmanager
def one_line() -> Iterator[None]:
    """A user's mistake while planning ends the program with one line and its exit code, not with a traceback."""
    try:
        yield
    except HeadcastError as error:
        sys.stderr.write(f"headcast: {error}\n")
        sys.stderr.flush()
        os._exit(error.exit_code)


def share_package(root: Path) -> None:
    """Let every job import this checkout's package and scripts, installed or not, also inside a conda environment."""
    before = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part and part != str(root)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(root), *before])


class Plan:
    """Answers for input functions and params, from one validated configuration."""

    def __init__(self, config: Config) -> None:
        self._config = config
        names = "|".join(re.escape(name) for name in sorted(config.subjects, key=len, reverse=True))
        self.subject_pattern = rf"\d{{3}}|{names}" if names else r"\d{3}"

    def everything(self) -> list[str]:
        """Targets of ``all``: every configured subject with every configured sequence."""
        targets = (layout.avatar, layout.evaluation, layout.scores)
        pairs = [(subject, sequence) for subject in self._config.subjects for sequence in self._config.sequences]
        return [target.format(subject=subject, sequence=sequence) for subject, sequence in pairs for target in targets]

    def root(self, wildcards: Wildcards) -> str:
        """Folder of the raw capture."""
        with one_line():
            return str(self._config.capture_root(wildcards.subject))

    def reader(self, wildcards: Wildcards) -> str:
        """Reader of the raw capture."""
        with one_line():
            return self._config.subject(wildcards.subject).reader

    def raw(self, wildcards: Wildcards) -> list[str]:
        """Raw files that exist; without any and without a link to download them the plan ends here, within seconds."""
        with one_line():
            subject = self._config.subject(wildcards.subject)
            root = self._config.capture_root(wildcards.subject)
            files = raw_files(subject.reader, root, wildcards.subject, wildcards.sequence)
            if not (root / wildcards.subject).exists() and not os.environ.get(LINK):
                raise AssetMissing(
                    root / wildcards.subject, f"the raw capture of {wildcards.subject}/{wildcards.sequence} is not there", ACCESS
                )
            return [str(path) for path in files]

    def head_files(self, wildcards: ModelWildcards) -> list[str]:
        """The user's files of a head model; a missing one ends the plan here."""
        with one_line():
            return [asset.path for group in head_assets(wildcards.model).values() for asset in group]

    def identity(self, wildcards: Wildcards) -> list[str]:
        """Parameters of the sequence whose identity this one shares, if any."""
        with one_line():
            owner = self._config.identity_sequence(wildcards.subject, wildcards.sequence)
        return [layout.driver_params.format(subject=wildcards.subject, sequence=owner)] if owner else []

    def of_sequences(self, pattern: str) -> Callable[[Wildcards], list[str]]:
        """Input function: ``pattern`` for the sequence itself and for every extra one its avatar learns from."""

        def resolve(wildcards: Wildcards) -> list[str]:
            with one_line():
                extra = self._config.extra_sequences(wildcards.subject, wildcards.sequence)
            return [pattern.format(subject=wildcards.subject, sequence=name) for name in (wildcards.sequence, *extra)]

        return resolve

    def driver(self, wildcards: Wildcards) -> str:
        """Parameters that drive the re-enactment."""
        sequence = self._config.reenactment.driver or wildcards.sequence
        return layout.driver_params.format(subject=wildcards.subject, sequence=sequence)

    def ground_truth(self, wildcards: Wildcards) -> str:
        """Where ground truth would lie; only evaluation and scoring get to know."""
        return str(Path(self.root(wildcards)) / "ground_truth")

    def explain(self, log: str | list[str]) -> None:
        """After a failed run: repeat every line that headcast said about it, last, where it is seen."""
        text = ""
        for path in [log] if isinstance(log, str) else log:
            try:
                text += Path(path).read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
        for line in dict.fromkeys(line for line in text.splitlines() if line.startswith("headcast: ") and " wrote " not in line):
            sys.stderr.write(line + "\n")
