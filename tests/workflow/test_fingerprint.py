"""The code hash: what changes it and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from headcast.workflow.fingerprint import _parse, code_hash

STAGE = '''"""Stage."""
from headcast.maths import work
BACKENDS = {"fast": "headcast.backend"}
TABLE = "table.json"


def run():
    """Do it."""
    return work()
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    package = tmp_path / "headcast"
    package.mkdir()
    for name, text in {
        "__init__": "",
        "stage": STAGE,
        "maths": "def work():\n    return 1\n",
        "backend": "SPEED = 2\n",
        "other": "X = 1\n",
    }.items():
        (package / f"{name}.py").write_text(text)
    (package / "table.json").write_text("[1]")
    (package / "unnamed.json").write_text("[1]")
    return tmp_path


def changed(root: Path, file: str, text: str) -> bool:
    before = code_hash("headcast.stage", root=root)
    (root / "headcast" / (file if "." in file else f"{file}.py")).write_text(text)
    _parse.cache_clear()
    return code_hash("headcast.stage", root=root) != before


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("stage", STAGE.replace("return work()", "return work() + 1"), True),
        ("maths", "def work():\n    return 2\n", True),
        ("backend", "SPEED = 3\n", True),
        ("other", "X = 2\n", False),
        ("table.json", "[2]", True),
        ("unnamed.json", "[2]", False),
        ("stage", STAGE.replace("return work()", "return work()  # the answer"), False),
        ("stage", STAGE.replace("Do it.", "Really do it."), False),
        ("maths", "\n\ndef work():\n\n    return 1\n", False),
    ],
)
def test_only_meaning_counts(project: Path, file: str, text: str, expected: bool) -> None:
    assert changed(project, file, text) is expected


def test_every_stage_has_a_hash_of_its_own() -> None:
    stages = [path.stem for path in (Path(__file__).parents[2] / "headcast" / "stages").glob("[a-z]*.py")]
    assert len({code_hash(f"headcast.stages.{stage}") for stage in stages}) == len(stages)
