"""Kill anywhere: whatever is killed, however often, the same command again ends in the same avatar as a run that nobody disturbed.

``HEADCAST_KILLS`` is the number of SIGKILLs to the whole tree. What was hit is printed.
"""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest
import torch

from .workflow_run import AVATAR, FOLDER, STAGES, Run, check_whole, digests, overlaps, wait_for

pytestmark = pytest.mark.faults
KILLS = int(os.environ.get("HEADCAST_KILLS", "32"))
PLANNING = "planning"
STATE = f"{FOLDER}/state/train_avatar/state.pt"
Strike = Callable[[Run, "Popen[bytes]"], None]


class Plan:
    """Seeded moments for kills: every stage at least once, training most, some while only Snakemake is at work."""

    def __init__(self, kills: int, seconds: dict[str, float], seed: int, first: tuple[float, float] = (0.05, 0.45)) -> None:
        """``seconds`` is how much CPU time each stage takes; a moment lies well inside it, the ``first`` in this part of it."""
        draw = random.Random(seed)
        self.moments: dict[str, list[float]] = {aim: [] for aim in (*STAGES, PLANNING)}
        for aim in [*STAGES, *(["train_avatar", "train_mesh_head", PLANNING, *STAGES] * kills)][:kills]:
            share = draw.uniform(*((0.05, 0.65) if self.moments[aim] else first))
            self.moments[aim].append(share * seconds.get(aim, 6.0))

    def due(self, spent: dict[str, float]) -> str | None:
        """What is to be struck now, given how far everything at work is."""
        return next((aim for aim, seconds in spent.items() if self.moments[aim] and seconds >= self.moments[aim][0]), None)

    def __bool__(self) -> bool:
        """Whether there are kills still to come."""
        return any(self.moments.values())


@dataclass(frozen=True)
class Kill:
    """Where a kill was aimed, after how much work there (CPU s), and what was at work when it landed."""

    aim: str
    after: float
    hit: tuple[str, ...]


def kill_once(run: Run, process: Popen[bytes], plan: Plan, strike: Strike, begun: bool = False) -> Kill | None:
    """Strike the running workflow at the next planned moment; None when it ended well before one came.

    ``begun``: only a stage that has claimed its log is struck, not one that still imports.
    """
    while process.poll() is None:
        jobs = sorted((stage, pid) for pid, stage in run.jobs().items() if run.has_begun(pid) or not begun)
        spent = {stage: run.cpu_seconds(pid) for stage, pid in jobs}
        aim = plan.due(spent or {PLANNING: run.cpu_seconds(process.pid)})
        if aim is not None:
            strike(run, process)
            return Kill(aim, plan.moments[aim].pop(0), tuple(spent) or (PLANNING,))
        time.sleep(0.05)
    assert process.returncode == 0, run.said()[-6000:]
    return None


def kill_tree(run: Run, process: Popen[bytes]) -> None:
    run.kill_tree()


def kill_scheduler(run: Run, process: Popen[bytes]) -> None:
    process.kill()
    process.wait()


def freeze_jobs_and_kill_scheduler(run: Run, process: Popen[bytes]) -> None:
    """Orphans that can neither write nor notice that they are orphans until they are woken."""
    for pid in run.alive() - {process.pid}:
        os.kill(pid, signal.SIGSTOP)
    kill_scheduler(run, process)


def table(kills: list[Kill]) -> str:
    rows = [f"{number:3}  {kill.aim:17} {kill.after:6.2f}  {', '.join(kill.hit)}" for number, kill in enumerate(kills, start=1)]
    return "\n".join(["\n  #  aimed at          CPU s    at work when it landed", *rows])


def stage_seconds(folder: Path) -> dict[str, float]:
    """CPU time of each stage, as Snakemake's benchmarks sampled it: a little less than it was."""
    files = [*(folder / FOLDER / "benchmarks").glob("*.tsv"), *(folder / "results/models/benchmarks").glob("*.tsv")]
    rows = {path.stem.removesuffix("_open"): next(csv.DictReader(path.open(), delimiter="\t")) for path in files}
    return {stage: float(row["cpu_time"]) for stage, row in rows.items()}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run in an empty folder, of which nothing stays alive."""
    run = Run(tmp_path / "run")
    try:
        yield run
    finally:
        run.stop_everything()


def test_sigkill_to_everything_at_any_time(run: Run, undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, kills = Plan(KILLS, stage_seconds(undisturbed), seed=7), []
    while plan and (kill := kill_once(run, run.start(), plan, kill_tree)):
        kills.append(kill)
        check_whole(run.folder)
        run.unlock() if len(kills) % 8 == 1 else run.unlock_at_once()
    run.finish()
    with capsys.disabled():
        print(table(kills))
    assert len(kills) >= KILLS * 15 / 16
    assert {stage for kill in kills for stage in kill.hit} >= set(STAGES)
    assert check_whole(run.folder) > 20
    assert digests(run.folder) == digests(undisturbed)
    hidden = {path.suffix for path in (run.folder / "results").rglob(".*") if path.is_file()}
    assert hidden == {".lock"}, "temporary files were left"


def test_sigkill_to_the_scheduler_leaves_no_second_writer(run: Run, undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, kills, frozen = Plan(len(STAGES) + 2, stage_seconds(undisturbed), seed=11, first=(0.0, 0.3)), [], 0
    process = run.start()
    while plan:
        freeze = len(kills) % 3 == 1
        kill = kill_once(run, process, plan, freeze_jobs_and_kill_scheduler if freeze else kill_scheduler, begun=True)
        if kill is None:
            break
        kills.append(kill)
        orphans = {pid: stage for pid, stage in run.jobs().items() if run.has_begun(pid)}
        run.unlock_at_once()
        process = run.start()
        if freeze:
            frozen += wait_until_a_newcomer_waits(run, orphans)
    assert process.wait(900) == 0, run.said()[-6000:]
    run.finish()
    with capsys.disabled():
        print(table(kills), f"\n{frozen} times the orphans were frozen and the next run waited for them")
    assert sum(kill.hit != (PLANNING,) for kill in kills) >= 10
    assert frozen >= 3
    assert len(run.writes()) > 100
    assert overlaps(run.writes()) == []
    assert digests(run.folder) == digests(undisturbed)


def wait_until_a_newcomer_waits(run: Run, orphans: dict[int, str]) -> bool:
    """While orphans are frozen at work, the next run of their stage writes nothing; woken, they leave and it goes on."""
    began, said = time.monotonic_ns(), len(run.said())

    def waiting() -> bool:
        return any(f"{stage} waits for an earlier run" in run.said()[said:] for stage in orphans.values())

    try:
        if not orphans:
            return False
        wait_for(waiting, 600, f"no newcomer waited for {orphans}: {run.said()[-3000:]}")
        time.sleep(1)
        ours = {pid for pid, stage in run.jobs().items() if stage in orphans.values()}
        assert not [write for write in run.writes() if write[0] > began and write[1] in ours]
    finally:
        for pid in run.alive():
            os.kill(pid, signal.SIGCONT)
    wait_for(lambda: not orphans.keys() & run.jobs().keys(), 2 * limit(), f"orphans {orphans} live on")
    return True


@pytest.fixture
def before_training(run: Run, undisturbed: Path) -> Run:
    """Everything is there but the avatar."""
    shutil.copytree(undisturbed, run.folder, symlinks=True, dirs_exist_ok=True)
    (run.folder / AVATAR).unlink()
    return run


def just_saved(run: Run) -> float:
    return state.stat().st_mtime if (state := run.folder / STATE).exists() else 0.0


def start_training(run: Run) -> Popen[bytes]:
    """Start, wait for a periodic save, take it away: the next one within a step can only be that of a signal."""
    before = just_saved(run)
    process = run.start(AVATAR)
    wait_for(lambda: just_saved(run) > before, 900, f"training saved nothing: {run.said()[-3000:]}")
    (run.folder / STATE).unlink()
    return process


def limit() -> float:
    """Ten seconds (s) on a machine of one's own; a core that many share gives each its part."""
    return 10 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def test_a_signal_saves_the_training_within_ten_seconds(
    before_training: Run, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, told = before_training, []
    to_job, to_scheduler = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1), (signal.SIGTERM, signal.SIGINT)
    for number, whom in [*((n, "job") for n in to_job), *((n, "scheduler") for n in to_scheduler)]:
        process = start_training(run)
        (job,) = run.jobs()
        began = time.monotonic()
        os.kill(job if whom == "job" else process.pid, number)
        wait_for(lambda job=job: job not in run.alive(), limit(), f"{number} to the {whom}: training goes on")
        seconds = time.monotonic() - began
        assert process.wait(3 * limit()) != 0
        assert not run.alive()
        index = torch.load(run.folder / STATE, weights_only=True)["state"]["index"]
        name, load = signal.Signals(number).name, os.getloadavg()[0]
        told.append(f"{name} to the {whom}: saved at step {index}, gone after {seconds:.1f} s at load {load:.1f}")
    run.finish(AVATAR)
    with capsys.disabled():
        print("\n" + "\n".join(told))
    assert "resumed at step" in run.log("train_avatar")
    assert digests(run.folder) == digests(undisturbed)
    assert not (run.folder / STATE).exists()


def test_a_signal_to_the_scheduler_stops_stages_with_workers(before_training: Run, undisturbed: Path) -> None:
    run = before_training
    (run.folder / FOLDER / "masks/manifest.json").unlink()
    process = run.start(AVATAR)
    wait_for(lambda: "hair_masks" in run.jobs().values() and len(run.alive()) > 3, 600, f"no workers: {run.said()[-3000:]}")
    process.terminate()
    assert process.wait(2 * limit()) != 0
    assert not run.alive()
    check_whole(run.folder)
    run.finish()
    assert digests(run.folder) == digests(undisturbed)
