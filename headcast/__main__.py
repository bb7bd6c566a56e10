"""``python -m headcast summary results/demo/HAIR``: where things are and how good they are, in a few lines;
``python -m headcast clean results/demo/HAIR``: remove what can be made again (``snakemake clean_intermediate`` knows which).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from headcast.errors import BadFile, HeadcastError
from headcast.formats.intermediates import remove_intermediates
from headcast.memory import readable


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


def main() -> int:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(prog="headcast")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("summary", help="what a run made").add_argument("folder", type=Path)
    clean = commands.add_parser("clean", help="remove intermediate products of sequences")
    clean.add_argument("folders", type=Path, nargs="*")
    arguments = parser.parse_args()
    try:
        said = summary(arguments.folder) if arguments.command == "summary" else cleaned(arguments.folders)
        sys.stdout.write(said + "\n")
    except HeadcastError as error:
        sys.stderr.write(f"headcast: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
