"""matting: alpha of the subject in every view, from the image and the camera's plate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from headcast.assets import verify
from headcast.config import Matting
from headcast.formats.frames import Background, Images, copy_view_facts, member_name, read_background, read_images
from headcast.formats.manifest import png, write_product
from headcast.formats.maps import matte_bytes
from headcast.imaging.matting import matte
from headcast.imaging.selfie import selfie_prior
from headcast.process.command import Progress
from headcast.stages.views import write_members


@dataclass(frozen=True)
class Inputs:
    """Working images and plates; the mattes to write."""

    images: Path
    background: Path
    output: Path
    workers: int = 1


def run(inputs: Inputs, matting: Matting, progress: Progress) -> Path:
    """Matte every view against its plate, or take the capture's own mattes."""
    verify("matting", matting.backend)
    images = read_images(inputs.images)
    jobs = [(matting.backend, inputs.images, inputs.background, frame, serial) for frame, serial in images.views()]
    with write_product(inputs.output, "mattes") as writer:
        copy_view_facts(writer, images)
        writer.facts["backend"] = matting.backend
        write_members(writer, matte_view, jobs, inputs.workers, progress)
    return inputs.output


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
