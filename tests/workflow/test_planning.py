"""What the rules ask while the plan is made."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from headcast.assets import used_by
from headcast.config import load_config
from headcast.errors import AssetMissing, OutOfResources
from headcast.workflow.planning import Plan, digest_of_files, one_line


def test_a_mistake_is_one_line_and_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, one_line(sys.exit):
        raise OutOfResources("results", "is full", "free space")
    assert left.value.code == 7
    assert capsys.readouterr().err == "headcast: results: is full; free space\n"


def test_the_digest_of_files_follows_names_and_contents_not_dates(tmp_path: Path) -> None:
    def digest(name: str, **files: str) -> str:
        (tmp_path / name / "deep").mkdir(parents=True)
        for stem, text in files.items():
            (tmp_path / name / "deep" / stem).write_text(text)
        return digest_of_files(tmp_path / name)

    assert digest("a", one="1", two="2") == digest("b", one="1", two="2")
    assert len({digest("c", one="1"), digest("d", one="2"), digest("e", other="1"), digest("f", one="1", two="")}) == 4
    assert digest("g") == digest_of_files(tmp_path / "not there") == ""


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Two evaluated avatars, the first with an extra sequence, and one that is not evaluated yet."""
    monkeypatch.chdir(tmp_path)
    for folder in ("demo/HAIR", "258/HAIR"):
        (tmp_path / "results" / folder / "evaluation").mkdir(parents=True)
        (tmp_path / "results" / folder / "evaluation/metrics.json").touch()
        (tmp_path / "results" / folder / "avatar.pth").touch()
    (tmp_path / "results/259/HAIR").mkdir(parents=True)
    (tmp_path / "results/259/HAIR/avatar.pth").touch()
    return Plan(load_config({}, gpu=False))


def test_sequences_of_evaluated_avatars_can_be_cleaned(plan: Plan) -> None:
    assert plan.finished_sequences(None) == ["results/258/HAIR", "results/demo/HAIR", "results/demo/EXP-1-head"]


def test_but_not_those_that_an_unfinished_avatar_learns_from(plan: Plan) -> None:
    state = Path("results/demo/HAIR/state/train_avatar")
    state.mkdir(parents=True)
    assert len(plan.finished_sequences(None)) == 3
    (state / "state.pt").touch()
    assert plan.finished_sequences(None) == ["results/258/HAIR"]


def test_by_default_no_file_package_or_gpu_is_asked_for_and_labels_follow_the_fit(plan: Plan) -> None:
    for section in ("matting", "landmarks", "hair_masks"):
        assert plan.own_weights(section) == {} and plan.network_gpu(section) == 0
    assert plan.by_fit(surface="pattern") == {"surface": "pattern"}


def test_outlines_shape_what_has_mattes_and_an_identity_of_its_own() -> None:
    def asked(config: dict[str, object], subject: str, sequence: str) -> list[str]:
        resolve = Plan(load_config(config, gpu=False)).outlines("{subject}/{sequence}/mattes")["mattes"]
        assert callable(resolve)
        return resolve(SimpleNamespace(subject=subject, sequence=sequence))  # type: ignore[arg-type]

    assert asked({}, "demo", "HAIR") == ["demo/HAIR/mattes"] and asked({}, "demo", "EXP-1-head") == []
    actor = {"subjects": {"demo": {"data_root": "assets/demo"}, "actor": {"reader": "monocular", "data_root": "videos"}}}
    assert asked(actor, "actor", "TALK") == [] and asked(actor, "demo", "EXP-1-head") == ["demo/EXP-1-head/mattes"]
    alone = {"subjects": {"demo": {"data_root": "assets/demo"}}}
    assert Plan(load_config(alone, gpu=False)).outlines("pattern") == {"mattes": "pattern"}
    assert Plan(load_config({"fitting": {"silhouette": False}}, gpu=False)).outlines("pattern") == {}


def test_a_network_asks_for_its_files_and_a_gpu_and_its_labels_for_no_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = load_config({"hair_masks": {"backend": "matte_anything"}}, gpu=False)
    wanted = [asset.path for asset in used_by({"hair_masks": {"backend": "matte_anything"}})]
    for path in map(Path, wanted):
        path.parent.mkdir(parents=True)
        path.touch()
    monkeypatch.setattr("headcast.assets.find_spec", lambda module: None)
    resolve = Plan(chosen, own_environments=True).own_weights("hair_masks")["own"]
    assert resolve(SimpleNamespace()) == wanted  # type: ignore[arg-type]
    plan = Plan(chosen)
    assert plan.network_gpu("hair_masks") == 1 and plan.by_fit(surface="pattern") == {}
    monkeypatch.setattr("headcast.workflow.planning.one_line", nullcontext)
    with pytest.raises(AssetMissing, match="transformers"):
        plan.own_weights("hair_masks")["own"](SimpleNamespace())  # type: ignore[arg-type]
