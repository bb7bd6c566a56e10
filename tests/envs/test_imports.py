"""The import check itself: what counts as an import of a script, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from .imports import outside

STAGE = '''"""Stage.

import nothing_of_prose
"""
from typing import TYPE_CHECKING
import numpy.linalg
from headcast.maths import work
if TYPE_CHECKING:
    import only_for_types
else:
    import otherwise
BACKENDS = {"fast": "headcast.fast"}
'''
FILES = {
    "scripts/stage.py": "from headcast.stage import run\n",
    "scripts/helper.py": "import used_by_helper\n",
    "headcast/__init__.py": "import at_the_door\n\nVERSION = '1'\n\n\ndef load():\n    import behind_the_door\n",
    "headcast/stage.py": STAGE,
    "headcast/maths.py": "import json\n\n\ndef work():\n    import lazily\n",
    "headcast/fast.py": 'from importlib import import_module\n\n\ndef run():\n    return import_module("on_demand")\n',
    "headcast/apart.py": 'CODE = """\nimport in_another_process\n"""\nTOOL = "helper.py"\n',
    "headcast/other.py": "import unrelated\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_imports_are_followed_through_the_project(project: Path) -> None:
    assert set(outside(["scripts.stage"], project)) == {"numpy", "otherwise", "at_the_door", "lazily", "on_demand"}


def test_code_for_another_process_and_scripts_that_are_run_count(project: Path) -> None:
    assert set(outside(["headcast.apart"], project)) == {"at_the_door", "in_another_process", "used_by_helper"}


def test_what_a_package_does_when_called_counts_for_those_that_take_a_name_from_it(project: Path) -> None:
    (project / "headcast/caller.py").write_text("from headcast import load\n")
    assert set(outside(["headcast.caller"], project)) == {"at_the_door", "behind_the_door"}


def test_a_constant_of_a_package_brings_nothing_that_its_functions_import(project: Path) -> None:
    (project / "headcast/teller.py").write_text("from headcast import VERSION\n")
    assert set(outside(["headcast.teller"], project)) == {"at_the_door"}


def test_it_says_which_file_imports(project: Path) -> None:
    assert outside(["scripts.stage"], project)["lazily"] == {"headcast/maths.py"}
