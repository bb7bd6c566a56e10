"""``download/manifest.json``: the raw files of a sequence as they were verified, with size and SHA-256.

``state`` is what the plan made of the raw files before the run that verified them, possibly before they were fetched. As long as
the files are still those that the list names, the plan says the same again, and nothing re-runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from headcast.errors import BadFile
from headcast.formats.atomic import write_json

FORMAT = "headcast/raw@1"


def write_raw(path: Path, subject: str, sequence: str, files: dict[str, dict[str, Any]], state: str) -> Path:
    """Write the list: ``files`` by path below the subject's root, each with ``bytes`` and ``sha256``."""
    return write_json(path, {"format": FORMAT, "subject": subject, "sequence": sequence, "state": state, "files": files})


def read_raw(path: Path) -> dict[str, Any]:
    """The list; ``BadFile`` when it is anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(path, f"is not a readable list of raw files ({error})", "delete it and run again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("files"), dict):
        raise BadFile(path, f"is not a {FORMAT} list", "delete it and run again")
    return content


def state_of(path: Path, root: Path, files: Iterable[Path]) -> str:
    """State of the raw ``files`` below ``root``: that of the list at ``path`` while it is true, else a hash of their own."""
    present = {file.relative_to(root).as_posix(): file for file in files}
    with suppress(BadFile, FileNotFoundError):
        content, written = read_raw(path), path.stat().st_mtime_ns
        listed = content["files"]
        same = all(name in present and _unchanged(present[name], entry, written) for name, entry in listed.items())
        new = any(file.stat().st_mtime_ns > written for name, file in present.items() if name not in listed)
        if same and not new and content.get("state"):
            return str(content["state"])
    states = [(name, file.stat().st_size, file.stat().st_mtime_ns) for name, file in sorted(present.items())]
    return hashlib.sha256(repr(states).encode()).hexdigest()[:12]


def _unchanged(file: Path, entry: dict[str, Any], written: int) -> bool:
    found = file.stat()
    if found.st_size != entry["bytes"]:
        return False
    if found.st_mtime_ns <= written:
        return True
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == str(entry["sha256"])
