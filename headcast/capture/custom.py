"""A calibrated rig of one's own: ``cameras.json`` (see ``rig_files``), films, and plates or masks.

``{root}/{subject}/cameras.json`` · ``sequences/{sequence}/{camera}.mp4`` or ``…/{camera}/*.png`` · ``background/{camera}.png`` ·
``masks/{sequence}/{camera}.mp4`` or ``…/{camera}/*.png``; plates and masks are optional, all cameras have them or none.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from headcast.capture.capture import Capture
from headcast.capture.film import Film, find_film
from headcast.capture.pictures import picture_size, pixels
from headcast.capture.raw import PICTURES
from headcast.capture.rig_files import Rig, read_rig
from headcast.errors import AssetMissing, CaptureError


def read(root: Path, subject: str, sequence: str, cameras: list[str] | None = None) -> Capture:
    """Open ``{root}/{subject}``; every contradiction between calibration and pictures names its file."""
    folder = root / subject
    filmed = folder / "sequences" / sequence
    if not filmed.is_dir():
        raise AssetMissing(filmed, f"the raw capture of {subject}/{sequence} is not there", "place films there: docs/captures.md")
    rig = read_rig(folder)
    names = sorted(rig.cameras if cameras is None else cameras)
    unknown = [name for name in names if name not in rig.cameras]
    if unknown:
        raise CaptureError(rig.files[0], f"camera {unknown[0]} is not calibrated", "remove it from extraction.cameras")
    return Capture(
        subject,
        sequence,
        {name: rig.cameras[name] for name in names},
        {name: find_film(filmed, name, rig.fps) for name in names},
        _plates(folder / "background", names, rig),
        {},
        rig.files,
        _masks(folder / "masks" / sequence, names, rig),
        {name: rig.distortion[name] for name in names},
    )


def _plates(folder: Path, names: Iterable[str], rig: Rig) -> dict[str, Path]:
    """The plate of every camera, or none; its size must be the calibrated one."""
    if not folder.is_dir():
        return {}
    plates = {}
    for name in names:
        found = [folder / f"{name}{suffix}" for suffix in PICTURES if (folder / f"{name}{suffix}").is_file()]
        if not found:
            raise CaptureError(
                folder / f"{name}.png", f"camera {name} has no background plate", "film the empty set, or remove the folder"
            )
        size, told = picture_size(found[0]), (rig.cameras[name].width, rig.cameras[name].height)
        if size != told:
            raise CaptureError(
                found[0], f"is {pixels(size)}, the calibration says {pixels(told)}", "film the plate as the sequence"
            )
        plates[name] = found[0]
    return plates


def _masks(folder: Path, names: Iterable[str], rig: Rig) -> dict[str, Film]:
    return {name: find_film(folder, name, rig.fps) for name in names} if folder.is_dir() else {}
