"""Per-pixel products: mattes, labels with the soft hair matte, orientation.

``mattes/{frame}/matte_{serial}.png`` · ``masks/{frame}/{labels,hair}_{serial}.png`` ·
``orientation_maps/{frame}/orientation_{serial}.npz``
Orientation is stored on the box that has any: ``box`` (top, left, bottom, right), ``angle`` and ``confidence`` float16.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from headcast.errors import BadFile
from headcast.formats.frames import member_name
from headcast.formats.manifest import Product, npz, png, read_product


def matte_bytes(alpha: Float[np.ndarray, "H W"]) -> bytes:
    """Alpha in [0, 1] as 8-bit PNG."""
    return png(to_byte(alpha))


def to_byte(alpha: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """Quantise [0, 1] to 0 … 255."""
    return np.rint(np.clip(alpha, 0, 1) * 255).astype(np.uint8)


def orientation_bytes(angle: Float[np.ndarray, "H W"], confidence: Float[np.ndarray, "H W"]) -> bytes:
    """Angle (rad, NaN where none) and confidence, cut to the box that holds any."""
    known = np.isfinite(angle) & (confidence > 0)
    rows, columns = np.nonzero(known.any(1))[0], np.nonzero(known.any(0))[0]
    box = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) if len(rows) else (0, 0, 0, 0)
    cut = np.s_[box[0] : box[2], box[1] : box[3]]
    return npz(
        box=np.array(box, np.int32),
        shape=np.array(angle.shape, np.int32),
        angle=np.where(known, angle, np.nan)[cut].astype(np.float16),
        confidence=np.where(known, confidence, 0)[cut].astype(np.float16),
    )


@dataclass(frozen=True)
class Mattes:
    """Alpha of every view."""

    product: Product

    def alpha(self, frame: int, serial: str) -> UInt8[np.ndarray, "H W"]:
        """Alpha, 255 = opaque."""
        return self.product.image(member_name("matte", frame, serial))


@dataclass(frozen=True)
class Masks:
    """Labels and soft hair matte of every view."""

    product: Product

    def labels(self, frame: int, serial: str) -> UInt8[np.ndarray, "H W"]:
        """0 background, 1 body, 2 face, 3 hair."""
        return self.product.image(member_name("labels", frame, serial))

    def hair(self, frame: int, serial: str) -> UInt8[np.ndarray, "H W"]:
        """Share of the pixel that is hair, 255 = all."""
        return self.product.image(member_name("hair", frame, serial))


@dataclass(frozen=True)
class Orientations:
    """Hair orientation of every view."""

    product: Product

    def maps(self, frame: int, serial: str) -> tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
        """Angle (rad in [0, π), NaN where none) and confidence (0 where none) as float16."""
        name = member_name("orientation", frame, serial, "npz")
        arrays = self.product.arrays(name)
        try:
            top, left, bottom, right = (int(v) for v in arrays["box"])
            angle = np.full(tuple(arrays["shape"]), np.nan, np.float16)
            confidence = np.zeros(angle.shape, np.float16)
            angle[top:bottom, left:right] = arrays["angle"]
            confidence[top:bottom, left:right] = arrays["confidence"]
        except (KeyError, ValueError) as error:
            raise BadFile(
                self.product.folder / name, f"is not an orientation map ({error})", "run orientation_maps again"
            ) from error
        return angle, confidence


def read_mattes(path: Path) -> Mattes:
    """Open the mattes of a sequence."""
    return Mattes(read_product(path, "mattes"))


def read_masks(path: Path) -> Masks:
    """Open the labels of a sequence."""
    return Masks(read_product(path, "masks"))


def read_orientations(path: Path) -> Orientations:
    """Open the orientation maps of a sequence."""
    return Orientations(read_product(path, "orientation_maps"))
