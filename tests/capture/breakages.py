"""Captures that somebody broke, and the one line that each gets from the first stage that meets it.

``python -m tests.capture.breakages > docs/broken_captures.md`` writes the lines down.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headcast.config import Doctor, Extraction
from headcast.errors import HeadcastError
from headcast.formats.doctor_file import require_health
from headcast.stages import doctor, download, extract_frames
from tests.doctor.ball_capture import PRODUCTS, BallCapture, healthy
from tests.stages import test_gha as gha
from tests.stages import test_vhap as vhap

from . import spot_rig as rig
from .broken_products import DOCTOR, PREPROCESSED
from .broken_raw import RAW, talk
from .spot_rig import SEQUENCE, SUBJECT
from .test_nersemble import video

TITLE = """# Broken captures and what is said about them

One line each, on standard error, and the exit code of its kind; `…` is the folder that the capture lies in. The doctor's lines stop
training unless `doctor.allow_failures` names the check. `python -m tests.capture.breakages` prints this page: it breaks a small
capture in each of these ways; `tests/capture/test_breakages.py` compares.
"""
HEADER = "| reader | what was broken | exit | line |\n|---|---|---|---|"
PARTS = {
    "video": "Films and pictures",
    "calibration": "Calibration",
    "background": "Plates",
    "metadata": "Tables, names and rates",
    "labels": "Mattes, masks, labels and landmarks",
}


@dataclass(frozen=True)
class Breakage:
    """What is broken (one of `PARTS`), in whose layout, how, in words and in deed."""

    part: str
    layout: str
    how: str
    damage: Callable[[Any], object]

    def line(self, whole: Callable[[str], Path], folder: Path) -> HeadcastError:
        """What is said when a copy of the ``whole`` capture of the layout is broken in ``folder`` and worked on."""
        try:
            if self.layout == "doctor":
                examine(self.damage, folder)
            else:
                root = Path(shutil.copytree(whole(self.layout), folder / "raw"))
                self.damage(root)
                STAGES.get(self.layout, extract)(self.layout, root, folder / "out")
        except HeadcastError as error:
            return error
        raise AssertionError(f"nothing is said about {self.layout}: {self.how}")


BREAKAGES = [Breakage(part, layout, *row) for layout, rows in (RAW | PREPROCESSED).items() for part, *row in rows]
BREAKAGES += [Breakage(part, "doctor", how, damage) for part, how, damage in DOCTOR]


def write_whole(layout: str, root: Path) -> None:
    """A capture in which nothing is broken."""
    WHOLE[layout](root)


def filmed(root: Path) -> None:
    video(talk(root), np.stack([rig.picture(camera, 0) for camera in rig.true_cameras().values()]))


WHOLE: dict[str, Callable[[Path], object]] = {
    "nersemble": rig.write_nersemble,
    "custom": lambda root: rig.write_custom(root, rig.as_json),
    "custom COLMAP": lambda root: rig.write_custom(root, rig.as_colmap),
    "custom Metashape": lambda root: rig.write_custom(root, rig.as_metashape),
    "custom npz": lambda root: rig.write_custom(root, rig.as_npz),
    "renderme": rig.write_renderme,
    "monocular": filmed,
    "gha": gha.export,
    "vhap": vhap.export,
    "products": lambda root: healthy().write(root),
}


def extract(layout: str, root: Path, out: Path) -> None:
    """Check and extract a raw capture."""
    source, settings = (SUBJECT, SEQUENCE, root, layout.split()[0]), Extraction(size=64)
    products = [out / name / "manifest.json" for name in ("images", "cameras", "background")]
    listed = download.run(download.Inputs(*source, out / "download.json"), settings, lambda *_: None)
    extract_frames.run(extract_frames.Inputs(listed, *source, *products), settings, lambda *_: None)


def take_gha(layout: str, root: Path, out: Path) -> None:
    """Check and import a folder of Gaussian Head Avatar."""
    download.run(download.Inputs("ball", "TALK", root / "export", layout, out / "download.json"), Extraction(), lambda *_: None)
    gha.imported(root / "export", out)


def take_vhap(layout: str, root: Path, out: Path) -> None:
    """Check a folder of VHAP and take its pictures."""
    download.run(download.Inputs("ball", "TALK", root / "vhap", layout, out / "download.json"), Extraction(), lambda *_: None)
    vhap.imported(vhap.Exported(root, root / "flame.npz", None, None), root / "vhap", out)  # type: ignore[arg-type]


def reopen(layout: str, root: Path, out: Path) -> None:
    """The doctor on products that lie on the disk."""
    at = {name: root / "ball/TALK" / name / "manifest.json" for name in PRODUCTS}
    inputs = doctor.Inputs(**at, verdict=out / "doctor.json", page=out / "doctor.html", sheets=out / "sheets/manifest.json")
    doctor.run(inputs, Doctor(), lambda *_: None)


STAGES: dict[str, Callable[[str, Path, Path], None]] = {"gha": take_gha, "vhap": take_vhap, "products": reopen}


def examine(damage: Callable[[BallCapture], object], folder: Path) -> None:
    """What stops the training on a damaged sequence."""
    ball = healthy()
    damage(ball)
    require_health([doctor.run(ball.write(folder), Doctor(), lambda *_: None)])


def rows(part: str, whole: Callable[[str], Path], folder: Path) -> list[str]:
    """The table of a part of the capture."""
    lines = [HEADER]
    for number, breakage in enumerate(BREAKAGES):
        if breakage.part == part:
            lines.append(row(breakage, breakage.line(whole, folder / str(number)), folder / str(number)))
    return lines


def row(breakage: Breakage, said: HeadcastError, folder: Path) -> str:
    """A line of the page."""
    text = str(said).replace(str(folder / "raw"), "…").replace(str(folder), "…").replace("|", "\\|")
    return f"| {breakage.layout} | {breakage.how} | {said.exit_code} | `{text}` |"


def page() -> str:
    """The whole page."""
    with tempfile.TemporaryDirectory() as name:
        folder, written = Path(name), {}

        def whole(layout: str) -> Path:
            if layout not in written:
                written[layout] = folder / layout
                written[layout].mkdir()
                write_whole(layout, written[layout])
            return written[layout]

        parts = [f"## {title}\n\n" + "\n".join(rows(part, whole, folder / part)) for part, title in PARTS.items()]
    return TITLE + "\n" + "\n\n".join(parts)


if __name__ == "__main__":
    print(page())
