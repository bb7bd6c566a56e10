"""A conda that works without public channels: a local channel, made from the running Python, and a stand-in for the command."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

STANDIN = Path(__file__).parent / "standin"
TOOLS = ["pip>=25,<27", "py-rattler==0.28.0", "py-rattler-build==0.73.0", "pyyaml>=6,<7"]
CACHE = "HEADCAST_CONDA_CACHE"


@pytest.fixture(scope="session")
def conda_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where tools, channel and environments lie (2 GB): the folder that HEADCAST_CONDA_CACHE names, or one that goes afterwards."""
    if (sys.version_info[:2], sys.platform, platform.machine()) != ((3, 11), "linux", "x86_64"):
        pytest.skip("the environments take Python 3.11, and the local channel holds the running one, for Linux on x86-64")
    named = os.environ.get(CACHE)
    folder = Path(named).resolve() if named else tmp_path_factory.mktemp("conda")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    if not named:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def conda_bin(conda_folder: Path) -> Path:
    """A folder for PATH with the stand-in; its packages live in an environment of their own."""
    python, channel, root = conda_folder / "tools/bin/python", conda_folder / "channels/conda-forge", conda_folder / "standin"
    done, wanted = conda_folder / "complete", repr([TOOLS, sys.version, (STANDIN / "channel.py").read_text()])
    if not done.exists() or done.read_text() != wanted:
        checked([sys.executable, "-m", "venv", "--clear", str(conda_folder / "tools")])
        checked([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *TOOLS])
        shutil.rmtree(channel, ignore_errors=True)
        checked([str(python), str(STANDIN / "channel.py"), str(channel)])
        done.write_text(wanted)
    (root / "bin").mkdir(parents=True, exist_ok=True)
    known = shlex.join([f"STANDIN_ROOT={root}", f"STANDIN_CHANNELS={channel.parent}", str(python), str(STANDIN / "conda.py")])
    (root / "bin/conda").write_text(f'#!/bin/sh\nexec env -u PYTHONPATH {known} "$@"\n')
    (root / "bin/conda").chmod(0o755)
    (root / "bin/activate").write_text((STANDIN / "activate").read_text())
    return root / "bin"


def checked(command: list[str]) -> None:
    """Run ``command``; its last words are the test's error when it fails."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
