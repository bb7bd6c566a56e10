"""The tiny workflow on a real Slurm, through profiles/slurm, disturbed in every way that a cluster knows.

One folder and two runs of one command. The first: a job gets too little memory, the mesh training is requeued, Ctrl-C falls into
the avatar's training. The second goes on; its training job is cancelled from outside. The end is compared with a local run.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from headcast import layout as at
from headcast.formats.avatar_file import read_metadata
from tests.workflow.test_plan import STAGES, jobs, snakemake

from .cluster import Cluster
from .scheduler import edited_profile, environment, snakemake_command, tiny_demo

pytestmark = pytest.mark.slurm
NAMES = {"subject": "demo", "sequence": "HAIR"}
AVATAR, MODEL = at.avatar.format(**NAMES), at.head_model.format(model="open")
STEPS, SAVE_EVERY = 32, 8
HUNGRY, TOO_LITTLE_MB = "hair_masks", 600  # the stage that gets too little memory at first
LIMIT_SECONDS = 900
QUICK = ["--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "2", "--latency-wait", "10"]


@dataclass
class Story:
    """What happened, in order."""

    folder: Path
    began: float = field(default_factory=time.monotonic)
    times: list[tuple[float, str]] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    trained: dict[str, str] = field(default_factory=dict)
    left: str = "unknown"
    requeued: str = ""
    cancelled: str = ""

    def note(self, what: str) -> None:
        """Remember when something happened."""
        self.times.append((time.monotonic() - self.began, what))

    def jobs(self) -> dict[str, list[str]]:
        """Slurm's job numbers of every rule, as Snakemake said when it submitted them."""
        found: dict[str, list[str]] = {}
        for text in self.said.values():
            for number, rule in re.findall(r"submitted with SLURM jobid (\d+) \(log: \S*/rule_(\w+?)/", text):
                found.setdefault(rule, []).append(number)
        return found


@dataclass
class Run:
    """A Snakemake at work."""

    story: Story
    name: str
    process: subprocess.Popen[bytes]

    def text(self) -> str:
        """What it has said so far."""
        text = (self.story.folder / f"{self.name}.log").read_text(errors="replace")
        self.story.said[self.name] = text
        return text

    def wait_for(self, what: str, true: Callable[[], object]) -> None:
        """Until something is so; the run must not end before."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not true():
            assert self.process.poll() is None and time.monotonic() < deadline, (what, self.text()[-8000:])
            time.sleep(0.1)
        self.text()
        self.story.note(what)

    def end(self, what: str) -> int:
        """Until it has ended; its exit status."""
        code = self.process.wait(LIMIT_SECONDS)
        self.text()
        self.story.note(what)
        return code


def started(name: str, story: Story, command: list[str]) -> Run:
    with open(story.folder / f"{name}.log", "wb") as log:
        process = subprocess.Popen(command, cwd=story.folder, stdout=log, stderr=log, env=environment())
    return Run(story, name, process)


def training_has_saved(story: Story, stage: str) -> Callable[[], bool]:
    state = story.folder / at.state(stage).format(**NAMES) / "state.pt"
    return state.exists


def log_of(story: Story, stage: str) -> str:
    path = story.folder / at.log(stage).format(**NAMES)
    return path.read_text(errors="replace") if path.exists() else ""


def resumed_at(log: str) -> int:
    """The step at which a training went on."""
    found = re.search(r"resumed at step (\d+) of", log)
    assert found, log
    return int(found[1])


def requeue(story: Story, run: Run, cluster: Cluster) -> None:
    """Put the running mesh training back into the queue, and spare it the two minutes that Slurm holds it there."""
    run.wait_for("mesh training has saved", training_has_saved(story, "train_mesh_head"))
    story.requeued = story.jobs()["train_mesh_head"][-1]
    cluster.ask("scontrol", "requeue", story.requeued)
    run.wait_for("it is back in the queue", lambda: "PENDING" in cluster.ask("squeue", "-h", "-j", story.requeued, "-o", "%T"))
    cluster.ask("scontrol", "update", f"JobId={story.requeued}", "StartTime=now")


def interrupt(story: Story, run: Run, cluster: Cluster) -> None:
    """Ctrl-C while the avatar is trained."""
    run.wait_for("avatar's training has saved", training_has_saved(story, "train_avatar"))
    story.trained["train_mesh_head"] = log_of(story, "train_mesh_head")
    run.process.send_signal(signal.SIGINT)
    run.end("Ctrl-C: Snakemake is gone")
    deadline = time.monotonic() + 30
    while story.left and time.monotonic() < deadline:
        story.left = cluster.ask("squeue", "-h", "-t", "pending,running,completing", "-o", "%i %T").strip()
        time.sleep(0.2)
    story.trained["interrupted"] = log_of(story, "train_avatar")


def cancel(story: Story, run: Run, cluster: Cluster) -> None:
    """Someone cancels the training job; Snakemake submits it again."""
    run.wait_for("avatar's training goes on", lambda: "resumed at step" in log_of(story, "train_avatar"))
    story.trained["continued"] = log_of(story, "train_avatar")
    story.cancelled = story.jobs()["train_avatar"][-1]
    cluster.ask("scancel", story.cancelled)


@pytest.fixture(scope="module")
def story(cluster: Cluster, scheduler: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    story = Story(tmp_path_factory.mktemp("slurm"))
    memory = {HUNGRY: {"mem_mb": f"{TOO_LITTLE_MB} * 2 ** (attempt - 1)"}}
    profile = edited_profile("slurm", story.folder / "profile", **{"slurm-status-command": "squeue", "set-resources": memory})
    command = snakemake_command(scheduler, profile, *QUICK, *tiny_demo(STEPS, SAVE_EVERY), AVATAR)
    runs = []
    try:
        runs.append(started("first", story, command))
        requeue(story, runs[0], cluster)
        interrupt(story, runs[0], cluster)
        runs.append(started("second", story, command))
        cancel(story, runs[1], cluster)
        assert runs[1].end("avatar is made") == 0, runs[1].text()[-8000:] + cluster.logs()
        yield story
    finally:
        for run in runs:
            if run.process.poll() is None:
                run.process.kill()
                run.process.wait()


def test_the_whole_workflow_ends_in_an_avatar(story: Story, cluster: Cluster) -> None:
    assert (story.folder / AVATAR).exists()
    finished = cluster.finished()
    assert set(story.jobs()) == STAGES
    for rule, numbers in story.jobs().items():
        assert finished[numbers[-1]]["JobState"] == "COMPLETED", rule


def test_jobs_that_ask_for_a_gpu_land_on_its_partition_and_no_others_do(story: Story, cluster: Cluster) -> None:
    finished = cluster.finished()
    partitions = {rule: {finished[number]["Partition"] for number in numbers} for rule, numbers in story.jobs().items()}
    assert {rule for rule, names in partitions.items() if names == {"gpu"}} == {"train_mesh_head", "train_avatar"}
    assert {rule for rule, names in partitions.items() if names == {"cpu"}} == set(partitions) - {"train_mesh_head", "train_avatar"}
    assert finished[story.jobs()["train_avatar"][0]]["Tres"].startswith("cpu=8,mem=16000M,")
    assert "TresPerJob=gres:gpu:1" in cluster.ask("scontrol", "show", "job", story.jobs()["train_avatar"][-1])


def test_a_job_that_outgrows_its_memory_is_killed_by_slurm_and_gets_twice_as_much(story: Story, cluster: Cluster) -> None:
    numbers = story.jobs()[HUNGRY]
    records = [cluster.finished()[number] for number in numbers]
    asked = [int(re.findall(r"mem=(\d+)M", record["Tres"])[0]) for record in records]
    assert len(numbers) > 1
    assert asked == [TOO_LITTLE_MB * 2**n for n in range(len(numbers))]
    assert [record["JobState"] == "COMPLETED" for record in records] == [False] * (len(numbers) - 1) + [True]
    slurmd = (cluster.folder / "log/slurmd.log").read_text(errors="replace")
    assert "exceeded memory limit" in story.said["first"] + slurmd


def test_a_requeued_training_goes_on_from_its_state(story: Story, cluster: Cluster) -> None:
    assert story.jobs()["train_mesh_head"] == [story.requeued]  # Slurm ran it twice, Snakemake submitted it once
    assert "Restarts=1" in cluster.ask("scontrol", "show", "job", story.requeued)
    assert resumed_at(story.trained["train_mesh_head"]) > SAVE_EVERY  # SIGTERM made it save again before it left


def test_ctrl_c_leaves_no_job_behind_and_the_same_command_goes_on(story: Story) -> None:
    assert story.left == ""
    assert "interrupted" in story.trained["interrupted"]  # SIGTERM reached the training, which saved and left
    assert resumed_at(story.trained["continued"]) > SAVE_EVERY
    assert set(re.findall(r"/rule_(\w+?)/", story.said["second"])) == {"train_avatar"}


def test_a_cancelled_job_is_submitted_again_and_goes_on(story: Story, cluster: Cluster) -> None:
    numbers = story.jobs()["train_avatar"]
    assert numbers.index(story.cancelled) < len(numbers) - 1
    assert cluster.finished()[story.cancelled]["JobState"] == "CANCELLED"
    assert resumed_at(log_of(story, "train_avatar")) >= resumed_at(story.trained["continued"])


def test_the_avatar_is_that_of_an_undisturbed_run_on_one_machine(story: Story, undisturbed: Path, tmp_path: Path) -> None:
    """What is trained on was made without Slurm before, with the same settings; the trainings are those of this run."""
    folder = Path(shutil.copytree(undisturbed, tmp_path / "run", symlinks=True))
    done = snakemake(*tiny_demo(STEPS, SAVE_EVERY), AVATAR, folder=folder, PATH=environment()["PATH"])
    assert done.returncode == 0, done.stderr[-3000:]
    assert set(jobs(done.stdout + done.stderr)) - {"total"} == {"train_mesh_head", "grow_hair", "train_avatar"}
    assert "resumed" not in log_of(Story(folder), "train_mesh_head") + log_of(Story(folder), "train_avatar")
    assert read_metadata(folder / AVATAR)["digest"] == read_metadata(story.folder / AVATAR)["digest"]


def test_a_job_finds_its_python_by_a_precommand_where_the_environment_is_not_handed_on(
    cluster: Cluster, scheduler: Path, tmp_path: Path
) -> None:
    profile = edited_profile("slurm", tmp_path / "profile", **{"slurm-status-command": "squeue"})
    activate = f"export PATH={Path(sys.executable).parent}:/usr/bin:/bin"
    command = snakemake_command(scheduler, profile, *QUICK, "--precommand", activate, *tiny_demo(STEPS, SAVE_EVERY), MODEL)
    bare = environment(PATH="/usr/bin:/bin")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=bare)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    assert (tmp_path / MODEL).exists()


def test_nothing_is_left_to_do(story: Story, scheduler: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = snakemake_command(scheduler, story.folder / "profile", "-n", *tiny_demo(STEPS, SAVE_EVERY), AVATAR)
    done = subprocess.run(command, cwd=story.folder, capture_output=True, text=True, check=False, env=environment())
    assert "Nothing to be done" in done.stdout + done.stderr
    with capsys.disabled():
        print("\n" + "\n".join(f"{when:6.1f} s  {what}" for when, what in story.times))
