"""The invalidation matrix: every row of ``invalidation.py`` against what ``snakemake -n`` says, and against the documentation.

``python -m pytest tests/workflow/test_invalidation.py -s`` prints row, expected and got.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .invalidation import AFTER, ASIDE, ROWS, Bench, Row, table
from .planner import planned
from .test_plan import ROOT

pytestmark = pytest.mark.workflow
LEFT_OUT = shutil.ignore_patterns(".*", "results", "assets", "__pycache__")


@pytest.fixture(scope="module")
def bench(finished: Path, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The finished run and the project, both as copies that may be changed."""
    base = tmp_path_factory.mktemp("matrix")
    shutil.copytree(finished, base / "run", symlinks=True)
    shutil.copytree(ROOT, base / "checkout", ignore=LEFT_OUT)
    return Bench(base / "run", raw, base / "checkout")


@pytest.fixture(scope="module")
def results() -> Iterator[list[tuple[str, str, str]]]:
    """Row, expected, got; printed when the last row is done."""
    seen: list[tuple[str, str, str]] = []
    yield seen
    for what, expected, got in seen:
        sys.stdout.write(f"\n{what}\n    expected {expected}\n    got      {got}")
    sys.stdout.write(f"\n{len(seen)} rows, {sum(e == g for _, e, g in seen)} as expected\n")


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.group}: {row.change}" for row in ROWS])
def test_a_change_brings_back_exactly_what_depends_on_it(
    row: Row, bench: Bench, results: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    try:
        row.act(bench)
        got = planned(bench.arguments(), bench.folder, tmp_path / "said")
    finally:
        bench.restore()
    results.append((f"{row.group}: {row.change}", listed(row.expected), listed(got)))
    assert got == row.expected, f"missing {listed(row.expected - got)}; not expected {listed(got - row.expected)}"


def listed(jobs: frozenset[str] | set[str]) -> str:
    """Jobs in a line."""
    return ", ".join(sorted(jobs)) or "nothing"


def test_every_stage_and_kind_of_input_has_a_row() -> None:
    changes = " ".join(row.change for row in ROWS)
    stages = {path.stem for path in (ROOT / "headcast/stages").glob("[a-z]*.py")} - {"demo_capture"}
    assert [stage for stage in sorted(stages) if f"headcast/stages/{stage}.py" not in changes] == []
    assert stages - {"views", "training_views", *ASIDE} == set(AFTER) - {"everything"}
    assert len({(row.group, row.change) for row in ROWS}) == len(ROWS) >= 25


def test_the_documentation_has_the_same_table() -> None:
    assert table() in (ROOT / "docs/rerun.md").read_text(encoding="utf-8")
