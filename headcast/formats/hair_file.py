"""``hair_strands/``: the strands that training starts with, bound to the scalp, and the carved surface they were grown in.

``strands.npz``: ``points`` S P 3 float32 (m, skull frame, root first), ``face`` S int32 and ``barycentric`` S 3 float32 (where the
root lies on the fitted head's canonical mesh), ``color`` S 3 float32 (sRGB-encoded), ``width`` float32 (m, standard deviation).
``surface.npz``, where they were grown: ``points`` n 3 float32 (m), ``directions`` n 3 float16 (unit, sign arbitrary),
``confidence`` n float16. The facts of the manifest say how the strands came about.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from headcast.avatar.groom import Groom, Surface
from headcast.errors import BadFile
from headcast.formats.manifest import Product, read_product, write_product

KIND = "hair_strands"
AGAIN = "run grow_hair again"
STRANDS = {"points": (None, None, 3), "face": (None,), "barycentric": (None, 3), "color": (None, 3), "width": ()}
SURFACE = {"points": (None, 3), "directions": (None, 3), "confidence": (None,)}
TOLERANCE = 1e-3


def write_hair(path: Path, groom: Groom, facts: dict[str, Any], surface: Surface | None = None) -> Path:
    """Write the product; ``BadFile`` for strands that `read_hair` would refuse."""
    arrays: dict[str, np.ndarray] = {
        "points": _plain(groom.points, np.float32),
        "face": _plain(groom.face, np.int32),
        "barycentric": _plain(groom.barycentric, np.float32),
        "color": _plain(groom.color, np.float32),
        "width": np.array(groom.width, np.float32),
    }
    _check(path, arrays)
    with write_product(path, KIND) as writer:
        writer.facts |= facts
        writer.add_arrays("strands.npz", **arrays)
        if surface is not None:
            writer.add_arrays(
                "surface.npz",
                points=_plain(surface.points, np.float32),
                directions=_plain(surface.directions, np.float16),
                confidence=_plain(surface.confidence, np.float16),
            )
    return path


def read_hair(path: Path) -> tuple[Groom, Product]:
    """Read the strands, and the product with its facts and digest; ``BadFile`` when they contradict themselves."""
    product = read_product(path, KIND)
    arrays = product.arrays("strands.npz")
    _check(path, arrays)
    groom = Groom(
        points=torch.from_numpy(arrays["points"]).float(),
        face=torch.from_numpy(arrays["face"]).long(),
        barycentric=torch.from_numpy(arrays["barycentric"]).float(),
        color=torch.from_numpy(arrays["color"]).float(),
        width=float(arrays["width"]),
    )
    return groom, product


def read_hair_surface(path: Path) -> Surface | None:
    """The carved surface that the strands were grown in; None where they come from a file."""
    product = read_product(path, KIND)
    if "surface.npz" not in product.members:
        return None
    arrays = product.arrays("surface.npz")
    _check_shapes(path, arrays, SURFACE)
    return Surface(*(torch.from_numpy(arrays[name].astype(np.float32)) for name in Surface._fields))


def _plain(tensor: torch.Tensor, dtype: type) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(dtype)


def _check(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Shapes, then what the numbers have to be."""
    _check_shapes(path, arrays, STRANDS)
    points, share = arrays["points"], arrays["barycentric"]
    wrong = {
        "no strand of two points": len(points) == 0 or points.shape[1] < 2,
        "negative faces": bool((arrays["face"] < 0).any()),
        "barycentrics outside of their triangles": bool((abs(share.sum(1) - 1) > TOLERANCE).any() or (share < -TOLERANCE).any()),
        "colours outside of 0 … 1": bool((arrays["color"] < 0).any() or (arrays["color"] > 1).any()),
        "a width that is not positive": not arrays["width"] > 0,
    }
    for what, found in wrong.items():
        if found:
            raise BadFile(path, f"holds {what}", AGAIN)


def _check_shapes(path: Path, arrays: dict[str, np.ndarray], shapes: dict[str, tuple[int | None, ...]]) -> None:
    missing = [name for name in shapes if name not in arrays]
    if missing:
        raise BadFile(path, f"has no {missing[0]}", AGAIN)
    count = arrays["points"].shape[:1]
    for name, shape in shapes.items():
        array = arrays[name]
        fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
        if not fits or (shape and array.shape[:1] != count):
            raise BadFile(path, f"{name} has shape {array.shape}, which does not fit", AGAIN)
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise BadFile(path, f"{name} holds values that are not finite numbers", AGAIN)
