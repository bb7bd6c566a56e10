"""Both cluster profiles, read by Snakemake with its executor plugins: the plan is made, at the preset that the profile decides."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from headcast import layout as at
from tests.workflow.test_plan import ROOT, STAGES, config, jobs

from .scheduler import environment, snakemake_command

pytestmark = pytest.mark.slurm
AVATAR = at.avatar.format(subject="demo", sequence="HAIR")


@pytest.mark.parametrize("name", ["slurm", "cluster-generic"])
def test_a_plan_is_made_at_the_profiles_preset_wherever_it_is_made(name: str, scheduler: Path, tmp_path: Path) -> None:
    command = snakemake_command(scheduler, ROOT / "profiles" / name, "-n", "--printshellcmds", *config(), AVATAR)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment(HEADCAST_GPU="0"))
    assert done.returncode == 0, done.stderr
    assert set(jobs(done.stdout + done.stderr)) - {"total"} == STAGES
    presets = yaml.safe_load((ROOT / "workflow_config.yaml").read_text())["presets"]
    assert re.search(rf'"steps":{presets["gpu"]["training"]["steps"]}[,}}]', done.stdout + done.stderr)
