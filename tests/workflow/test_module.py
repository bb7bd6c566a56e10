"""Used from another workflow: beside its own rules and scripts, from a folder or from a host, and laid out as the catalog asks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.capture.test_nersemble import capture_template

from .test_plan import ROOT, jobs

__all__ = ["capture_template"]
pytestmark = pytest.mark.workflow
OUTER = """
module headcast:
    snakefile: {snakefile}
    config: {{"data_root": "{data}", "subjects": ["001"], "preset": "tiny"}}

use rule * from headcast as headcast_*

rule mine:
    input: "results/001/HAIR/images/manifest.json"
    output: "mine.txt"
    shell: "python -m scripts.mine {{input}} > {{output}}"
"""


def outer(folder: Path, snakefile: str, data: Path) -> Path:
    """A workflow with a rule and scripts of its own; one of them is called as one of headcast's."""
    (folder / "scripts").mkdir(parents=True)
    (folder / "Snakefile").write_text(OUTER.format(snakefile=snakefile, data=data))
    (folder / "scripts/download.py").write_text(
        "raise SystemExit('the outer workflow has this script, headcast must not run it')\n"
    )
    return folder


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def test_rules_run_beside_those_of_another_workflow(capture_template: Path, tmp_path: Path) -> None:
    folder = outer(tmp_path / "outer", repr(str(ROOT / "workflow/Snakefile")), capture_template)
    planned = run(folder, "-n", "results/001/HAIR/avatar.pth")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    counts = jobs(planned.stdout + planned.stderr)
    assert counts["headcast_train_avatar"] == counts["headcast_fit_head"] == counts["headcast_head_model"] == 1
    done = run(folder, "results/001/HAIR/images/manifest.json")
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "results/001/HAIR/images").rglob("*.png"))) == 4 * 4
    assert "Nothing to be done" in (again := run(folder, "results/001/HAIR/images/manifest.json")).stdout + again.stderr


def test_a_workflow_that_is_fetched_from_a_host_brings_its_package(capture_template: Path, tmp_path: Path) -> None:
    hosted = tmp_path / "host/owner/headcast"
    left_out = shutil.ignore_patterns(".git", ".venv", "results", ".snakemake", "__pycache__", "demo", "tests", ".*_cache")
    shutil.copytree(ROOT, hosted, ignore=left_out, symlinks=True)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-C", str(hosted)]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "one"], ["tag", "v1"]):
        subprocess.run([*git, *command], check=True)
    source = 'github("owner/headcast", path="workflow/Snakefile", tag="v1")'
    folder = outer(tmp_path / "outer", source, capture_template)
    redirected = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{tmp_path}/host/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }
    here = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": "", **redirected}
    done = run(folder, "results/001/HAIR/download/manifest.json", **here)
    assert done.returncode == 0, done.stderr
    laid_out = list((tmp_path / "cache").rglob("headcast-*/scripts/download.py"))
    assert len(laid_out) == 1
    assert "Nothing to be done" in (again := run(folder, "results/001/HAIR/download/manifest.json", **here)).stdout + again.stderr


def test_the_catalog_finds_what_it_asks_for() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"] == {"conda": True, "apptainer": False, "apptainer+conda": False, "report": True}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme and "workflow" in readme
    settings = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    explained = (ROOT / "config/README.md").read_text()
    assert all(f"`{key}`" in explained for key in ("data_root", "subjects", "sequences"))
    assert {"data_root", "subjects", "sequences", "presets"} <= set(settings)
    assert list((ROOT / "rules").glob("*.smk")) and (ROOT / "workflow/Snakefile").exists()
