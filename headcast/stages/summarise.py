"""summarise: the results of all subjects in one table and one page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headcast.delivery.results_page import write_summary


@dataclass(frozen=True)
class Inputs:
    """Who was to be built (``031,258/HAIR,FREE``), and the two files to write into the folder of the results."""

    roll: list[str]
    table: Path
    page: Path


def run(inputs: Inputs) -> Path:
    """Read what is there of every subject and sequence, and lay it side by side; what is missing stays empty and is listed."""
    return write_summary(inputs.table, inputs.page, inputs.roll)
