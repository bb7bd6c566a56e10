"""The bill of an avatar: every capture, model, network and package that went in, its licence, and what they allow together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from headcast.assets import Asset, assets, packages
from headcast.config import PARTICIPANT
from headcast.errors import BadFile

SAYS = {True: "allowed", False: "not allowed", None: "not known"}
RIGHTS = {"commercial": "commercial use", "redistribution": "redistribution"}


def identify(subject: str, raw: Mapping[str, Any]) -> Asset:
    """Which capture a list of raw files is: the embedded one by its calibration, NeRSemble by its participant, else one's own."""
    hashes = {entry["sha256"] for entry in raw["files"].values()}
    if assets()["demo"].sha256 in hashes:
        return assets()["demo"]
    return assets()["nersemble" if PARTICIPANT.fullmatch(subject) else "own"]


def bill(capture: Asset, used: Iterable[Asset], versions: Mapping[str, str]) -> list[dict[str, Any]]:
    """One entry for the capture, each asset and each known package of ``versions``."""
    known = [(name, version) for name, version in versions.items() if name in packages()]
    return [*map(_asset, [capture, *used]), *(_package(name, version) for name, version in known)]


def _asset(asset: Asset) -> dict[str, Any]:
    names = ("kind", "name", "version", "sha256", "licence", "source", "commercial", "redistribution", "note")
    return {name: getattr(asset, name) for name in names}


def _package(name: str, version: str) -> dict[str, Any]:
    """A package is a tool: unless it is for research only, nothing of its licence passes to what it makes."""
    known = packages()[name]
    entry = {"kind": "package", "name": name, "version": version, "sha256": None, "licence": known.licence, "source": known.source}
    return {**entry, "commercial": known.commercial, "redistribution": True, "note": None}


def verdict(entries: Iterable[Mapping[str, Any]], right: str) -> tuple[bool | None, list[str]]:
    """Whether ``right`` (a key of ``RIGHTS``) is given, None where that is not known, and the entries that stand in the way."""
    given = {entry["name"]: entry[right] for entry in entries}
    for answer in (False, None):
        names = [name for name, value in given.items() if value is answer]
        if names:
            return answer, names
    return True, []


def render(path: Path, metadata: Mapping[str, Any]) -> str:
    """The bill as lines of text; ``BadFile`` for an avatar that carries none."""
    if not metadata.get("bill"):
        raise BadFile(path, "carries no bill of licences", "train it again (rule train_avatar)")
    entries = metadata["bill"]
    lines = [
        f"avatar   {path}",
        f"content  sha256 {metadata['digest']}",
        f"made of  {metadata['subject']}: {', '.join(metadata['sequences'])}; code {metadata['code']}",
        "",
        *_columns([("what", "name", "version", "licence", "source", "sha256")] + [_line(entry) for entry in entries]),
        *(f"note     {entry['name']}: {entry['note']}" for entry in entries if entry["note"]),
        "",
        *(f"{label}: {_said(entries, right)}" for right, label in RIGHTS.items()),
    ]
    return "\n".join(lines)


def _line(entry: Mapping[str, Any]) -> tuple[str, ...]:
    shown = {**entry, "licence": entry["licence"] or "not stated", "sha256": (entry["sha256"] or "")[:16]}
    return tuple(str(shown[name] or "") for name in ("kind", "name", "version", "licence", "source", "sha256"))


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _said(entries: list[dict[str, Any]], right: str) -> str:
    answer, names = verdict(entries, right)
    return SAYS[answer] + (f" ({', '.join(names)})" if names else "")
