"""export_strands: the trained strands as files for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headcast.config import StrandExport
from headcast.delivery.strand_export import strands_of, write
from headcast.formats.avatar_file import read_avatar
from headcast.formats.manifest import write_product
from headcast.process.command import Progress


@dataclass(frozen=True)
class Inputs:
    """The avatar, and the manifest beside which ``strands.{format}`` are written."""

    avatar: Path
    output: Path


def run(inputs: Inputs, strand_export: StrandExport, progress: Progress) -> Path:
    """Write the hair at rest in every format that is asked for."""
    strands = strands_of(read_avatar(inputs.avatar))
    with write_product(inputs.output, "strands") as writer:
        writer.facts |= {
            "strands": len(strands.points),
            "points": strands.points.shape[1],
            "unit": "m",
            "frame": "skull",
            "up": "y",
        }
        for number, kind in enumerate(strand_export.formats, start=1):
            writer.add_bytes(f"strands.{kind}", write(strands, kind))
            progress(number, len(strand_export.formats), kind)
    return inputs.output
