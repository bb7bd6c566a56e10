"""A small run of the whole workflow in a folder of its own, which tests start, look into, kill and start again."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from headcast.capture.video import read_video_frames
from headcast.formats.avatar_file import read_metadata
from headcast.formats.manifest import read_product
from headcast.formats.mesh_head_file import mesh_head_digest
from tests.workflow.test_plan import ROOT
from tests.workflow.tiny import smallest

FOLDER = "results/demo/HAIR"
AVATAR = f"{FOLDER}/avatar.pth"
TARGETS = (AVATAR, f"{FOLDER}/evaluation/metrics.json", f"{FOLDER}/scores.json", f"{FOLDER}/reenactment/reenactment.mp4")
STAGES = (
    "download",
    "extract_frames",
    "head_model",
    "matting",
    "landmarks",
    "fit_head",
    "hair_masks",
    "orientation_maps",
    "doctor",
    "train_mesh_head",
    "grow_hair",
    "train_avatar",
    "evaluate",
    "score",
    "reenact",
)
SETTINGS = smallest(
    mesh_head="{size: 32, steps: 6, grid: 12, save_every: 2}",
    hair="{size: 32, strands: 30, points_per_strand: 6}",
    training="{size: 32, steps: 40, gaussians: 300, save_every: 5}",
    evaluation="{size: 32}",
    reenactment="{size: 32, repeats: 1}",
)
JOURNAL = '''
"""Writes down every file that a stage or one of its workers opens for writing or renames below results/."""
import os, sys, time

def install(journal):
    line = sys.orig_argv
    worker = "--multiprocessing-fork" in line
    stage = next((a[8:] for a in line if a.startswith("scripts.")), None)
    if stage is None and not worker:
        return
    writer = os.getppid() if worker else os.getpid()
    out = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def hook(event, args):
        if event == "os.rename":
            path = args[1]
        elif event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR):
            path = args[0]
        else:
            return
        path = os.fspath(path) if not isinstance(path, int) else ""
        if isinstance(path, str) and "results/" in path and "/logs/" not in path and not path.endswith("/lock"):
            os.write(out, f"{time.monotonic_ns()} {writer} {path[path.index('results/'):]}\\n".encode())

    sys.addaudithook(hook)

if os.environ.get("WRITES_JOURNAL"):
    install(os.environ["WRITES_JOURNAL"])
'''


@dataclass
class Run:
    """The workflow in ``folder``; ``started`` are all schedulers so far."""

    folder: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        hooks = self.folder / "hooks"
        hooks.mkdir(exist_ok=True)
        (hooks / "sitecustomize.py").write_text(JOURNAL)
        self.journal, self.output = self.folder / "writes.txt", self.folder / "output.txt"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environment = {**os.environ, "PATH": path, "PYTHONPATH": str(hooks), "WRITES_JOURNAL": str(self.journal)}

    def command(self, *arguments: str) -> list[str]:
        """The one command that is given again and again."""
        return [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2", *arguments]

    def start(self, *targets: str) -> subprocess.Popen[bytes]:
        """Begin the run in a process group of its own."""
        with open(self.output, "ab") as output:
            process = subprocess.Popen(
                self.command(*SETTINGS, *(targets or TARGETS)),
                cwd=self.folder,
                env=self._environment,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.started.append(process)
        return process

    def finish(self, *targets: str) -> None:
        """Run to the end."""
        assert self.start(*targets).wait(900) == 0, self.said()[-6000:]

    def unlock(self) -> None:
        """Remove the lock that a killed scheduler left, the documented way."""
        done = subprocess.run(
            self.command("--unlock", *SETTINGS, *TARGETS), cwd=self.folder, env=self._environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()

    def unlock_at_once(self) -> None:
        """What ``--unlock`` does, without its seconds of planning."""
        shutil.rmtree(self.folder / ".snakemake/locks", ignore_errors=True)

    def jobs(self) -> dict[int, str]:
        """Stages that work in this folder now, by process; their workers are not among them."""
        return {pid: words[words.index("-m") + 1].removeprefix("scripts.") for pid, words in self._processes() if _is_job(words)}

    def has_begun(self, job: int) -> bool:
        """Whether a job has claimed its log; before that it only imports."""
        with suppress(OSError):
            return os.readlink(f"/proc/{job}/fd/1").endswith(".lock")
        return False

    def cpu_seconds(self, job: int) -> float:
        """CPU time of a job and its workers so far; unlike wall time it hardly depends on what else the machine does."""
        used = 0
        with suppress(OSError):
            for pid in [job, *map(int, Path(f"/proc/{job}/task/{job}/children").read_text().split())]:
                used += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
        return used / os.sysconf("SC_CLK_TCK")

    def alive(self) -> set[int]:
        """Every process that works in this folder."""
        return {pid for pid, _ in self._processes()}

    def kill_tree(self) -> None:
        """SIGKILL to everything that the last start began."""
        os.killpg(self.started[-1].pid, signal.SIGKILL)
        self.started[-1].wait()
        wait_for(lambda: not self.alive(), 10, "processes outlived SIGKILL")

    def stop_everything(self) -> None:
        """Leave nothing behind, whatever a test did."""
        for pid in self.alive():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.started:
            process.wait()

    def said(self) -> str:
        """All that schedulers and jobs have told the user."""
        return self.output.read_text(errors="replace")

    def log(self, stage: str) -> str:
        """The log of a stage."""
        return (self.folder / FOLDER / "logs" / f"{stage}.log").read_text(errors="replace")

    def writes(self) -> list[tuple[int, int, str]]:
        """(time in ns, stage process, path) of every write below results/."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [(int(time_ns), int(writer), path) for time_ns, writer, path in (line.split(" ", 2) for line in lines)]

    def _processes(self) -> Iterator[tuple[int, list[str]]]:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    if os.readlink(entry / "cwd") == str(self.folder) and (words := (entry / "cmdline").read_bytes()):
                        yield int(entry.name), words.decode(errors="replace").split("\0")


def _is_job(words: list[str]) -> bool:
    return "-m" in words[:-1] and words[words.index("-m") + 1].startswith("scripts.")


def wait_for(condition: Callable[[], Any], seconds: float, otherwise: str) -> Any:
    """Poll until ``condition`` is true and return it."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
    return value


def check_whole(folder: Path) -> int:
    """Every file under a final name is complete, and every manifest's members are what it says; returns how many were read."""
    files = [path for path in sorted((folder / "results").rglob("*")) if path.is_file() and not path.name.startswith(".")]
    told = [path for path in files if ".tfevents." not in path.name]  # what TensorBoard reads is added to, like a log
    checked = [path for path in told if path.parent.name not in ("logs", "benchmarks") and path.name != "lock"]
    for path in checked:
        READERS[path.suffix](path)
    return len(checked)


def _json(path: Path) -> None:
    content = json.loads(path.read_text())
    if isinstance(content, dict) and str(content.get("format", "")).startswith("headcast/manifest"):
        product = read_product(path, content["kind"])
        for name in product.members:
            product.bytes(name)


def _picture(path: Path) -> None:
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        image.load()


def _page(path: Path) -> None:
    assert path.read_text().rstrip().endswith("</html>")


def _npz(path: Path) -> None:
    with np.load(path, allow_pickle=False) as archive:
        for key in archive.files:
            assert archive[key].size >= 0


READERS: dict[str, Callable[[Path], object]] = {
    ".json": _json,
    ".png": _picture,
    ".jpg": _picture,
    ".html": _page,
    ".npz": _npz,
    ".pth": lambda path: read_metadata(path) if path.name == "avatar.pth" else mesh_head_digest(path),
    ".pt": lambda path: torch.load(path, weights_only=True)["fingerprint"],
    ".csv": lambda path: path.read_text().index("\n"),
    ".mp4": lambda path: [None for _ in read_video_frames(path)],
}


def digests(folder: Path) -> dict[str, str]:
    """What every stage made: digests of all products, of the mesh head and of the avatar, and the scores."""
    found = {"avatar": read_metadata(folder / AVATAR)["digest"], "mesh_head": mesh_head_digest(folder / FOLDER / "mesh_head.pth")}
    found["scores"] = (folder / FOLDER / "scores.json").read_text()
    for path in (folder / FOLDER).glob("*/manifest.json"):
        content = json.loads(path.read_text())
        found[path.parent.name] = read_product(path, content["kind"]).digest if "kind" in content else path.read_text()
    return found


def overlaps(writes: list[tuple[int, int, str]]) -> list[str]:
    """Products that two processes of a stage wrote at overlapping times; there must be none."""
    spans: dict[str, dict[int, tuple[int, int]]] = {}
    for moment, writer, path in writes:
        product = path if path.count("/") < 4 else "/".join(path.split("/")[: 5 if "/state/" in path else 4])
        first, last = spans.setdefault(_final(product), {}).get(writer, (moment, moment))
        spans[_final(product)][writer] = (min(first, moment), max(last, moment))
    found = []
    for product, by_writer in spans.items():
        ordered = sorted((first, last, writer) for writer, (first, last) in by_writer.items())
        found += [f"{product}: {a[2]} and {b[2]}" for a, b in pairwise(ordered) if b[0] <= a[1]]
    return found


def _final(product: str) -> str:
    """``results/…/.avatar.k3j2h1g0.pth`` → ``results/…/avatar.pth``: the name that a temporary file becomes."""
    folder, _, name = product.rpartition("/")
    parts = name.split(".")
    return f"{folder}/{parts[1]}.{parts[-1]}" if name.startswith(".") and len(parts) == 4 else product
