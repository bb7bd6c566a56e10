"""What every job's shell starts with: the checkout comes first, the user's PYTHONPATH after it, mistakes are fatal."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from snakemake.utils import format as snakemake_format

from headcast.workflow.scheduler import share_package

NAMES = ["plain", "with space", "quo'te", "bra{ce}", "dol$lar"]


def run(root: Path, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    prefix = snakemake_format(share_package(root))
    return subprocess.run(["bash", "-c", prefix + command], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("before", [{}, {"PYTHONPATH": "/of/the/user"}])
def test_the_checkout_comes_first_and_the_users_path_after_it(name: str, before: dict[str, str], tmp_path: Path) -> None:
    done = run(tmp_path / name, 'printf "%s" "$PYTHONPATH"', **before)
    assert done.stdout == ":".join([str(tmp_path / name), *before.values()]), done.stderr


@pytest.mark.parametrize("command", ["false | true", "false; true", 'true "$not_set"'])
def test_a_failure_within_a_command_is_one(command: str, tmp_path: Path) -> None:
    assert run(tmp_path, "true").returncode == 0
    assert run(tmp_path, command).returncode != 0


def test_scripts_of_the_working_folder_do_not_hide_the_projects(tmp_path: Path) -> None:
    root, folder = Path(__file__).parent.parent.parent, tmp_path / "work"
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts" / "download.py").write_text("raise SystemExit('not this one')\n")
    (folder / "headcast").mkdir()
    (folder / "headcast" / "__init__.py").write_text("raise SystemExit('nor this one')\n")
    done = run(root, f"cd {shlex.quote(str(folder))}; {shlex.quote(sys.executable)} -m scripts.download --help")
    assert "usage: download.py" in done.stdout, done.stderr


def test_no_installed_package_brings_modules_of_our_names() -> None:
    owners = metadata.packages_distributions()
    assert set(owners.get("headcast", [])) <= {"headcast"}
    assert "scripts" not in owners
