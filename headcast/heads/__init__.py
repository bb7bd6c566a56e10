"""Parametric head models behind one protocol, chosen by name from a closed list."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from headcast.errors import ConfigError
from headcast.heads.model import HeadModel, HeadParameters

if TYPE_CHECKING:
    from pathlib import Path

MODELS = {"open": "headcast.heads.open_head"}

__all__ = ["MODELS", "HeadModel", "HeadParameters", "load_head_model"]


def load_head_model(name: str, cache: Path | None = None) -> HeadModel:
    """The head model ``name``; ``cache`` is a file that models which are built from raw assets may write and reuse.

    Raises ``ConfigError`` for an unknown name, ``AssetMissing`` where the model's files are not installed.
    """
    if name not in MODELS:
        raise ConfigError("fitting.model", f"unknown head model {name!r}", f"one of {', '.join(sorted(MODELS))}")
    return import_module(MODELS[name]).load(cache)
