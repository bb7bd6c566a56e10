"""``download/manifest.json``: the raw files of a sequence as they were verified, with size and SHA-256."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headcast.errors import BadFile
from headcast.formats.atomic import write_json

FORMAT = "headcast/raw@1"


def write_raw(path: Path, subject: str, sequence: str, files: dict[str, dict[str, Any]]) -> Path:
    """Write the list: ``files`` by path below the subject's root, each with ``bytes`` and ``sha256``."""
    return write_json(path, {"format": FORMAT, "subject": subject, "sequence": sequence, "files": files})


def read_raw(path: Path) -> dict[str, Any]:
    """The list; ``BadFile`` when it is anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(path, f"is not a readable list of raw files ({error})", "delete it and run again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("files"), dict):
        raise BadFile(path, f"is not a {FORMAT} list", "delete it and run again")
    return content
