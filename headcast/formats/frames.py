"""The products of extraction: working images of every frame and camera, their cameras, plates and visible regions.

``images/{frame:04d}/image_{serial}.png`` (``mask_{serial}.png`` beside it where the capture brings its own mattes) ·
``cameras/cameras.json`` · ``background/{image,visible}_{serial}.png``
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from headcast.capture.camera import Camera
from headcast.errors import BadFile, CaptureError
from headcast.formats.manifest import Product, ProductWriter, read_product, write_product


def member_name(kind: str, frame: int, serial: str, suffix: str = "png") -> str:
    """Name of the member of a per-view product: ``0003/{kind}_{serial}.png``."""
    return f"{frame:04d}/{kind}_{serial}.{suffix}"


@dataclass(frozen=True)
class Images:
    """The working images of a sequence: square, sRGB uint8."""

    product: Product

    @property
    def frames(self) -> int:
        """Number of frames F."""
        return int(self.product.facts["frames"])

    @property
    def serials(self) -> list[str]:
        """Camera serials, sorted."""
        return list(self.product.facts["cameras"])

    @property
    def size(self) -> int:
        """Side of the images (px)."""
        return int(self.product.facts["size"])

    @property
    def times(self) -> list[float]:
        """Time of each frame (s) since the first."""
        return [float(t) for t in self.product.facts["times_s"]]

    @property
    def raw_frames(self) -> list[int]:
        """Number of each frame in the raw video, ascending."""
        return [int(index) for index in self.product.facts["raw_frames"]]

    @property
    def color_corrections(self) -> dict[str, Float[np.ndarray, "3 k"]]:
        """What each camera's linear colours were multiplied with (`headcast.imaging.color.correct`), by serial; empty: nothing."""
        return {serial: np.array(matrix) for serial, matrix in self.product.facts.get("color_corrections", {}).items()}

    def image(self, frame: int, serial: str) -> UInt8[np.ndarray, "H W 3"]:
        """One image."""
        return self.product.image(member_name("image", frame, serial))

    def mask(self, frame: int, serial: str) -> UInt8[np.ndarray, "H W"]:
        """The capture's own matte of a view, 255 = subject; ``CaptureError`` where it brought none."""
        if not self.product.facts["masks"]:
            raise CaptureError(self.product.path, "the capture brings no mattes of its own", "set matting.backend: plate")
        return self.product.image(member_name("mask", frame, serial))

    def views(self) -> list[tuple[int, str]]:
        """Every (frame, serial), frames outermost."""
        return [(frame, serial) for frame in range(self.frames) for serial in self.serials]


def read_images(path: Path) -> Images:
    """Open the images of a sequence."""
    return Images(read_product(path, "images"))


def write_cameras(path: Path, cameras: dict[str, Camera], raw: dict[str, Camera], times_s: list[float]) -> None:
    """Write the working cameras, for whoever maps back to the raw frames the raw ones, and the time of every frame (s)."""
    content = {"working": {s: _to_json(c) for s, c in cameras.items()}, "raw": {s: _to_json(c) for s, c in raw.items()}}
    with write_product(path, "cameras") as writer:
        writer.facts |= {"cameras": sorted(cameras), "times_s": times_s}
        writer.add_bytes("cameras.json", (json.dumps(content, indent=1) + "\n").encode())


def read_cameras(path: Path, which: str = "working") -> dict[str, Camera]:
    """The ``working`` or the ``raw`` cameras of a sequence by serial, sorted."""
    product = read_product(path, "cameras")
    try:
        content = json.loads(product.bytes("cameras.json"))[which]
        return {serial: _from_json(serial, content[serial]) for serial in sorted(content)}
    except (ValueError, KeyError, TypeError) as error:
        raise BadFile(product.folder / "cameras.json", f"is not a camera file ({error})", "run extract_frames again") from error


def read_times(path: Path) -> list[float]:
    """Time of each frame (s) since the first, as the cameras of a sequence took them."""
    return [float(time) for time in read_product(path, "cameras").facts["times_s"]]


def write_background(path: Path, plates: dict[str, np.ndarray], visible: dict[str, np.ndarray]) -> None:
    """Write the visible region of every camera, and its plate where there are any."""
    with write_product(path, "background") as writer:
        writer.facts |= {"cameras": sorted(visible), "plates": bool(plates)}
        for serial in sorted(visible):
            if plates:
                writer.add_image(f"image_{serial}.png", plates[serial])
            writer.add_image(f"visible_{serial}.png", visible[serial].astype(np.uint8) * 255)


@dataclass(frozen=True)
class Background:
    """Plates and visible regions by camera."""

    product: Product

    @property
    def has_plates(self) -> bool:
        """Whether the capture has pictures without the subject."""
        return bool(self.product.facts["plates"])

    def plate(self, serial: str) -> UInt8[np.ndarray, "H W 3"]:
        """The camera's view without the subject, cropped like the images; ``CaptureError`` where none was filmed."""
        if not self.has_plates:
            raise CaptureError(self.product.path, "the capture has no background plates", "set matting.backend: capture")
        return self.product.image(f"image_{serial}.png")

    def visible(self, serial: str) -> Bool[np.ndarray, "H W"]:
        """False where the crop reaches outside the raw frame."""
        return self.product.image(f"visible_{serial}.png") > 127


def read_background(path: Path) -> Background:
    """Open the plates of a sequence."""
    return Background(read_product(path, "background"))


def copy_view_facts(writer: ProductWriter, images: Images) -> None:
    """Carry frames, cameras, size and times over to a per-view product."""
    writer.facts |= {key: images.product.facts[key] for key in ("frames", "raw_frames", "cameras", "size", "times_s")}


def _to_json(camera: Camera) -> dict[str, Any]:
    return {
        "K": camera.K.tolist(),
        "world_to_camera": camera.world_to_camera.tolist(),
        "width": camera.width,
        "height": camera.height,
    }


def _from_json(serial: str, entry: dict[str, Any]) -> Camera:
    return Camera(serial, np.array(entry["K"]), np.array(entry["world_to_camera"]), int(entry["width"]), int(entry["height"]))
