"""matting: alpha of the subject in every view, from the image and the camera's plate, by a network, or as the capture brings it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float, UInt8

from headcast.assets import digests, verify
from headcast.config import Matting
from headcast.formats.frames import Background, Images, copy_view_facts, member_name, read_background, read_images
from headcast.formats.manifest import ProductWriter, png, write_product
from headcast.formats.maps import matte_bytes
from headcast.imaging.matting import matte
from headcast.imaging.selfie import selfie_prior
from headcast.process.command import Progress
from headcast.stages.views import write_members

NETWORKS = {
    "background_matting_v2": "headcast.networks.background_matting",
    "modnet": "headcast.networks.modnet",
}
OVER_PLATE = ("background_matting_v2",)


class Matter(Protocol):
    """A network that mattes some images of one size at a time, each over its plate if it looks at plates."""

    def mattes(
        self, images: Sequence[UInt8[np.ndarray, "H W 3"]], plates: Sequence[UInt8[np.ndarray, "H W 3"]]
    ) -> Float[np.ndarray, "B H W"]: ...


@dataclass(frozen=True)
class Inputs:
    """Working images and plates; the mattes to write."""

    images: Path
    background: Path
    output: Path
    workers: int = 1


def run(inputs: Inputs, matting: Matting, progress: Progress) -> Path:
    """Matte every view against its plate or by a network, or take the capture's own mattes."""
    weights = verify("matting", matting.backend)
    images = read_images(inputs.images)
    with write_product(inputs.output, "mattes") as writer:
        copy_view_facts(writer, images)
        writer.facts |= {"backend": matting.backend, "weights": digests(weights)}
        if matting.backend in NETWORKS:
            _matte_by_network(writer, inputs, matting, weights, progress)
        else:
            jobs = [(matting.backend, inputs.images, inputs.background, frame, serial) for frame, serial in images.views()]
            write_members(writer, matte_view, jobs, inputs.workers, progress)
    return inputs.output


def _matte_by_network(writer: ProductWriter, inputs: Inputs, matting: Matting, weights: list[Path], progress: Progress) -> None:
    from headcast.networks.runtime import batches  # torch, seconds to import, which the other backends do without

    images, background = read_images(inputs.images), read_background(inputs.background)
    matter = import_module(NETWORKS[matting.backend]).load(*weights, half=matting.half)
    work = partial(matte_views, matter, images, background, matting.backend in OVER_PLATE)
    write_members(writer, work, batches(images.views(), matting.batch, inputs.workers), 1, progress)


def matte_views(
    matter: Matter, images: Images, background: Background, over_plate: bool, views: Sequence[tuple[int, str]]
) -> dict[str, bytes]:
    """The mattes of some views by member name, from one pass of a network."""
    plates = [background.plate(serial) for _, serial in views] if over_plate else []
    alphas = matter.mattes([images.image(*view) for view in views], plates)
    seen = [np.where(background.visible(serial), alpha, 0) for (_, serial), alpha in zip(views, alphas, strict=True)]
    return {member_name("matte", *view): matte_bytes(alpha) for view, alpha in zip(views, seen, strict=True)}


def matte_view(backend: str, images_path: Path, background_path: Path, frame: int, serial: str) -> dict[str, bytes]:
    """The matte of one view by member name."""
    images, background = _open(images_path, background_path)
    if backend == "capture":
        return {member_name("matte", frame, serial): png(images.mask(frame, serial))}
    image = images.image(frame, serial)
    alpha = matte(image, background.plate(serial), selfie_prior(image), background.visible(serial))
    return {member_name("matte", frame, serial): matte_bytes(alpha)}


@cache
def _open(images: Path, background: Path) -> tuple[Images, Background]:
    return read_images(images), read_background(background)
