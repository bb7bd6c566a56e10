"""head_model: build a parametric head once and cache it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headcast.heads import load_head_model


@dataclass(frozen=True)
class Inputs:
    """Which model, and its cache file."""

    model: str
    output: Path


def run(inputs: Inputs) -> Path:
    """Build the model, from the user's files where it needs some, and write its cache."""
    load_head_model(inputs.model, cache=inputs.output)
    return inputs.output
