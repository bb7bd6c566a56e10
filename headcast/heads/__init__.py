"""Parametric head models behind one protocol, chosen by name from a closed list."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from headcast.errors import ConfigError
from headcast.heads.model import HeadModel, HeadParameters

MODELS = {
    "open": "headcast.heads.open_head",
    "flame": "headcast.heads.flame_head",
    "bfm": "headcast.heads.bfm_head",
    "ict": "headcast.heads.ict_head",
}

__all__ = ["MODELS", "HeadModel", "HeadParameters", "load_head_model"]


def load_head_model(name: str, cache: Path | None = None, root: Path = Path()) -> HeadModel:
    """The head model ``name``; ``cache`` is the npz file that it is read from, or written to once it is built.

    Models of the user's files are built from ``assets`` under ``root``. Raises ``ConfigError`` for an unknown name,
    ``AssetMissing`` where the model's files are not installed, ``BadFile`` where they are not what they should be.
    """
    if name not in MODELS:
        raise ConfigError("fitting.model", f"unknown head model {name!r}", f"one of {', '.join(MODELS)}")
    head: HeadModel = import_module(MODELS[name]).load(cache, root)
    return head
