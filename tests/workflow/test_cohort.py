"""Names, numbers, ranges and patterns: what they choose, and what each mistake says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headcast.config import load_config
from headcast.errors import ConfigError
from headcast.workflow.cohort import is_plain, listed, matches, select
from headcast.workflow.planning import Plan, cohort


def captures(root: Path, **sequences: list[str]) -> Path:
    """Folders of a raw capture: subject (with a leading ``p``) → sequences."""
    for subject, names in sequences.items():
        for name in [*names, "BACKGROUND"]:
            (root / subject.removeprefix("p") / "sequences" / name / ("" if name == "BACKGROUND" else "images")).mkdir(parents=True)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "not a subject" / "sequences").mkdir(parents=True)
    return captures(
        tmp_path, p017=["HAIR", "EXP-1-head"], p031=["EXP-1-head", "EXP-2-eyes"], p120=["HAIR"], p121=["HAIR"], anna=["TALK"]
    )


def chosen(root: Path, downloads: bool = False, **raw: object) -> dict[str, list[str]]:
    return cohort(load_config({"data_root": str(root), **raw}), downloads)


@pytest.mark.parametrize(
    ("subjects", "sequences", "expected"),
    [
        (["017-120"], ["HAIR"], {"017": ["HAIR"], "031": ["HAIR"], "120": ["HAIR"]}),
        ("017-120", "HAIR", {"017": ["HAIR"], "031": ["HAIR"], "120": ["HAIR"]}),
        ([258, "anna"], ["HAIR"], {"258": ["HAIR"], "anna": ["HAIR"]}),
        (["12?"], ["*"], {"120": ["HAIR"], "121": ["HAIR"]}),
        (["*", "!12*", "!anna"], ["EXP-*"], {"017": ["EXP-1-head"], "031": ["EXP-1-head", "EXP-2-eyes"]}),
        (
            {"017": {"sequences": ["*", "!HAIR"]}, "120-121": None},
            ["HAIR"],
            {"017": ["EXP-1-head"], "120": ["HAIR"], "121": ["HAIR"]},
        ),
        ([{"anna": {"sequences": "T*"}}, "031"], ["EXP-2-eyes", "HAIR"], {"anna": ["TALK"], "031": ["EXP-2-eyes", "HAIR"]}),
        (["*"], ["EXP-2-*"], {"031": ["EXP-2-eyes"]}),
    ],
)
def test_selectors_choose(root: Path, subjects: object, sequences: object, expected: dict[str, list[str]]) -> None:
    assert chosen(root, subjects=subjects, sequences=sequences) == expected


@pytest.mark.parametrize(
    ("raw", "where", "says"),
    [
        ({"subjects": ["300-400"]}, "subjects.300-400", "chooses nothing under"),
        ({"subjects": ["x*"]}, "subjects.x*", "chooses nothing under"),
        ({"subjects": ["120"], "sequences": ["EXP-*"]}, "subjects.120", "no sequence that EXP-* chooses"),
        ({"subjects": [15]}, "subjects", '"015" with quotes'),
        ({"subjects": ["../x"]}, "subjects.../x", "pattern"),
        ({"sequences": ["a b"]}, "sequences.0", "pattern"),
        ({"subjects": 1.5}, "subjects", "dictionary"),
    ],
)
def test_a_mistake_names_its_key(root: Path, raw: dict, where: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        chosen(root, **raw)
    assert caught.value.where == where
    assert says in str(caught.value)


def test_options_of_a_range_hold_for_its_members_and_a_name_wins(root: Path) -> None:
    config = load_config(
        {
            "subjects": {"017-120": {"data_root": "/one"}, "031": {"data_root": "/two"}, "a*": {"extra_sequences": {"A": ["B"]}}},
            "training": {"extra_sequences": {"HAIR": ["EXP-1-head"]}},
        }
    )
    assert [str(config.capture_root(name)) for name in ("017", "031", "121")] == ["/one", "/two", "data"]
    assert config.extra_sequences("031", "HAIR") == ["EXP-1-head"]
    assert config.extra_sequences("anna", "A") == ["B"]
    with pytest.raises(ConfigError):
        config.subject("bob")


def test_what_the_data_set_offers_counts_when_it_can_be_downloaded(root: Path) -> None:
    (root / "metadata_sequences.csv").write_text("ID,BACKGROUND,HAIR,FREE,wears_glasses\n18,x,x,,\n40,x,,m,x\n300,x,x,x,\n")
    asked = {"subjects": ["017-120"], "sequences": ["HAIR*", "FREE*"]}
    assert "018" not in chosen(root, **asked)
    offered = chosen(root, downloads=True, **asked)
    assert (offered["017"], offered["018"], offered["040"]) == (["HAIR"], ["HAIR"], ["FREE"])
    assert "300" not in offered


def test_targets_hold_every_pair_once_and_extras_where_asked(root: Path) -> None:
    raw = {"data_root": str(root), "subjects": ["017", "031"], "sequences": ["HAIR", "EXP-1-head"]}
    plan = Plan(load_config({**raw, "training": {"extra_sequences": {"HAIR": ["EXP-1-head", "FREE"]}}}))
    assert plan.each("{subject}/{sequence}") == ["017/HAIR", "017/EXP-1-head", "031/HAIR", "031/EXP-1-head"]
    assert set(plan.each("{subject}/{sequence}", extras=True)) == {*plan.each("{subject}/{sequence}"), "017/FREE", "031/FREE"}
    assert plan.roll() == ["017,031/HAIR,EXP-1-head"]


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 999))
def test_a_range_includes_both_ends(number: int, low: int, high: int) -> None:
    assert matches(f"{number:03d}", f"{low:03d}-{high:03d}") == (low <= number <= high)


@given(st.lists(st.sampled_from(["a", "b", "ab", "*", "a*", "!a", "!*b", "b?"]), max_size=6))
def test_a_choice_has_no_name_twice_and_none_from_nowhere(selectors: list[str]) -> None:
    names = select(selectors, lambda selector: ["a", "b", "ab", "bb"])
    assert len(names) == len(set(names))
    assert set(names) <= {"a", "b", "ab", "bb"}
    assert all(name in names for name in selectors if is_plain(name)) or any(name.startswith("!") for name in selectors)


def test_lists_and_mappings_mean_the_same() -> None:
    assert listed(["demo", 258, {"anna": {"sequences": ["A"]}}]) == {"demo": {}, "258": {}, "anna": {"sequences": ["A"]}}
    assert listed({"demo": None, 258: {}}) == {"demo": {}, "258": {}}
