"""A stand-in for the conda command, for tests: the verbs that Snakemake calls, over py-rattler and channels of local folders.

Solving, linking and pip are real; only the channels are not the public ones. ``STANDIN_CHANNELS`` is the folder with a
channel of each name; everything that Snakemake does not ask for is refused.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from rattler import Channel, MatchSpec, VirtualPackage, install, solve

VERSION = "conda 24.11.0"
ROOT = Path(os.environ["STANDIN_ROOT"])
CHANNELS = Path(os.environ["STANDIN_CHANNELS"])


def channel(name: str) -> Channel:
    """The local channel of that name; ends the program where there is none, as conda does."""
    if not (CHANNELS / name).is_dir():
        sys.exit(f"UnavailableInvalidChannel: the channel is not accessible or is invalid: {name}")
    return Channel((CHANNELS / name).as_uri())


async def link(prefix: Path, specs: list[MatchSpec], channels: list[Channel]) -> None:
    """Solve ``specs`` and link the packages into ``prefix``."""
    platforms = ["linux-64", "noarch"]
    records = await solve(channels, specs, platforms=platforms, virtual_packages=VirtualPackage.detect())
    await install(records, target_prefix=prefix, cache_dir=CHANNELS / ".cache", show_progress=False)
    print("\n".join(f"+ {record.name.normalized} {record.version} {record.build}" for record in records))


def pip(prefix: Path, requirements: list[str]) -> int:
    """Install ``requirements`` into ``prefix`` with its own pip; returns pip's exit status."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(requirements))
        file.flush()
        command = [str(prefix / "bin/python"), "-m", "pip", "install", "--quiet", "--no-compile", "--requirement", file.name]
        return subprocess.run(command, check=False).returncode


def create(arguments: list[str]) -> int:
    """``conda env create``: the packages of the file, then its pip section."""
    parser = argparse.ArgumentParser(prog="conda env create")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--no-default-packages", action="store_true")
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--prefix", type=Path, required=True)
    asked = parser.parse_args(arguments)
    content = yaml.safe_load(asked.file.read_text(encoding="utf-8"))
    specs = [MatchSpec(item, strict=True) for item in content["dependencies"] if isinstance(item, str)]
    requirements = [line for item in content["dependencies"] if isinstance(item, dict) for line in item["pip"]]
    channels = [channel(name) for name in content["channels"] if name != "nodefaults"]
    try:
        asyncio.run(link(asked.prefix, specs, channels))
    except Exception as error:
        sys.exit(f"LibMambaUnsatisfiableError: Encountered problems while solving:\n{error}")
    return pip(asked.prefix, requirements) if requirements else 0


def clean() -> int:
    """``conda clean --tarballs``: packages that were unpacked need not be kept packed."""
    for packed in (CHANNELS / ".cache").glob("*.conda"):
        packed.unlink()
    return 0


def main(arguments: list[str]) -> int:
    """Answer as conda would."""
    answers = {
        ("--version",): VERSION,
        ("info", "--json"): json.dumps({"conda_prefix": str(ROOT), "platform": "linux-64"}),
        ("config", "--get", "channel_priority", "--json"): json.dumps({"get": {"channel_priority": "strict"}}),
    }
    if tuple(arguments) in answers:
        print(answers[tuple(arguments)])
        return 0
    if arguments[:2] == ["env", "create"]:
        return create(arguments[2:])
    if arguments == ["clean", "-y", "--tarballs"]:
        return clean()
    sys.exit(f"the stand-in of conda knows no {' '.join(arguments)}")


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # now and then the native threads of rattler crash while the interpreter is taken down
