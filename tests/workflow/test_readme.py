"""The README is true: its graph is the workflow's, its commands exist, its Python example runs in five lines."""

from __future__ import annotations

import re

from .test_plan import ROOT, config, snakemake

README = (ROOT / "README.md").read_text()
FOLDER = "results/demo/HAIR"
TARGETS = [f"{FOLDER}/{name}" for name in ("avatar.pth", "evaluation/metrics.json", "scores.json", "reenactment/reenactment.mp4")]


def reachable(edges: set[tuple[str, str]], start: str) -> set[str]:
    found, todo = set(), [start]
    while todo:
        node = todo.pop()
        for a, b in edges:
            if a == node and b not in found:
                found.add(b)
                todo.append(b)
    return found


def reduction(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The edges that no other path implies."""
    return {
        (a, b)
        for a, b in edges
        if b not in set().union(*(reachable(edges - {(a, b)}, c) | {c} for x, c in edges if x == a and c != b), set())
    }


def test_the_graph_is_current(tmp_path) -> None:  # type: ignore[no-untyped-def]
    done = snakemake("--rulegraph", *config(), *TARGETS, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    names = dict(re.findall(r'(\d+)\[label = "(\w+)"', done.stdout))
    edges = {(names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", done.stdout)}
    mermaid = README.split("```mermaid")[1].split("```")[0]
    shown = set(re.findall(r"(\w+) --> (\w+)", mermaid))
    assert shown == reduction({(a, b) for a, b in edges if a != b})


def test_every_stage_is_explained() -> None:
    for path in (ROOT / "headcast/stages").glob("[a-z]*.py"):
        if path.stem not in {"views", "training_views", "demo_capture"}:
            assert f"`{path.stem}`" in README, path.stem


def test_the_pictures_and_files_that_it_names_exist() -> None:
    for name in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / name).exists(), name


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
