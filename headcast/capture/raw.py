"""Where raw captures lie, reader by reader, without opening a picture: all that is known of them while a run is planned.

The plan of many subjects imports this module and no reader: arrays and decoders would be a twentieth of its memory.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headcast.errors import BadFile

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
ACCESS = (
    "request access with the form linked at https://github.com/tobias-kirschstein/nersemble-data, then either set"
    " NERSEMBLE_DATA_URL to the link you get or place the participant's folder there"
)
OFFERED = ("x", "m")  # how NeRSemble's metadata_sequences.csv marks a sequence that exists
NOT_FILMED = ("BACKGROUND", "wears_glasses")
Files = Callable[[Path, str, str, "list[str] | None"], list[Path]]


def raw_files(reader: str, root: Path, subject: str, sequence: str, cameras: list[str] | None = None) -> list[Path]:
    """The files of a capture, or of some of its cameras, that exist already: what a result depends on."""
    return sorted(LAYOUTS[reader].files(root, subject, sequence, cameras))


def recorded(reader: str, root: Path, subject: str | None = None, downloads: bool = False) -> set[str]:
    """Subjects that lie under ``root``, or sequences of one; with ``downloads`` also those that the data set's own list offers."""
    offer = LAYOUTS[reader].on_offer(root) if downloads else {}
    if subject is None:
        return {path.parent.name for path in root.glob("*/sequences")} | set(offer)
    return LAYOUTS[reader].sequences(root, subject) | offer.get(subject, set())


def nersemble_files(root: Path, subject: str, sequence: str, cameras: list[str] | None = None) -> list[Path]:
    """Calibration, videos and plates of a NeRSemble sequence; with ``cameras``, only theirs and the calibration."""
    folder = root / subject
    of_cameras = (f"sequences/{sequence}/images/cam_*.mp4", "sequences/BACKGROUND/image_*.jpg")
    found = [path for pattern in of_cameras for path in folder.glob(pattern)]
    return [*folder.glob("calibration/*.json"), *(p for p in found if cameras is None or p.stem.partition("_")[2] in cameras)]


def nersemble_offer(root: Path) -> dict[str, set[str]]:
    """Sequences by participant that can be downloaded, as the data set's ``metadata_sequences.csv`` lists them; none without it."""
    path = root / "metadata_sequences.csv"
    if not path.is_file():
        return {}
    try:
        rows = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines())
    except UnicodeDecodeError as error:
        raise BadFile(path, f"is not a table ({error})", "download it again") from error
    offer = {}
    for row in rows:
        number = row.pop("ID", None) or ""
        name = f"{int(number):03d}" if number.isdigit() else number
        offer[name] = {sequence for sequence, mark in row.items() if mark in OFFERED and sequence not in NOT_FILMED}
    return offer


def custom_files(root: Path, subject: str, sequence: str, cameras: list[str] | None = None) -> list[Path]:
    """Calibration, films, plates and masks of a rig of one's own; with ``cameras``, theirs and the calibration."""
    folder = root / subject
    known = set(PICTURES) | set(VIDEOS)
    calibration = [path for path in folder.glob("*") if path.suffix in (".json", ".npz", ".xml")] + sorted(folder.glob("*/*.txt"))
    places = (folder / "sequences" / sequence, folder / "background", folder / "masks" / sequence)
    found = [path for place in places for path in place.rglob("*") if path.suffix.lower() in known]
    return calibration + [path for path in found if cameras is None or {path.stem, path.parent.name} & set(cameras)]


def renderme_files(root: Path, subject: str, sequence: str, cameras: list[str] | None = None) -> list[Path]:
    """The ``.smc`` files of a RenderMe-360 sequence; each holds all ``cameras``."""
    names = (f"{subject}_{sequence}{part}.smc" for part in ("_anno", "_raw", ""))
    return [root / subject / name for name in names if (root / subject / name).is_file()]


def monocular_files(root: Path, subject: str, sequence: str, cameras: list[str] | None = None) -> list[Path]:
    """The one video."""
    return [path for suffix in VIDEOS if (path := root / subject / "sequences" / f"{sequence}{suffix}").is_file()]


def gha_files(root: Path, subject: str, sequence: str, cameras: list[str] | None = None) -> list[Path]:
    """Pictures and cameras of a sequence that was preprocessed for Gaussian Head Avatar."""
    folder = root / subject / "sequences" / sequence
    patterns = ("images/*/image_*.jpg", "cameras/*/camera_*.npz", "background/image_*.jpg")
    found = [path for pattern in patterns for path in folder.glob(pattern) if "_lowres_" not in path.name]
    return [path for path in found if cameras is None or path.stem.partition("_")[2] in cameras]


def vhap_files(root: Path, subject: str, sequence: str, cameras: list[str] | None = None) -> list[Path]:
    """Views, mattes and parameters of a sequence that VHAP tracked."""
    folder = root / subject / "sequences" / sequence
    patterns = ("transforms*.json", "images/*.png", "fg_masks/*.png", "flame_param/*.npz")
    return [path for pattern in patterns for path in folder.glob(pattern)]


def _with_images(root: Path, subject: str) -> set[str]:
    return {path.parent.name for path in (root / subject / "sequences").glob("*/images")}


def _folders(root: Path, subject: str) -> set[str]:
    return {path.name for path in (root / subject / "sequences").glob("*") if path.is_dir()}


def _videos(root: Path, subject: str) -> set[str]:
    return {path.stem for path in (root / subject / "sequences").glob("*") if path.suffix in VIDEOS}


def _smc(root: Path, subject: str) -> set[str]:
    stems = (path.stem.removeprefix(f"{subject}_") for path in (root / subject).glob(f"{subject}_*.smc"))
    return {stem.removesuffix("_anno").removesuffix("_raw") for stem in stems}


def _nothing(root: Path) -> dict[str, set[str]]:
    return {}


@dataclass(frozen=True)
class Layout:
    """How captures of a reader lie under their root: files of a sequence, sequences of a subject, what could be downloaded.

    ``calibrated`` is false for one camera of which nothing is known: good for a performance, not for an avatar.
    """

    files: Files
    sequences: Callable[[Path, str], set[str]] = _with_images
    on_offer: Callable[[Path], dict[str, set[str]]] = _nothing
    calibrated: bool = True


LAYOUTS = {
    "nersemble": Layout(nersemble_files, on_offer=nersemble_offer),
    "custom": Layout(custom_files, _folders),
    "renderme": Layout(renderme_files, _smc),
    "monocular": Layout(monocular_files, _videos, calibrated=False),
    "gha": Layout(gha_files),
    "vhap": Layout(vhap_files),
}
"""One entry for each reader of ``capture.py``."""
