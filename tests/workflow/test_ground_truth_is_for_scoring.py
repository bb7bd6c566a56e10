"""Ground truth is read by evaluation and scoring alone."""

from __future__ import annotations

import re

import pytest

from headcast.workflow.fingerprint import _parse, _source

from .test_plan import ROOT

SCORING = {"evaluate", "score", "demo_capture"}
STAGES = sorted({rule for path in (ROOT / "rules").glob("*.smk") for rule in re.findall(r"^rule (\w+):", path.read_text(), re.M)})


def imports(module: str) -> set[str]:
    """Every project module that ``module`` reaches."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        path = _source(ROOT, name)
        if path is None or name in seen:
            continue
        seen.add(name)
        todo += _parse(path)[1]
    return seen


@pytest.mark.parametrize("stage", STAGES)
def test_only_scoring_can_reach_the_reader(stage: str) -> None:
    reached = imports(f"headcast.stages.{stage}")
    assert f"headcast.stages.{stage}" in reached
    assert ("headcast.formats.ground_truth" in reached) == (stage in SCORING - {"demo_capture"}) or stage == "demo_capture"


@pytest.mark.parametrize("path", sorted((ROOT / "rules").glob("*.smk")), ids=lambda path: path.name)
def test_only_scoring_is_told_where_it_lies(path) -> None:  # type: ignore[no-untyped-def]
    for rule in re.split(r"^rule ", path.read_text(), flags=re.M)[1:]:
        assert ("ground_truth" in rule) <= (rule.split(":")[0] in SCORING)


def test_no_other_module_spells_the_folder() -> None:
    spelled = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "headcast").rglob("*.py")
        if re.search(r"[\"']ground_truth[\"']", path.read_text()) and "headcast/demo/" not in path.as_posix()
    }
    assert spelled <= {"headcast/workflow/planning.py", "headcast/formats/ground_truth.py"}
