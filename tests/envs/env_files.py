"""The environment files and the rules that use them, read for the tests."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent
FILES = sorted((ROOT / "envs").glob("*.yaml"))
NAMES = [path.stem for path in FILES]


@dataclass(frozen=True)
class Environment:
    """One file of ``envs/``: its text, and the document in it."""

    name: str
    text: str
    content: dict[str, Any]

    @property
    def conda(self) -> list[str]:
        """The specs that conda resolves."""
        return [item for item in self.content["dependencies"] if isinstance(item, str)]

    @property
    def pip(self) -> dict[str, Requirement]:
        """What pip installs into it, by canonical name."""
        lines = [line for item in self.content["dependencies"] if isinstance(item, dict) for line in item["pip"]]
        return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


@dataclass(frozen=True)
class Rule:
    """A rule's environment and the modules it runs with ``python -m``."""

    name: str
    environment: str
    scripts: tuple[str, ...]


@cache
def environment(name: str) -> Environment:
    """Read ``envs/{name}.yaml``."""
    text = (ROOT / "envs" / f"{name}.yaml").read_text(encoding="utf-8")
    return Environment(name, text, yaml.safe_load(text))


@cache
def rules() -> dict[str, Rule]:
    """Every rule of ``rules/*.smk`` that runs in an environment."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))
    found = {}
    for block in re.split(r"^rule ", text, flags=re.M)[1:]:
        named = re.search(r'conda: "\.\./envs/(\w+)\.yaml"', block)
        if named:
            name = block.split(":")[0]
            found[name] = Rule(name, named[1], tuple(re.findall(r"python -m (scripts\.\w+)", block)))
    return found


@cache
def constraints() -> dict[str, str]:
    """The exact versions of the one plain environment."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@cache
def project() -> dict[str, Requirement]:
    """What ``pyproject.toml`` requires, by canonical name."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in wanted}
