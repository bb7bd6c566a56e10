"""Print the exact versions of everything that ``pyproject.toml`` pulls into this environment: the new ``constraints.txt``."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parent.parent.parent / "pyproject.toml"
HEADER = "# Every version of the one plain environment; `make constraints` writes it after pyproject.toml changed.\n"
PAIRED = ("opencv-python", "opencv-contrib-python")  # share files: only ever both at one version


def closure(names: list[str]) -> dict[str, str]:
    """Installed versions of ``names`` and of all that they require here."""
    found: dict[str, str] = {}
    while names:
        name = re.sub(r"[-_.]+", "-", names.pop()).lower()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if name not in found:
            found[name] = distribution.version.split("+")[0]
            required = [Requirement(text) for text in distribution.requires or []]
            names += [r.name for r in required if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def main() -> None:
    """Write the constraints to standard output."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"], *PAIRED]
    versions = closure([Requirement(text).name for text in wanted])
    sys.stdout.write(HEADER + "".join(f"{name}=={version}\n" for name, version in sorted(versions.items())))


if __name__ == "__main__":
    main()
