"""What the rules need to know about the configuration while the DAG is built: no science, no data, only paths and names."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from glob import glob
from pathlib import Path
from typing import Protocol

from headcast import layout
from headcast.capture.capture import raw_files
from headcast.capture.download import LINK
from headcast.capture.nersemble import ACCESS
from headcast.config import Config
from headcast.errors import AssetMissing, HeadcastError


class Wildcards(Protocol):
    """What Snakemake hands to an input function."""

    subject: str
    sequence: str


@contextmanager
def one_line(leave: Callable[[int], object] = os._exit) -> Iterator[None]:
    """A user's mistake while planning ends the program with one line and its exit code, not with a traceback.

    Snakemake catches what is raised while it plans; once it holds its lock, ``leave=sys.exit`` lets it give that back.
    """
    try:
        yield
    except HeadcastError as error:
        sys.stderr.write(f"headcast: {error}\n")
        sys.stderr.flush()
        leave(error.exit_code)


@cache
def digest_of_files(folder: Path) -> str:
    """SHA-256 over names and contents of all files below ``folder``; empty when there are none."""
    seal = hashlib.sha256()
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    for path in files:
        seal.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode() + path.read_bytes())
    return seal.hexdigest() if files else ""


def doubling(mem_mb: int) -> Callable[[Wildcards, int], int]:
    """Memory of a rule (MB): twice as much at every further attempt; how many there are, a profile's ``retries`` says."""

    def needed(wildcards: Wildcards, attempt: int) -> int:
        return mem_mb * 2 ** (attempt - 1)

    return needed


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
            files = raw_files(subject.reader, root, wildcards.subject, wildcards.sequence, self._config.extraction.cameras)
            if not (root / wildcards.subject).exists() and not os.environ.get(LINK):
                raise AssetMissing(
                    root / wildcards.subject, f"the raw capture of {wildcards.subject}/{wildcards.sequence} is not there", ACCESS
                )
            return [str(path) for path in files]

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

    def ground_truth_digest(self, wildcards: Wildcards) -> str:
        """What ground truth says, so that figures follow when it comes or changes; empty where there is none."""
        return digest_of_files(Path(self.ground_truth(wildcards)))

    def finished_sequences(self, wildcards: object) -> list[str]:
        """Folders of the sequences that evaluated avatars learned from and that no unfinished one is being trained on."""
        avatars = [Path(path) for path in sorted(glob(layout.avatar.format(subject="*", sequence="*")))]
        folders = [folder for avatar in avatars if (folder := avatar.parent).joinpath("evaluation", "metrics.json").exists()]
        states = [Path(path).parent for path in glob(layout.state("*").format(subject="*", sequence="*") + "/state.pt")]
        busy = {learned for state in states for learned in self._learned_from(state.parent.parent)}
        found = dict.fromkeys(learned for folder in folders for learned in self._learned_from(folder))
        return [folder for folder in found if folder not in busy]

    def _learned_from(self, folder: Path) -> list[str]:
        """The folder of an avatar's own sequence and those of its extra ones."""
        subject, sequence = folder.parts[-2:]
        with one_line():
            names = (sequence, *self._config.extra_sequences(subject, sequence))
        return [layout.SEQUENCE.format(subject=subject, sequence=name) for name in names]

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
