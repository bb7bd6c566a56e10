"""Picture files of a capture: 8 bits a channel or a line that says why not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from headcast.errors import BadFile

AGAIN = "obtain the file again"
DAMAGED = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
DEEP = ("I", "F")  # what Pillow calls pictures of more than 8 bits; their conversion would clip


def read_picture(path: Path, mode: str = "RGB", todo: str = AGAIN) -> UInt8[np.ndarray, "H W *c"]:
    """A picture file as ``RGB`` or grey (``L``); ``BadFile`` when it is none, or grey of more than 8 bits."""
    return decode(path, path, "is not a readable picture", mode, todo)


def decode(source: Path | BinaryIO, path: Path, wrong: str, mode: str = "RGB", todo: str = AGAIN) -> UInt8[np.ndarray, "H W *c"]:
    """A picture from ``source``; ``path`` and ``wrong`` are what the error names where it is damaged."""
    try:
        with Image.open(source) as image:
            if image.mode.startswith(DEEP):
                raise BadFile(path, "is a grey picture of more than 8 bits", "save it with 8 bits a channel")
            return np.asarray(image.convert(mode))
    except DAMAGED as error:
        raise BadFile(path, wrong, todo) from error


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture file, from its header."""
    try:
        with Image.open(path) as image:
            return image.size
    except DAMAGED as error:
        raise BadFile(path, "is not a readable picture", AGAIN) from error


def pixels(size: Sequence[int]) -> str:
    """Width and height as messages show them."""
    return f"{size[0]}×{size[1]} px"
