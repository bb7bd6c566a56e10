"""``headcast summary results/demo/HAIR``, ``headcast licences results/demo/HAIR/avatar.pth``: what a run made, in a few lines;
``headcast timings results/demo/HAIR``: what every rule took;
``headcast clean results/demo/HAIR``: remove what can be made again (``snakemake clean_intermediate`` knows which).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from headcast.errors import BadFile, HeadcastError
from headcast.formats.intermediates import remove_intermediates
from headcast.layout import summary_page, summary_table, under
from headcast.process.memory import readable


def summary(folder: Path) -> str:
    """The lines that a person wants to read after a run."""
    try:
        metrics = json.loads((folder / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(
            folder / "evaluation" / "metrics.json", "is not there or not readable", "run snakemake for it first"
        ) from error
    cameras = metrics["held_out_cameras"]
    per_camera = ", ".join(f"{serial} {values['psnr']:.2f}" for serial, values in cameras["by_camera"].items())
    size = (folder / "avatar.pth").stat().st_size / 1e6
    lines = [
        f"avatar      {folder / 'avatar.pth'} ({size:.1f} MB)",
        f"metrics     {folder / 'evaluation' / 'metrics.json'}",
        f"picture     {folder / 'evaluation' / 'comparison.png'}",
        f"film        {folder / 'reenactment' / 'reenactment.mp4'}",
        f"held-out PSNR {cameras['psnr']:.2f} dB, SSIM {cameras['ssim']:.4f} ({per_camera}); hair IoU {metrics['hair']['iou']:.3f}",
    ]
    return "\n".join(line for line in lines if not line.startswith("film") or (folder / "reenactment").exists())


def cleaned(folders: list[Path]) -> str:
    """Remove the intermediate products of sequences and say how much room that made."""
    freed = {folder: remove_intermediates(folder) for folder in folders}
    lines = [f"{folder}: freed {readable(amount)}" for folder, amount in freed.items()]
    kept = "kept: avatars, figures, films, cameras, landmarks, fitted heads, logs and timings"
    nothing = "nothing to remove: no avatar here is trained and evaluated"
    return "\n".join([*lines, f"freed {readable(sum(freed.values()))}; {kept}"] if folders else [nothing])


def licences(avatar: Path) -> str:
    """The bill of an avatar: what went in, under which licence, and what that allows."""
    from headcast.delivery.licences import render
    from headcast.formats.avatar_file import read_metadata

    return render(avatar, read_metadata(avatar))


def timings(folder: Path) -> str:
    """What every rule of a sequence took."""
    from headcast.delivery.timings import table
    from headcast.delivery.timings import timings as read

    return table(read(folder))


def results(folder: Path) -> str:
    """Lay all avatars of a results folder side by side, without running anything; returns where."""
    from headcast.delivery.results_page import write_summary
    from headcast.delivery.results_table import trained

    names = (under(folder, summary_table), under(folder, summary_page))
    return f"table       {names[0]}\npage        {write_summary(*names, trained(folder))}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="headcast")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("summary", help="what a run made").add_argument("path", type=Path, metavar="folder")
    commands.add_parser("licences", help="what went into an avatar, and what that allows").add_argument(
        "path", type=Path, metavar="avatar"
    )
    commands.add_parser("timings", help="what every rule of a sequence took").add_argument("path", type=Path, metavar="folder")
    commands.add_parser("results", help="all avatars of a folder side by side").add_argument("path", type=Path, metavar="folder")
    clean = commands.add_parser("clean", help="remove what can be made again of some sequences")
    clean.add_argument("path", type=Path, nargs="*", metavar="folder")
    given = parser.parse_args(arguments)
    say: dict[str, Callable[[Any], str]] = {
        "summary": summary,
        "timings": timings,
        "results": results,
        "licences": licences,
        "clean": cleaned,
    }
    try:
        sys.stdout.write(say[given.command](given.path) + "\n")
    except HeadcastError as error:
        sys.stderr.write(f"headcast: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
