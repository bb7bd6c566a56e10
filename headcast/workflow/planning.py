"""What the rules need to know about the configuration while the DAG is built: no science, no data, only paths and names."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from glob import glob
from pathlib import Path
from typing import Any, Protocol

from headcast import layout
from headcast.assets import obtained, require_reader, used_by
from headcast.capture.download import LINK
from headcast.capture.raw import ACCESS, LAYOUTS, raw_files, recorded
from headcast.config import Config
from headcast.delivery.results_page import write_summary
from headcast.errors import AssetMissing, ConfigError, HeadcastError
from headcast.formats.raw_list import state_of
from headcast.head_files import head_assets
from headcast.workflow.cohort import matches, select
from headcast.workflow.failures import collect, write_failures

GROUND_TRUTH = "ground_truth"


class Wildcards(Protocol):
    """What Snakemake hands to an input function."""

    subject: str
    sequence: str


class ModelWildcards(Protocol):
    """What Snakemake hands to the input function of a head model."""

    model: str


def pictured(category: str, **labels: str) -> dict[str, Any]:
    """How the report shows an output of one subject and sequence; further ``labels`` tell several of a category apart."""
    labels = {"subject": "{subject}", "sequence": "{sequence}", **labels}
    return {"category": category, "caption": f"report/{category}.rst", "labels": labels}


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


def cohort(config: Config, downloads: bool) -> dict[str, list[str]]:
    """Sequences to build by subject; a range or pattern of subjects that chooses nothing is a ``ConfigError``.

    Of one uncalibrated camera nothing is built unless it is asked for.

    With ``downloads`` ranges and patterns also choose among what the data set offers.
    """

    def present(selector: str) -> set[str]:
        options = config.subjects[selector]
        root = options.data_root or config.data_root
        there = recorded(options.reader, root, downloads=downloads)
        if not any(matches(name, selector) for name in there):
            raise ConfigError(f"subjects.{selector}", f"chooses nothing under {root}", "put the participants there or name them")
        return there

    names = [name for name in select(config.subjects, present) if LAYOUTS[config.subject(name).reader].calibrated]
    return {name: chosen for name in names if (chosen := _sequences(config, name, downloads))}


def _sequences(config: Config, name: str, downloads: bool) -> list[str]:
    """Sequences to build of one subject; none is a ``ConfigError`` where the subject is named, else it is left out."""
    subject, root = config.subject(name), config.capture_root(name)
    selectors = config.sequences if subject.sequences is None else subject.sequences
    sequences = select(selectors, lambda selector: recorded(subject.reader, root, name, downloads))
    if not sequences and name in config.subjects:
        wrong = f"{root / name} holds no sequence that {', '.join(selectors) or 'an empty list'} chooses"
        raise ConfigError(f"subjects.{name}", wrong, f"change sequences: or subjects.{name}.sequences:")
    return sequences


def _alternatives(names: Iterable[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


class Plan:
    """Answers for input functions and params, from one validated configuration."""

    def __init__(self, config: Config, own_environments: bool = False) -> None:
        """``own_environments`` when jobs do not run in this process's environment, so that its packages say nothing of theirs."""
        self._config, self._began, self._packages_too = config, 0.0, not own_environments
        with one_line():
            self.cohort = cohort(config, downloads=bool(os.environ.get(LINK)))
        everyone = config.subjects.values()
        self._related = bool(config.training.extra_sequences) or any(one.extra_sequences or one.identity for one in everyone)
        drivers = [name for name, one in config.subjects.items() if not LAYOUTS[one.reader].calibrated]
        names = _alternatives([*self.cohort, *drivers])
        self.subject_pattern = rf"\d{{3}}|{names}" if names else r"\d{3}"

    def taken_from(self, reader: str) -> str:
        """Pattern of the subjects whose products another tool has made, which ``reader`` takes; of none where there is none."""
        return _alternatives(name for name, one in self._config.subjects.items() if one.reader == reader) or r"(?!)"

    def each(self, *patterns: str, extras: bool = False) -> list[str]:
        """The patterns for every configured subject and sequence; with ``extras`` also for the sequences they learn from."""
        pairs = {(subject, sequence): None for subject, sequences in self.cohort.items() for sequence in sequences}
        if extras:
            pairs |= {(s, extra): None for s, q in list(pairs) for extra in self._config.extra_sequences(s, q)}
        return [pattern.format(subject=subject, sequence=sequence) for subject, sequence in pairs for pattern in patterns]

    def scored(self) -> list[str]:
        """Stage scores of every configured subject and sequence whose capture carries ground truth."""
        known = {name for name in self.cohort if (self._config.capture_root(name) / GROUND_TRUTH).is_dir()}
        pairs = [(subject, sequence) for subject in self.cohort if subject in known for sequence in self.cohort[subject]]
        return [layout.scores.format(subject=subject, sequence=sequence) for subject, sequence in pairs]

    def roll(self) -> list[str]:
        """The configured subjects and sequences as short as a command line needs them: ``031,258/HAIR,FREE``."""
        alike: dict[str, list[str]] = {}
        for subject, sequences in self.cohort.items():
            alike.setdefault(",".join(sequences), []).append(subject)
        return [f"{','.join(subjects)}/{sequences}" for sequences, subjects in alike.items()]

    def root(self, wildcards: Wildcards) -> str:
        """Folder of the raw capture."""
        with one_line():
            return str(self._config.capture_root(wildcards.subject))

    def reader(self, wildcards: Wildcards) -> str:
        """Reader of the raw capture."""
        with one_line():
            return self._config.subject(wildcards.subject).reader

    def rate(self, wildcards: Wildcards) -> float | None:
        """Frames per second of a capture whose files do not say."""
        with one_line():
            return self._config.subject(wildcards.subject).fps

    def raw(self, wildcards: Wildcards) -> str:
        """State of the raw files; without any file and without a link to download them the plan ends here, within seconds.

        As input files they would be most of what Snakemake holds in memory for many subjects, and a sequence that was fetched would
        run again, because its input files were not there when it was planned.
        """
        name, sequence = wildcards.subject, wildcards.sequence
        with one_line():
            root = self._config.capture_root(name)
            reader = self._config.subject(name).reader
            files = raw_files(reader, root, name, sequence, self._config.extraction.cameras)
            if not (root / name).exists() and not (reader == "nersemble" and os.environ.get(LINK)):
                todo = (
                    ACCESS if reader == "nersemble" else f"place it there in the layout of the reader {reader} (docs/captures.md)"
                )
                raise AssetMissing(root / name, f"the raw capture of {name}/{sequence} is not there", todo)
            return state_of(Path(layout.download.format(subject=name, sequence=sequence)), root, files)

    def head_files(self, wildcards: ModelWildcards) -> list[str]:
        """The user's files of a head model; a missing one ends the plan here."""
        with one_line():
            return [file.path for group in head_assets(wildcards.model).values() for file in group]

    def own_weights(self, section: str) -> dict[str, Callable[[Wildcards], list[str]]]:
        """Input ``own``: the user's files of the chosen backend; a missing file or package ends the plan here.

        An input that no job has is left out, here and below: an empty one is a kilobyte for each job.
        """
        backend = getattr(self._config, section).backend

        def resolve(wildcards: Wildcards) -> list[str]:
            with one_line():
                return [str(path) for path in obtained(section, backend, self._packages_too)]

        return {"own": resolve} if any(asset.package is None for asset in used_by({section: {"backend": backend}})) else {}

    def network_gpu(self, section: str) -> int:
        """GPUs of a rule whose backend may be a network of the user's."""
        return int(bool(self.own_weights(section)))

    def by_fit(self, **patterns: str) -> dict[str, str]:
        """``patterns`` where labels come from the fitted head, nothing where a network labels."""
        return patterns if self._config.hair_masks.backend == "embedded" else {}

    @property
    def strand_file(self) -> dict[str, Callable[[Wildcards], str]]:
        """Input ``own``: the user's strands, with subject and sequence filled into their name; nothing where hair is grown."""
        return {"own": self._strand_file} if self._config.hair.initialiser == "file" else {}

    def _strand_file(self, wildcards: Wildcards) -> str:
        name = str(self._config.hair.file)
        for key in ("subject", "sequence"):
            name = name.replace(f"{{{key}}}", getattr(wildcards, key))
        with one_line():
            if not Path(name).is_file():
                todo = "place them there or change hair.file (docs/hair.md)"
                raise AssetMissing(name, "the strands of hair.file are not there", todo)
            if self._packages_too:
                require_reader(Path(name))
        return name

    @property
    def identity(self) -> dict[str, Callable[[Wildcards], list[str]]]:
        """Input ``identity``: parameters of the sequence whose identity this one shares, if any; nothing where nobody shares."""
        return {"identity": self._identity} if self._related else {}

    def _identity(self, wildcards: Wildcards) -> list[str]:
        with one_line():
            owner = self._config.identity_sequence(wildcards.subject, wildcards.sequence)
        return [layout.driver_params.format(subject=wildcards.subject, sequence=owner)] if owner else []

    def outlines(self, pattern: str) -> dict[str, Callable[[Wildcards], list[str]] | str]:
        """Input ``mattes`` of a fit that outlines shape; not where another sequence gives the identity or a capture has none."""
        if not self._config.fitting.silhouette:
            return {}

        def resolve(wildcards: Wildcards) -> list[str]:
            with one_line():
                calibrated = LAYOUTS[self._config.subject(wildcards.subject).reader].calibrated
                shared = self._config.identity_sequence(wildcards.subject, wildcards.sequence)
            return [pattern.format(subject=wildcards.subject, sequence=wildcards.sequence)] if calibrated and not shared else []

        alike = not self._related and all(LAYOUTS[one.reader].calibrated for one in self._config.subjects.values())
        return {"mattes": pattern if alike else resolve}

    def of_sequences(self, pattern: str) -> Callable[[Wildcards], str | list[str]] | str:
        """Input function: ``pattern`` for the sequence itself and for every extra one its avatar learns from.

        One alone comes bare, and where no sequence has extra ones the pattern itself does: Snakemake keeps a list twice and looks
        into a function at every call, which for many subjects is a tenth of its memory and time.
        """

        def resolve(wildcards: Wildcards) -> str | list[str]:
            with one_line():
                extra = self._config.extra_sequences(wildcards.subject, wildcards.sequence)
            files = [pattern.format(subject=wildcards.subject, sequence=name) for name in (wildcards.sequence, *extra)]
            return files if extra else files[0]

        return resolve if self._related else pattern

    def driver(self, pattern: str) -> Callable[[Wildcards], str] | str:
        """Input function: ``pattern`` for the sequence that drives the re-enactment, of the same subject or of another."""
        driver = self._config.reenactment.driver

        def resolve(wildcards: Wildcards) -> str:
            subject, _, sequence = str(driver).rpartition("/")
            return pattern.format(subject=subject or wildcards.subject, sequence=sequence)

        return resolve if driver else pattern

    def flame(self, wildcards: Wildcards) -> str:
        """The head model of what holds FLAME's parameters; another one ends the plan here."""
        model = self._config.fitting.model
        with one_line():
            if model != "flame":
                raise ConfigError("fitting.model", f"is {model}; VHAP's folders hold FLAME", "set fitting: {model: flame}")
        return layout.head_model.format(model=model)

    def ground_truth(self, wildcards: Wildcards) -> str:
        """Where ground truth would lie; only evaluation and scoring get to know."""
        return str(Path(self.root(wildcards)) / GROUND_TRUTH)

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

    def weights(self, *sections: str) -> str:
        """Hashes of the networks and models that these sections bring in: when one changes, its stages run again."""
        settings = {name: getattr(self._config, name).model_dump(mode="json") for name in sections}
        return " ".join(str(asset.sha256) for asset in used_by(settings))

    def begin(self) -> None:
        """A run starts: what the last one failed at is forgotten."""
        self._began = time.time()
        Path(layout.failures).unlink(missing_ok=True)

    def explain(self, failed: Iterable[Any]) -> None:
        """A run failed: leave its failures and, for configured subjects, what there is of the summary; repeat every line last."""
        failures = collect(failed, self._began)
        lines, places = [failure.line for failure in failures], [str(write_failures(Path(layout.failures), failures))]
        if any(failure.subject in self.cohort or not failure.subject for failure in failures):
            try:
                places.append(str(write_summary(Path(layout.summary_table), Path(layout.summary_page), self.roll())))
            except HeadcastError as error:
                lines.append(str(error))
        for line in dict.fromkeys(lines):
            sys.stderr.write(f"headcast: {line}\n")
        sys.stderr.write(f"headcast: failed jobs: {len(failures)}; see {' and '.join(places)}\n")
