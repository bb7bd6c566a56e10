"""Heads made from files that the user obtained: found, hashed, built once, and kept in one npz with what they came from."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headcast.head_files import head_assets
from headcast.heads import open_head
from headcast.heads.asset_files import sha256
from headcast.heads.cache import read_cache, write_cache
from headcast.heads.linear_head import LinearHead

logger = logging.getLogger(__name__)

Build = Callable[[Mapping[str, tuple[Path, ...]], LinearHead], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Built:
    """A head's arrays with their origin: SHA-256 by path of every file that went in, and the licence of the model's own."""

    arrays: dict[str, np.ndarray]
    sources: dict[str, str]
    licence: str
    redistributable: bool


def built(name: str, recipe: str, build: Build, cache: Path | None, root: Path) -> Built:
    """The head from its cache, or built from the files under ``root`` and cached.

    ``build`` gets the files by role and the `open` head. ``AssetMissing`` names a file that has to be obtained.
    """
    arrays = read_cache(cache, recipe)
    if arrays is None:
        assets = head_assets(name, root)
        files = {role: tuple(root / asset.path for asset in group) for role, group in assets.items()}
        logger.info("building the head model %s from %s", name, ", ".join(str(path) for group in files.values() for path in group))
        origin = {
            "sources": {asset.path: sha256(root / asset.path) for group in assets.values() for asset in group},
            "licence": assets["model"][0].licence,
            "redistributable": assets["model"][0].redistributable,
        }
        arrays = build(files, open_head.load()) | {
            "recipe": np.array(recipe),
            "origin": np.array(json.dumps(origin, sort_keys=True)),
        }
        if cache is not None:
            write_cache(cache, arrays)
    return Built(arrays, **json.loads(str(arrays["origin"])))
