"""The profiles: they parse, name only what exists, and give every rule what docs/cluster.md says it gets."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from headcast.config import load_config, read_config
from headcast.workflow import planning, scheduler

from .test_plan import AVATAR, ROOT, config, snakemake

PROFILES = sorted(path.parent.name for path in (ROOT / "profiles").glob("*/config.v9+.yaml"))
DOCUMENT = ROOT / "docs/cluster.md"
GUIDED = ("slurm", "cluster-generic")
LINES_TO_EDIT = 5


@dataclass(frozen=True)
class Asked:
    """What a rule asks for."""

    threads: int
    mem_mb: int
    runtime: int
    gpu: int
    gpu_by_setting: bool


def rules() -> dict[str, Asked]:
    """Resources of every rule as its file spells them, of a training those of its one process."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    return {rule.split(":")[0]: asked(rule) for rule in re.split(r"^rule ", text, flags=re.M)[1:]}


def asked(rule: str) -> Asked:
    def number(pattern: str, otherwise: str) -> int:
        found = re.search(pattern, rule)
        return int((found[1] if found else otherwise).replace("_", ""))

    return Asked(
        number(r"threads: (\d+)", "1"),
        number(r"mem_mb=doubling\(([\d_]+)", "0"),
        number(r"runtime=([\d_]+)", "0"),
        1 if "gpu=settings.training.processes" in rule else number(r"gpu=(\d)", "0"),
        re.search(r"gpu=(int|plan|settings)", rule) is not None,
    )


def profile(name: str) -> dict[str, object]:
    loaded = yaml.safe_load((ROOT / "profiles" / name / "config.v9+.yaml").read_text())
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def systems() -> ModuleType:
    spec = importlib.util.spec_from_file_location("systems", ROOT / "profiles/cluster-generic/systems.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["systems"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_document_tells_what_every_rule_asks_for() -> None:
    table = re.findall(r"^\| `(\w+)` \| (\d+) \| ([\d ]+) \| ([\d ]+) \| ([\d ]+) \| (yes)? ?\|$", DOCUMENT.read_text(), re.M)
    shown = {name: (*(int(cell.replace(" ", "")) for cell in cells), gpu == "yes") for name, *cells, gpu in table}
    assert shown == {name: (a.threads, a.mem_mb, a.mem_mb * 4, a.runtime, a.gpu == 1) for name, a in rules().items()}


def test_every_rule_asks_for_something_sensible() -> None:
    for name, a in rules().items():
        assert 1_000 <= a.mem_mb <= 64_000, name
        assert 10 <= a.runtime <= 2_880, name
        assert 1 <= a.threads <= 16, name


def test_a_rule_asks_for_a_gpu_if_and_only_if_its_stage_uses_one() -> None:
    for name, a in rules().items():
        if a.gpu_by_setting:
            continue
        stage = (ROOT / f"headcast/stages/{name}.py").read_text()
        assert a.gpu == ("best_device()" in stage), name


def test_memory_doubles_with_every_attempt() -> None:
    needed = planning.doubling(16_000)
    assert [needed(None, attempt) for attempt in (1, 2, 3)] == [16_000, 32_000, 64_000]  # type: ignore[arg-type]


def test_the_scheduler_has_one_list_of_packages_for_pip_and_for_conda() -> None:
    dependencies = yaml.safe_load((ROOT / "envs/scheduler.yaml").read_text())["dependencies"]
    for_conda = next(entry["pip"] for entry in dependencies if isinstance(entry, dict))
    lines = (ROOT / "profiles/scheduler.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == for_conda


def test_no_rule_retries_by_itself() -> None:
    assert not any(re.search(r"^    retries:", path.read_text(), re.M) for path in (ROOT / "rules").glob("*.smk"))
    assert {name: "retries" in profile(name) for name in PROFILES} == {"default": False, "slurm": True, "cluster-generic": True}


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_names_only_files_that_are_there(name: str) -> None:
    folder = ROOT / "profiles" / name
    for value in profile(name).values():
        if isinstance(value, str) and re.search(r"\.(ya?ml|py)$", value):
            assert (folder / value).is_file(), value
            assert os.access(folder / value, os.X_OK) or not value.endswith(".py"), value


@pytest.mark.parametrize("name", GUIDED)
def test_few_lines_are_to_be_edited(name: str) -> None:
    lines = [line for path in (ROOT / "profiles" / name).iterdir() if path.is_file() for line in path.read_text().splitlines()]
    marked = [line for line in lines if "← " in line and "marked ←" not in line]
    assert 0 < len(marked) <= LINES_TO_EDIT, marked


@pytest.mark.parametrize("name", GUIDED)
def test_a_cluster_decides_the_preset_before_it_plans(name: str, tmp_path: Path) -> None:
    settings = yaml.safe_load((ROOT / "profiles" / name / "settings.yaml").read_text())
    merged = yaml.safe_load((ROOT / "workflow_config.yaml").read_text()) | settings
    (tmp_path / "config.yaml").write_text(json.dumps(merged))
    assert read_config(tmp_path / "config.yaml").preset == "gpu"


def test_a_job_on_another_kind_of_node_keeps_the_preset_of_its_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADCAST_GPU", "0")  # put back afterwards, whatever share_gpu sets
    monkeypatch.delenv("HEADCAST_GPU")
    on_node = {"presets": {"gpu": {}, "cpu": {}}, "preset": "auto"}
    for here in (False, True):
        monkeypatch.delenv("HEADCAST_GPU", raising=False)
        monkeypatch.setattr(Path, "exists", lambda _, here=here: here)
        planned = load_config(on_node).preset
        scheduler.share_gpu()
        monkeypatch.setattr(Path, "exists", lambda _, here=here: not here)
        assert load_config(on_node).preset == planned == ("gpu" if here else "cpu")


def test_the_default_profile_is_picked_up_and_gives_all_cores(tmp_path: Path) -> None:
    done = snakemake("-n", *config(preset="tiny"), AVATAR, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "profiles/default" in done.stderr


def job_script(folder: Path, rule: str, **resources: int) -> Path:
    script = folder / f"{rule}.sh"
    properties = {"type": "single", "rule": rule, "threads": 8, "resources": {"mem_mb": 16_000, "runtime": 90, **resources}}
    script.write_text(f"#!/bin/sh\n# properties = {json.dumps(properties)}\ntrue\n")
    return script


def test_a_job_finds_the_python_that_snakemake_was_started_beside(
    systems: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = job_script(tmp_path, "matting")
    script.write_text(script.read_text() + 'echo "$PATH"\n')
    monkeypatch.setenv("PATH", f"{tmp_path}/it's here:{os.environ['PATH']}")
    systems.hand_on(script)
    done = subprocess.run(["/bin/sh", str(script)], env={"PATH": "/nowhere"}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == os.environ["PATH"]
    assert systems.Job.read(script).rule == "matting"


@pytest.mark.parametrize(
    ("system", "resources"),
    [
        ("sge", ["-pe smp 8", "-l mem_free=16000M,h_rt=5400,gpu=1", "-V", "-cwd", "-r y"]),
        ("pbs", ["-l select=1:ncpus=8:mem=16000mb:ngpus=1", "-l walltime=5400", "-V", "-r y"]),
        ("lsf", ["-n 8 -R span[hosts=1]", "-M 16000MB", "-W 90", "-gpu num=1", "-r"]),
    ],
)
def test_each_batch_system_is_asked_in_its_words(system: str, resources: list[str], systems: ModuleType, tmp_path: Path) -> None:
    script = job_script(tmp_path, "train_avatar", gpu=1)
    command = " ".join(systems.submit_command(systems.Job.read(script), script, system))
    for words in resources:
        assert f" {words} " in command
    assert command.endswith(f" {script}")
    plain = job_script(tmp_path, "matting")
    assert "gpu" not in " ".join(systems.submit_command(systems.Job.read(plain), plain, system)[1:-1])


@pytest.mark.parametrize(
    ("system", "said", "number"),
    [("sge", "17\n", "17"), ("pbs", "17.head-node\n", "17.head-node"), ("lsf", "Job <17> is submitted to queue <normal>.\n", "17")],
)
def test_the_number_of_a_job_is_read_from_its_submission(system: str, said: str, number: str, systems: ModuleType) -> None:
    assert systems.job_number(said, system) == number
    with pytest.raises(SystemExit, match="no job number"):
        systems.job_number("queue is full", system)


@pytest.mark.parametrize(
    ("system", "answers", "expected"),
    [
        ("sge", {"qstat": "job_number: 17"}, "running"),
        ("sge", {"qacct": "failed       0\nexit_status  0"}, "success"),
        ("sge", {"qacct": "failed       0\nexit_status  137"}, "failed"),
        ("sge", {"qacct": "failed       37  : qmaster enforced h_rt\nexit_status  0"}, "failed"),
        ("pbs", {"qstat": "    job_state = R"}, "running"),
        ("pbs", {"qstat": "    job_state = F\n    Exit_status = 0"}, "success"),
        ("pbs", {"qstat": "    job_state = F\n    Exit_status = -29"}, "failed"),
        ("lsf", {"bjobs": "PEND"}, "running"),
        ("lsf", {"bjobs": "DONE"}, "success"),
        ("lsf", {"bjobs": "EXIT"}, "failed"),
        ("sge", {}, "failed"),
        ("pbs", {}, "failed"),
        ("lsf", {}, "failed"),
    ],
)
def test_how_a_job_fares_is_read_from_its_system(
    system: str, answers: dict[str, str], expected: str, systems: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("qstat", "qacct", "bjobs"):
        said = answers.get(program)
        (tmp_path / program).write_text("#!/bin/sh\nexit 1\n" if said is None else f"#!/bin/sh\ncat <<'X'\n{said}\nX\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(systems, "PAUSE", 0.0)
    assert systems.status("17", system) == expected
