"""swap_hair: an avatar with the hair of another one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headcast.avatar.hairstyles import with_hair_of
from headcast.formats.avatar_file import read_avatar, write_avatar
from headcast.process.command import Progress


@dataclass(frozen=True)
class Inputs:
    """The avatar whose head it is, the one whose hair it is, and the avatar to write."""

    avatar: Path
    other: Path
    output: Path


def run(inputs: Inputs, progress: Progress) -> Path:
    """Re-root the other's strands; the bill of licences is that of both, and the metadata name the hair's origin."""
    avatar, other = read_avatar(inputs.avatar), read_avatar(inputs.other)
    swapped = with_hair_of(avatar, other)
    assert swapped.hair is not None
    metadata = {key: value for key, value in avatar.metadata.items() if key != "digest"}
    bills = [*avatar.metadata.get("bill", []), *other.metadata.get("bill", [])]
    metadata["bill"] = [entry for number, entry in enumerate(bills) if entry not in bills[:number]]
    metadata["hair_of"] = {key: other.metadata.get(key) for key in ("subject", "sequences", "digest")}
    write_avatar(inputs.output, swapped, metadata)
    progress(1, 1, f"{len(swapped.hair.roots)} of {len(other.hair.roots) if other.hair else 0} strands")
    return inputs.output
