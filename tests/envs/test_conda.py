"""``snakemake --sdm conda`` for real: our environments are made from our files, and our rules run inside them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workflow.test_plan import jobs
from tests.workflow.test_readme import reachable

from .conftest import checked
from .env_files import NAMES, ROOT, rules

pytestmark = pytest.mark.conda
FOLDER = "results/demo/HAIR"
MATTES = f"{FOLDER}/mattes/manifest.json"
CAMERAS = ["222200036", "222200037", "222200040", "222200046"]
MADE = {"capture", "matting"}
STAGES = {"download": "capture", "extract_frames": "capture", "matting": "matting"}
TARGETS = ["avatar.pth", "evaluation/metrics.json", "scores.json", "reenactment/reenactment.mp4"]
Run = Callable[..., subprocess.CompletedProcess[str]]


def options() -> list[str]:
    """The demo's raw capture at tiny size, four cameras, two frames."""
    subject = f"subjects={{demo: {{data_root: {ROOT / 'assets/demo'}}}}}"
    return ["--config", subject, "preset=tiny", f"extraction={{cameras: {json.dumps(CAMERAS)}, max_frames: 2}}", "--"]


@pytest.fixture(scope="session")
def run(conda_bin: Path) -> Run:
    """Run Snakemake of this environment on a checkout, with the stand-in as the conda command."""

    def snakemake(checkout: Path, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(checkout / "Snakefile"), "--cores", "2", *arguments]
        path = os.pathsep.join([str(conda_bin), str(Path(sys.executable).parent), os.environ["PATH"]])
        variables = {**os.environ, "PATH": path, **environment}
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=variables)

    return snakemake


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the workflow whose environment files may be edited."""
    copy = tmp_path / "checkout"
    for name in ("rules", "envs", "scripts", "headcast", "profiles"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "workflow_config.yaml"):
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="session")
def finished(run: Run, conda_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo was matted with ``--sdm conda``; a user's PYTHONPATH held a module that must not be found."""
    folder, poison = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("poison")
    (poison / "pymatting.py").write_text("raise ImportError('this is of the user, not of the environment')\n")
    done = run(ROOT, folder, *conda(conda_folder), *options(), MATTES, PYTHONPATH=str(poison))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return folder


def conda(folder: Path) -> list[str]:
    return ["--sdm", "conda", "--conda-prefix", str(folder / "environments")]


def prefix(folder: Path, stage: str) -> Path:
    """Where the Python lives that ran a stage, as its log tells."""
    told = re.search(r"in Python [\d.]+ at (.+)$", (folder / FOLDER / f"logs/{stage}.log").read_text(), re.M)
    assert told
    return Path(told[1])


def planned(output: str) -> set[str]:
    """The rules that a dry run would run."""
    return set() if "Nothing to be done" in output else set(jobs(output)) - {"total"}


def redefined(output: str) -> set[str]:
    """Those of them that run because their environment file changed, and not already because of an input."""
    told = re.search(r"software environment definition has changed since last execution:\n\s+(.*)", output)
    return set(told[1].split(", ")) if told else set()


def test_our_rules_run_inside_environments_made_from_our_files(finished: Path, conda_folder: Path) -> None:
    prefixes = {stage: prefix(finished, stage) for stage in STAGES}
    assert all(path.parent == conda_folder / "environments" for path in prefixes.values())
    for stage, path in prefixes.items():
        assert path.with_suffix(".yaml").read_text() == (ROOT / f"envs/{STAGES[stage]}.yaml").read_text()
    assert len(set(prefixes.values())) == len(MADE)
    assert json.loads((finished / MATTES).read_text())["members"]


@pytest.mark.parametrize(("name", "has", "lacks"), [("capture", "av", "mediapipe"), ("matting", "pymatting", "av")])
def test_an_environment_holds_its_packages_and_no_others(name: str, has: str, lacks: str, finished: Path) -> None:
    stage = next(stage for stage, environment in STAGES.items() if environment == name)
    packages = prefix(finished, stage) / "lib/python3.11/site-packages"
    assert (packages / has).is_dir()
    assert not (packages / lacks).exists()
    assert not list(packages.glob("headcast*")), "the package comes from the checkout"


def test_the_same_command_again_has_nothing_to_do(finished: Path, run: Run, conda_folder: Path) -> None:
    again = run(ROOT, finished, *conda(conda_folder), *options(), MATTES)
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_changed_file_re_runs_its_users_and_what_follows(
    name: str, finished: Path, checkout: Path, run: Run, conda_folder: Path
) -> None:
    file = checkout / f"envs/{name}.yaml"
    file.write_text(file.read_text() + "# one more line\n")
    done = run(checkout, finished, "-n", *conda(conda_folder), *options(), MATTES)
    output = done.stdout + done.stderr
    assert redefined(output) == {"matting" if name == "matting" else "download"}
    assert planned(output) == ({"matting"} if name == "matting" else set(STAGES))


@pytest.mark.parametrize(
    ("line", "with_", "said"),
    [
        ("python >=3.11,<3.12", "python >=99.1,<100", "No candidates were found for python >=99.1,<100"),
        ("av>=14,<19", "av>=99.1,<100", "No matching distribution found for av<100,>=99.1"),
    ],
    ids=["conda", "pip"],
)
def test_a_file_that_cannot_be_satisfied_fails_before_any_rule_and_says_why(
    line: str, with_: str, said: str, checkout: Path, run: Run, tmp_path: Path
) -> None:
    file = checkout / "envs/capture.yaml"
    assert line in file.read_text()
    file.write_text(file.read_text().replace(line, with_))
    done = run(checkout, tmp_path, *conda(tmp_path), *options(), f"{FOLDER}/download/manifest.json")
    assert done.returncode != 0
    assert "Could not create conda environment from" in done.stderr
    assert "envs/capture.yaml" in done.stderr
    assert said in done.stderr
    assert not (tmp_path / "results").exists()
    assert not [path for path in (tmp_path / "environments").iterdir() if path.is_dir()]


def test_without_the_option_the_same_workflow_runs_in_one_environment(run: Run, tmp_path: Path) -> None:
    done = run(ROOT, tmp_path, *options(), MATTES)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {prefix(tmp_path, stage) for stage in STAGES} == {Path(sys.prefix)}
    assert not list((tmp_path / ".snakemake/conda").iterdir())


def test_over_the_whole_workflow_a_file_re_runs_its_users_and_what_follows_from_them(
    checkout: Path, run: Run, conda_folder: Path, tmp_path: Path
) -> None:
    """Products are recorded as made (touched, not computed) with files that hold no packages; then each file is edited."""
    targets = [f"{FOLDER}/{name}" for name in TARGETS]
    for name in NAMES:
        text = f"# {name}\nchannels: [conda-forge]\ndependencies: ['python >=3.11,<3.12']\n"
        (checkout / f"envs/{name}.yaml").write_text(text)
    for line in run(checkout, tmp_path, "--summary", *options(), *targets).stdout.splitlines()[1:]:
        path = tmp_path / line.split("\t")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    touched = run(checkout, tmp_path, *conda(conda_folder), "--touch", "--forceall", *options(), *targets)
    assert touched.returncode == 0, touched.stderr[-3000:]
    graph = run(checkout, tmp_path, "--rulegraph", *options(), *targets).stdout
    names = dict(re.findall(r'(\d+)\[label = "(\w+)"', graph))
    edges = {(names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", graph)}
    for name in sorted({rule.environment for rule in rules().values()} - {"blender"}):
        users = {rule.name for rule in rules().values() if rule.environment == name} & set(names.values())
        followers = {rule for user in users for rule in reachable(edges, user)}
        file = checkout / f"envs/{name}.yaml"
        text = file.read_text()
        file.write_text(text + "# edited\n")
        done = run(checkout, tmp_path, "-n", *conda(conda_folder), *options(), *targets)
        file.write_text(text)
        output = done.stdout + done.stderr
        assert users - followers <= redefined(output) <= users, name
        assert planned(output) == users | followers, name


def test_the_environment_of_the_scheduler_plans_the_workflow(conda_bin: Path, conda_folder: Path, tmp_path: Path) -> None:
    file = ROOT / "envs/scheduler.yaml"
    made = conda_folder / "environments" / f"scheduler-{hashlib.md5(file.read_bytes()).hexdigest()}"
    if not (made / "complete").exists():
        shutil.rmtree(made, ignore_errors=True)
        checked([str(conda_bin / "conda"), "env", "create", "--file", str(file), "--prefix", str(made)])
        (made / "complete").touch()
    variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PATH")}
    variables["PATH"] = f"{made / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"
    command = [str(made / "bin/snakemake"), "--snakefile", str(ROOT / "Snakefile"), "-n", "--executor", "slurm", "--jobs", "2"]
    told = subprocess.run([*command, *options(), MATTES], cwd=tmp_path, capture_output=True, text=True, check=False, env=variables)
    assert told.returncode == 0, told.stdout + told.stderr
    assert planned(told.stdout + told.stderr) == set(STAGES)
