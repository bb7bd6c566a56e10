"""The configuration: what is accepted, what each mistake says, which layer wins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headcast.config import SECTIONS, Config, load_config, read_config
from headcast.errors import ConfigError

FILE = Path(__file__).parent.parent / "workflow_config.yaml"


def test_the_shipped_file_is_valid_for_every_preset() -> None:
    import yaml

    raw = yaml.safe_load(FILE.read_text())
    for preset in ("tiny", "cpu", "gpu"):
        assert load_config({**raw, "preset": preset}).preset == preset
    assert read_config(FILE).subject("demo").extra_sequences == {"HAIR": ["EXP-1-head"]}


def test_every_key_of_the_file_carries_a_comment() -> None:
    bare = [
        line
        for line in FILE.read_text().splitlines()
        if line.strip() and "#" not in line and ": {" not in line and not line.strip().endswith(":")
    ]
    assert bare == ["      HAIR: [EXP-1-head]"]
    assert (FILE.parent / "config/config.yaml").read_text() == FILE.read_text()


def test_sections_and_fields_agree() -> None:
    assert set(SECTIONS) <= set(Config.model_fields)


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ({"trainign": {}}, "trainign"),
        ({"training": {"stepz": 3}}, "training.stepz"),
        ({"training": {"steps": "many"}}, "training.steps"),
        ({"training": {"steps": 0}}, "training.steps"),
        ({"training": {"strands": 300}}, "training.strands"),
        ({"hair": {"initialiser": "file"}}, "hair"),
        ({"hair": {"file_frame": "world"}}, "hair.file_frame"),
        ({"hair": {"shortest": 0.3, "longest": 0.2}}, "hair"),
        ({"hair": {"voxel": 4}}, "hair.voxel"),
        ({"extraction": {"size": 100}}, "extraction.size"),
        ({"held_out": {"frames_fraction": 1.0}}, "held_out.frames_fraction"),
        ({"held_out": {"cameras": ["a b"]}}, "held_out.cameras.0"),
        ({"subjects": {"$(touch x)": {}}}, "subjects.$(touch x)"),
        ({"subjects": {"demo": {"extra_sequences": {"A": ["B"], "B": ["C"]}}}}, "workflow_config.yaml"),
        ({"subjects": {"demo": {"extra_sequences": {"A": ["B"]}, "identity": "B"}}}, "workflow_config.yaml"),
        ({"preset": "huge"}, "preset"),
        ({"preset": "tiny", "presets": {"tiny": {"training": {"steps": -1}}}}, "training.steps"),
        ({"preset": "tiny", "presets": {"tiny": {"nonsense": {}}}}, "presets.tiny.nonsense"),
    ],
)
def test_a_mistake_names_its_key(raw: dict, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(raw)
    assert caught.value.where == where
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_section_wins_over_its_preset_and_the_preset_over_the_default() -> None:
    raw = {"preset": "tiny", "presets": {"tiny": {"training": {"steps": 5, "size": 64}}}, "training": {"size": 128}}
    config = load_config(raw)
    assert (config.training.steps, config.training.size, config.training.seed) == (5, 128, 0)


@given(st.booleans())
def test_auto_follows_the_machine(gpu: bool) -> None:
    assert load_config({}, gpu=gpu).preset == ("gpu" if gpu else "cpu")


def test_settings_are_canonical_and_hold_only_their_section() -> None:
    config = load_config({"preset": "cpu"})
    assert json.loads(config.settings("matting")) == {"matting": {"backend": "plate", "batch": 4, "half": False}}
    assert config.settings("training") != load_config({"preset": "cpu", "training": {"steps": 7}}).settings("training")
    assert config.settings("matting") == load_config({"preset": "cpu", "training": {"steps": 7}}).settings("matting")


def test_what_other_avatars_learn_from_is_no_setting_of_an_avatar() -> None:
    listed = load_config({"preset": "cpu", "training": {"extra_sequences": {"EMO-1": ["EMO-2"]}}})
    assert listed.settings("training") == load_config({"preset": "cpu"}).settings("training")
    assert listed.extra_sequences("258", "EMO-1") == ["EMO-2"]


def test_participants_need_no_entry_but_other_names_do() -> None:
    config = load_config({"data_root": "somewhere", "training": {"extra_sequences": {"HAIR": ["FREE"]}}})
    assert config.capture_root("258") == Path("somewhere")
    assert config.extra_sequences("258", "HAIR") == ["FREE"]
    assert config.identity_sequence("258", "FREE") == "HAIR"
    assert config.identity_sequence("258", "HAIR") is None
    with pytest.raises(ConfigError, match="not declared"):
        config.subject("anna")


def test_one_sequence_can_lend_its_head_shape_to_all_others_of_a_subject() -> None:
    subject = {"identity": "HAIR", "extra_sequences": {"FREE": ["EXP-1-head"]}}
    config = load_config({"subjects": {"017-120": subject}})
    shared = {name: config.identity_sequence("031", name) for name in ("HAIR", "FREE", "EXP-1-head", "EXP-2-eyes")}
    assert shared == {"HAIR": None, "FREE": "HAIR", "EXP-1-head": "FREE", "EXP-2-eyes": "HAIR"}


def test_a_module_without_presets_takes_those_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config({"preset": "tiny"}, home=FILE.parent)
    assert config.training.steps == 20
    assert config.capture_root("demo") == FILE.parent / "assets/demo"
    monkeypatch.chdir(FILE.parent)
    assert load_config({"preset": "tiny"}, home=FILE.parent).capture_root("demo") == Path("assets/demo")
