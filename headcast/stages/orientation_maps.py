"""orientation_maps: the undirected direction of hair in every pixel that is hair."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from headcast.config import OrientationMaps
from headcast.formats.frames import Images, copy_view_facts, member_name, read_images
from headcast.formats.manifest import write_product
from headcast.formats.maps import Masks, orientation_bytes, read_masks
from headcast.imaging.orientation import orientation
from headcast.networks.runtime import best_device
from headcast.process.command import Progress
from headcast.stages.views import write_members


@dataclass(frozen=True)
class Inputs:
    """Working images and hair masks; the maps to write."""

    images: Path
    masks: Path
    output: Path
    workers: int = 1


def run(inputs: Inputs, orientation_maps: OrientationMaps, progress: Progress) -> Path:
    """Gabor orientation of every view within its hair mask."""
    images = read_images(inputs.images)
    device = str(best_device()) if orientation_maps.gpu else "cpu"
    jobs = [(inputs.images, inputs.masks, frame, serial, orientation_maps.angles, device) for frame, serial in images.views()]
    with write_product(inputs.output, "orientation_maps") as writer:
        copy_view_facts(writer, images)
        write_members(writer, orient_view, jobs, inputs.workers, progress)
    return inputs.output


def orient_view(images_path: Path, masks_path: Path, frame: int, serial: str, angles: int, device: str) -> dict[str, bytes]:
    """The orientation map of one view by member name."""
    images, masks = _open(images_path, masks_path)
    hair = masks.hair(frame, serial).astype("float32") / 255
    angle, confidence = orientation(images.image(frame, serial), hair, angles=angles, device=device)
    return {member_name("orientation", frame, serial, "npz"): orientation_bytes(angle, confidence)}


@cache
def _open(images: Path, masks: Path) -> tuple[Images, Masks]:
    return read_images(images), read_masks(masks)
