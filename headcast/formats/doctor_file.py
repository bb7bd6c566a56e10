"""``doctor.json``: the verdict on a sequence before training; every finding, and the failed checks that stop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headcast.errors import BadFile, CaptureError
from headcast.formats.atomic import write_json

FORMAT = "headcast/doctor@1"


def write_verdict(path: Path, verdict: dict[str, Any]) -> Path:
    """Write a verdict (``stops_training``, ``allowed``, ``findings``)."""
    return write_json(path, {"format": FORMAT, **verdict})


def read_verdict(path: Path) -> dict[str, Any]:
    """Read a verdict; ``BadFile`` when it is anything else."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(path, f"is not a readable verdict ({error})", "run the doctor stage again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BadFile(path, f"is not a {FORMAT} file", "run the doctor stage again")
    return content


def require_health(paths: Sequence[Path]) -> None:
    """``CaptureError`` with the first check that stops training in any of the sequences."""
    for path in paths:
        verdict = read_verdict(path)
        for finding in verdict["findings"]:
            if finding["check"] in verdict["stops_training"]:
                where = f", {finding['where']}" if finding["where"] else ""
                figure = f"{finding['figure']:.4g} {finding['unit']}{where}"
                raise CaptureError(
                    path,
                    f"the check {finding['check']} failed ({figure}; {finding['threshold']})",
                    f"{finding['fix']}, or name it under doctor.allow_failures; {Path(path).with_suffix('.html')} shows more",
                )
