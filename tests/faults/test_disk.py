"""A disk and a memory that are really full, met in the middle of every stage: one line, exit code 7, nothing half-written under a
final name; and when there is room again the very same command finishes with the very same result.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headcast.errors import OutOfResources
from headcast.formats.intermediates import size_on_disk
from tests.workflow.test_plan import ROOT, snakemake
from tests.workflow.tiny import FOLDER, TARGETS, options

from .workflow_run import READERS

pytestmark = pytest.mark.faults
ROOM = 160 << 20
OUTPUTS = {
    "head_model": ["results/models/open.npz"],
    "extract_frames": [f"{FOLDER}/{name}" for name in ("images", "cameras", "background")],
    "matting": [f"{FOLDER}/mattes"],
    "landmarks": [f"{FOLDER}/landmarks"],
    "fit_head": [f"{FOLDER}/params", f"{FOLDER}/FLAME_params"],
    "hair_masks": [f"{FOLDER}/masks"],
    "orientation_maps": [f"{FOLDER}/orientation_maps"],
    "train_mesh_head": [f"{FOLDER}/mesh_head.pth", f"{FOLDER}/state/train_mesh_head"],
    "grow_hair": [f"{FOLDER}/hair_strands"],
    "train_avatar": [f"{FOLDER}/avatar.pth", f"{FOLDER}/state/train_avatar"],
    "evaluate": [f"{FOLDER}/evaluation"],
    "reenact": [f"{FOLDER}/reenactment"],
}
RULES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk"))
THREADS = {
    rule.split(":")[0]: str(min(2, int((re.findall(r"^    threads: (\d+)", rule, re.M) or ["1"])[0])))
    for rule in re.split(r"^rule ", RULES, flags=re.M)[1:]
}
VARIES = {"evaluate"}
"""Its figures hold running times."""


@pytest.fixture(scope="module")
def commands(finished: Path, raw: Path) -> dict[str, str]:
    """The shell command of every stage, as Snakemake runs it."""
    said = snakemake("-n", "-p", "--forceall", *options(raw), *TARGETS, folder=finished)
    lines = re.findall(r"(python -m scripts\.\w+ .*)$", said.stdout + said.stderr, re.M)
    own = [line for line in lines if f"{FOLDER}/logs/" in line or "results/models/logs" in line]
    return {stage_of(line): line for line in own}


@pytest.fixture(scope="module")
def small_disk(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The finished run on a file system of its own, of ``ROOM`` bytes."""
    place = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", str(place)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here ({mounted.stderr.strip()}); the tests of file sizes below still run")
    try:
        shutil.copytree(finished / "results", place / "results", symlinks=True)
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def run(command: str, folder: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run a stage's command in ``folder``, with the threads that Snakemake gives it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    threads = {f"{library}_NUM_THREADS": THREADS[stage_of(command)] for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **threads}
    script = f"set -euo pipefail; {before} {command}"
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False, env=environment, timeout=600
    )


def stage_of(command: str) -> str:
    """The stage that a command runs."""
    return re.findall(r"(?:scripts|stages)\.(\w+)", command)[0]


def take_away(stage: str, folder: Path) -> None:
    """Forget what a stage made."""
    for name in OUTPUTS[stage]:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).unlink(missing_ok=True)


def assert_one_line(done: subprocess.CompletedProcess[str], says: str) -> None:
    """A user sees what is full and what to do about it, once."""
    said = [line for line in done.stderr.splitlines() if not re.match(r"headcast: \w+ \d+/\d+(, |$)", line)]
    assert done.returncode == OutOfResources.exit_code, done.stderr
    assert len(said) == 1, done.stderr
    assert re.match(rf"headcast: \S+: {says}; ", said[0]), said


def assert_nothing_half_written(stage: str, folder: Path, finished: Path) -> None:
    """Whatever lies under a final name is whole; no temporary file is left; the manifest, which is written last, is not there."""
    for name in OUTPUTS[stage]:
        left = [path for path in (folder / name, *(folder / name).rglob("*")) if path.is_file() and path.name != "lock"]
        for path in left:
            assert not path.name.startswith("."), path
            twin = finished / path.relative_to(folder)
            if stage in VARIES or path.name == "state.pt" or path.name.startswith("times_"):
                READERS[path.suffix](path)
            else:
                assert path.read_bytes() == twin.read_bytes(), path
    made = [folder / name / "manifest.json" if "." not in Path(name).name else folder / name for name in OUTPUTS[stage]]
    assert not all(path.exists() for path in made if "state" not in str(path))


def assert_same(stage: str, folder: Path, finished: Path) -> None:
    """The product is that of the undisturbed run."""
    for name in OUTPUTS[stage]:
        for twin in [path for path in (finished / name, *(finished / name).rglob("*")) if path.is_file() and path.name != "lock"]:
            assert (folder / twin.relative_to(finished)).exists(), twin
            assert stage in VARIES or (folder / twin.relative_to(finished)).read_bytes() == twin.read_bytes(), twin


@pytest.mark.parametrize("stage", [stage for stage in OUTPUTS if stage != "reenact"])  # its film fits into the page of an old log
def test_a_full_disk(stage: str, commands: dict[str, str], small_disk: Path, finished: Path) -> None:
    needed = sum(size_on_disk(finished / name) for name in OUTPUTS[stage])
    take_away(stage, small_disk)
    ballast = small_disk / "ballast"
    try:
        free = shutil.disk_usage(small_disk).free
        with open(ballast, "wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, free - int(0.4 * needed))
        done = run(commands[stage], small_disk)
        assert_one_line(done, "the disk is full")
        assert_nothing_half_written(stage, small_disk, finished)
    finally:
        ballast.unlink(missing_ok=True)
    again = run(commands[stage], small_disk)
    assert again.returncode == 0, again.stderr
    assert_same(stage, small_disk, finished)


@pytest.mark.parametrize("stage", ["head_model", "matting", "reenact"])
def test_a_file_that_grows_past_what_the_system_allows(stage: str, commands: dict[str, str], copied: Path, finished: Path) -> None:
    largest = max(
        path.stat().st_size
        for name in OUTPUTS[stage]
        for path in (finished / name, *(finished / name).rglob("*"))
        if path.is_file()
    )
    take_away(stage, copied)
    done = run(commands[stage], copied, f"ulimit -f {largest // 2048};")
    assert_one_line(done, "the disk is full")
    assert_nothing_half_written(stage, copied, finished)
    assert run(commands[stage], copied).returncode == 0
    assert_same(stage, copied, finished)


LIMITED = """
import resource, sys
import numpy as np
from headcast.process.command import execute
from headcast.stages.{stage} import Inputs, run
np.linalg.svd(np.ones((100, 100)) @ np.ones((100, 100)))
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + {room}
resource.setrlimit(resource.RLIMIT_AS, (most, most))
sys.exit(execute(Inputs, run))
"""
"""What native libraries keep for themselves is there already: without it OpenBLAS waits for ever and MediaPipe aborts."""


@pytest.mark.parametrize(("stage", "room"), [("orientation_maps", 12 << 20), ("train_mesh_head", 24 << 20), ("evaluate", 16 << 20)])
def test_full_memory(stage: str, room: int, commands: dict[str, str], copied: Path, finished: Path) -> None:
    take_away(stage, copied)
    code = LIMITED.format(stage=stage, room=room)
    limited = re.sub(r"--workers \d+", "--workers 1", commands[stage]).replace(f"-m scripts.{stage}", f"-c '{code}'")
    done = run(limited, copied)
    assert_one_line(done, "memory is full")
    assert_nothing_half_written(stage, copied, finished)
    assert run(commands[stage], copied).returncode == 0
    assert_same(stage, copied, finished)


def test_views_that_cannot_fit_are_refused_before_they_are_read(commands: dict[str, str], copied: Path, finished: Path) -> None:
    take_away("train_mesh_head", copied)
    code = LIMITED.format(stage="train_mesh_head", room=1 << 20)
    done = run(commands["train_mesh_head"].replace("-m scripts.train_mesh_head", f"-c '{code}'"), copied)
    assert_one_line(done, r"64 views of 64 px need about \d+\.\d MB of memory, .* are available")
    assert "lower mesh_head.size" in done.stderr
