"""Pictures of trained hair, as docs/hair.md shows them: ``python -m benchmarks.hair_pictures --help``.

``hair_shake.jpg``: what a camera filmed, the avatar with moving hair, and with hair that is rigid with the skull, frame by frame.
``hair_swap.jpg``: two avatars, and each with the hair of the other.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from headcast import layout
from headcast.avatar.avatar import Avatar
from headcast.avatar.hairstyles import with_hair_of
from headcast.evaluation.pictures import labelled, to_bytes
from headcast.formats.avatar_file import read_avatar
from headcast.formats.frames import read_cameras, read_images
from headcast.formats.maps import read_mattes
from headcast.stages.evaluate import tracked_pose

GREY = 0.5
QUALITY = 88


def shake(
    avatar: Avatar, results: Path, sequence: str, serial: str, frames: Sequence[int], size: int
) -> UInt8[np.ndarray, "H W 3"]:
    """Three rows, one column a frame; filmed pictures are on black, as avatars are rendered."""

    def product(pattern: str) -> Path:
        return layout.under(results.parent, pattern, results.name, sequence)

    images, mattes = read_images(product(layout.images)), read_mattes(product(layout.mattes))
    camera = read_cameras(product(layout.cameras))[serial].resize(size, size)
    track = avatar.track[sequence]
    moving = avatar.swing(track["rotation"], track["translation"], track["time"])
    assert moving is not None
    columns = []
    for frame in frames:
        matte = mattes.alpha(frame, serial)[..., None] / 255
        filmed = Image.fromarray((images.image(frame, serial) * matte).astype(np.uint8))
        smaller = np.asarray(filmed.resize((size, size), Image.Resampling.LANCZOS))
        pose = tracked_pose(avatar, sequence, frame)
        with torch.no_grad():
            drawn = [to_bytes(avatar.film(pose, camera, hair).image.cpu().numpy()) for hair in (moving[frame], None)]
        panels = zip((smaller, *drawn), (f"frame {frame}: filmed", "moving hair", "rigid hair"), strict=True)
        columns.append(np.concatenate([labelled(panel, name) for panel, name in panels]))
    return np.concatenate(columns, axis=1)


def swaps(one: Avatar, other: Avatar, size: int) -> UInt8[np.ndarray, "H W 3"]:
    """Both avatars from the front, then each with the other's hair."""
    shown = {
        "one": one,
        "other": other,
        "one with the other's hair": with_hair_of(one, other),
        "the other with one's hair": with_hair_of(other, one),
    }
    pictures = (to_bytes(a.render(camera=a.frontal_camera(size), background=GREY).image.cpu().numpy()) for a in shown.values())
    return np.concatenate([labelled(picture, name) for picture, name in zip(pictures, shown, strict=True)], axis=1)


def main() -> None:
    """Write the pictures that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results/demo"), help="folder of the subject")
    parser.add_argument("--sequence", default="HAIR")
    parser.add_argument("--camera", default="222200037")
    parser.add_argument("--frames", type=int, nargs="+", default=[7, 8, 9, 10, 11])
    parser.add_argument("--other", type=Path, help="another avatar.pth to swap hair with")
    parser.add_argument("--size", type=int, default=224, help="px")
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    avatar = read_avatar(given.results / given.sequence / "avatar.pth")
    pictures = {"hair_shake.jpg": shake(avatar, given.results, given.sequence, given.camera, given.frames, given.size)}
    if given.other is not None:
        pictures["hair_swap.jpg"] = swaps(avatar, read_avatar(given.other), given.size)
    for name, picture in pictures.items():
        Image.fromarray(picture).save(given.output / name, quality=QUALITY)


if __name__ == "__main__":
    main()
