"""The results of all subjects side by side: one row a subject and sequence, empty where there is nothing, with the reason."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from headcast import layout
from headcast.delivery.licences import RIGHTS, SAYS, verdict
from headcast.errors import BadFile
from headcast.workflow.failures import Failure, read_failures

FIGURES: dict[str, tuple[str, str]] = {
    "psnr": ("held_out_cameras", "psnr"),
    "psnr_subject": ("held_out_cameras", "psnr_subject"),
    "ssim": ("held_out_cameras", "ssim"),
    "ms_ssim": ("held_out_cameras", "ms_ssim"),
    "flip": ("held_out_cameras", "flip"),
    "lpips": ("held_out_cameras", "lpips"),
    "frames_psnr": ("held_out_frames", "psnr"),
    "frames_ssim": ("held_out_frames", "ssim"),
    "hair_psnr": ("hair", "psnr"),
    "hair_iou": ("hair", "iou"),
    "hair_temporal_iou": ("hair", "temporal_iou"),
    "strand_precision": ("strands", "precision_4mm_40deg"),
    "strand_recall": ("strands", "recall_4mm_40deg"),
}
EVALUATED, FAILED, MISSING = "evaluated", "failed", "missing"


@dataclass(frozen=True)
class Row:
    """One avatar of the table; ``metrics`` is empty and ``why`` says something where there is none."""

    subject: str
    sequence: str
    state: str
    why: str
    metrics: dict[str, Any]
    picture: Path | None

    @property
    def figures(self) -> dict[str, float | None]:
        """The figures by name; None where there is none."""
        return {name: (self.metrics.get(group) or {}).get(key) for name, (group, key) in FIGURES.items()}

    @property
    def seconds(self) -> float | None:
        """Time that all rules of this subject and sequence took."""
        times = self.metrics.get("timing_s")
        return round(sum(times.values()), 1) if times else None

    @property
    def bill(self) -> list[dict[str, Any]]:
        """The avatar's bill of licences; empty where there is no avatar."""
        return (self.metrics.get("avatar") or {}).get("bill") or []


def read_rows(results: Path, roll: Iterable[str]) -> list[Row]:
    """A row for each pair of ``roll`` (``031,258/HAIR,FREE``): what lies in ``results``, and why something does not."""
    failures = read_failures(layout.under(results, layout.failures))
    groups = [(subjects.split(","), names.split(",")) for subjects, _, names in (entry.partition("/") for entry in roll)]
    pairs = [(subject, name) for subjects, names in groups for subject in subjects for name in names]
    return [_row(results, subject, sequence, failures) for subject, sequence in sorted(pairs, key=itemgetter(0))]


def trained(results: Path) -> list[str]:
    """The roll of all avatars that lie in ``results``."""
    avatars = sorted(results.glob(layout.under(Path(), layout.avatar, "*", "*").as_posix()))
    return [f"{path.parent.parent.name}/{path.parent.name}" for path in avatars]


def _row(results: Path, subject: str, sequence: str, failures: Sequence[Failure]) -> Row:
    path = layout.under(results, layout.evaluation, subject, sequence)
    picture = layout.under(results, layout.evaluation_picture, subject, sequence)
    if path.exists():
        return Row(subject, sequence, EVALUATED, "", _read(path), picture if picture.exists() else None)
    mine = [f for f in failures if f.subject in (subject, "")]
    own = [f for f in mine if f.sequence in (sequence, "")] or mine
    if own:
        reasons = (f"{f.rule}{'' if f.sequence in (sequence, '') else f' of {f.sequence}'}: {f.line}" for f in own)
        return Row(subject, sequence, FAILED, "; ".join(reasons), {}, None)
    has_avatar = layout.under(results, layout.avatar, subject, sequence).exists()
    return Row(subject, sequence, MISSING, "trained, not evaluated" if has_avatar else "not made yet", {}, None)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(path, f"is not readable ({error})", "delete it and run again: rule evaluate writes it") from error
    if not isinstance(content, dict):
        raise BadFile(path, "is not a table of metrics", "delete it and run again: rule evaluate writes it")
    return content


def table(rows: Sequence[Row]) -> list[list[str]]:
    """Header and one line a row; a figure that does not exist is empty."""
    header = ["subject", "sequence", "state", *FIGURES, "seconds", *RIGHTS, "avatar_sha256", "code", "why"]
    return [header, *([*_cells(row)] for row in rows)]


def _cells(row: Row) -> list[str]:
    avatar = row.metrics.get("avatar") or {}
    figures = [number(value) for value in (*row.figures.values(), row.seconds)]
    rights = [SAYS[verdict(row.bill, right)[0]] if row.bill else "" for right in RIGHTS]
    return [row.subject, row.sequence, row.state, *figures, *rights, avatar.get("digest") or "", avatar.get("code") or "", row.why]


def number(value: float | None) -> str:
    """A figure as text, six digits; empty where there is none."""
    return "" if value is None else f"{value:.6g}"


def as_csv(lines: Sequence[Sequence[str]]) -> str:
    """Lines as comma-separated text."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue()
