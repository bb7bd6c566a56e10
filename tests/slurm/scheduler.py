"""Snakemake in the environment that schedules: profiles/scheduler.txt, apart from the stages' environment that the jobs run in."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

import yaml

from tests.workflow.test_plan import ROOT
from tests.workflow.tiny import smallest

PLACE = "HEADCAST_SCHEDULER_VENV"  # folder of an environment to keep from run to run


def make_scheduler(default: Path) -> Path:
    """The environment's folder, made if it is not there or if its requirements have changed."""
    folder = Path(os.environ.get(PLACE) or default)
    requirements = ROOT / "profiles/scheduler.txt"
    mark, wanted = folder / "made-from", hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not mark.exists() or mark.read_text() != wanted:
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(requirements)], check=True)
        mark.write_text(wanted)
    return folder


def snakemake_command(scheduler: Path, profile: Path, *arguments: str) -> list[str]:
    """What a user types on the login node, with a profile."""
    program = [str(scheduler / "bin/python"), "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    return [*program, "--workflow-profile", str(profile), *arguments]


def environment(**more: str) -> dict[str, str]:
    """The stages' environment is activated, so that `python` in a job is its Python; nothing else tells the jobs."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NERSEMBLE_DATA_URL", "PYTHONPATH", "HEADCAST_GPU")}
    return {**kept, "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")]), **more}


def tiny_demo(steps: int, save_every: int) -> list[str]:
    """The embedded subject alone with few cameras and frames, trained at the smallest sizes, long enough to be interrupted."""
    training = f"steps: {steps}, save_every: {save_every}, size: 32"
    return smallest(
        mesh_head=f"{{{training}, grid: 12}}", hair="{size: 32, strands: 100}", training=f"{{{training}, gaussians: 500}}"
    )


def edited_profile(name: str, target: Path, **keys: object) -> Path:
    """A copy of a shipped profile with the edits that docs/cluster.md tells a user to make."""
    target.mkdir(parents=True)
    for path in (ROOT / "profiles" / name).iterdir():
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())
            (target / path.name).chmod(path.stat().st_mode)
    config = target / "config.v9+.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | keys, sort_keys=False))
    return target
