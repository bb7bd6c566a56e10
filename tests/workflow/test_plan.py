"""The plan without running it: lint, the DAG of a subject, and the one line that each mistake gives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
AVATAR = "results/demo/HAIR/avatar.pth"
SHARED = {"head_model", "train_mesh_head", "grow_hair", "train_avatar"}
STAGES = SHARED | {"download", "extract_frames", "matting", "landmarks", "fit_head", "hair_masks", "orientation_maps", "doctor"}


def snakemake(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake of this environment in ``folder`` on the project's Snakefile."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2", *arguments]
    kept = {key: value for key, value in os.environ.items() if key != "NERSEMBLE_DATA_URL"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={**kept, **environment})


def config(**overrides: str) -> list[str]:
    return [
        "--config",
        f"subjects={{demo: {{data_root: {ROOT / 'assets/demo'}, extra_sequences: {{HAIR: [EXP-1-head]}}}}}}",
        *(f"{k}={v}" for k, v in overrides.items()),
        "--",
    ]


def jobs(output: str) -> dict[str, int]:
    """The job counts of a dry run."""
    table = re.search(r"Job stats:\n(.*?)\n\n", output, re.S)
    assert table, output
    return {line.split()[0]: int(line.split()[1]) for line in table[1].splitlines()[2:]}


def test_the_plan_of_the_demo_has_every_stage_once_per_sequence(tmp_path: Path) -> None:
    done = snakemake("-n", *config(), AVATAR, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    counts = jobs(done.stdout + done.stderr)
    assert {name: counts[name] for name in STAGES} == {name: 1 if name in SHARED else 2 for name in STAGES}


def test_a_preprocessed_subject_needs_no_stage_before_the_fit(tmp_path: Path) -> None:
    (tmp_path / "ready/anna").mkdir(parents=True)
    subjects = "subjects={anna: {reader: gha, data_root: ready, fps: 25}}"
    done = snakemake("-n", "--config", subjects, "--", "results/anna/TALK/avatar.pth", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = {"download", "import_gha", "head_model", "fit_head", "doctor", "train_mesh_head", "grow_hair", "train_avatar"}
    assert set(jobs(done.stdout + done.stderr)) - {"total"} == expected


def planned(folder: Path, target: str, *settings: str) -> set[str]:
    done = snakemake("-n", "--config", *settings, "--", target, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(jobs(done.stdout + done.stderr)) - {"total"}


def test_a_tracked_subject_brings_its_fit(tmp_path: Path) -> None:
    (tmp_path / "ready/anna").mkdir(parents=True)
    (tmp_path / "assets/FLAME").mkdir(parents=True)
    for name in ("generic_model.pkl", "flame_static_embedding.pkl", "flame_dynamic_embedding.npy"):
        (tmp_path / "assets/FLAME" / name).touch()
    settings = ("subjects={anna: {reader: vhap, data_root: ready, fps: 25}}", "fitting={model: flame}")
    taken = {"download", "head_model", "import_vhap"}
    assert planned(tmp_path, "results/anna/TALK/params/manifest.json", *settings) == taken
    assert planned(tmp_path, "results/anna/TALK/masks/manifest.json", *settings) == taken | {"hair_masks"}
    assert planned(tmp_path, "results/anna/TALK/fit/frames.json", *settings) == taken | {"landmarks", "fit_pictures"}
    assert planned(tmp_path, "results/anna/TALK/vhap/manifest.json", *settings) == taken | {"export_vhap"}


def test_a_track_is_written_for_vhap_only_of_flame(tmp_path: Path) -> None:
    done = snakemake("-n", *config(), "results/demo/HAIR/vhap/manifest.json", folder=tmp_path)
    said = [line for line in done.stderr.splitlines() if line.startswith("headcast: ")]
    assert done.returncode == 2
    assert said == ["headcast: fitting.model: is open; VHAP's folders hold FLAME; set fitting: {model: flame}"]


def test_one_video_drives_the_avatar_of_another_subject(tmp_path: Path) -> None:
    (tmp_path / "videos/actor/sequences").mkdir(parents=True)
    (tmp_path / "videos/actor/sequences/TALK.mp4").touch()
    subjects = f"subjects={{demo: {{data_root: {ROOT / 'assets/demo'}}}, actor: {{reader: monocular, data_root: videos}}}}"
    tracked = {"download", "extract_frames", "landmarks", "head_model", "fit_head"}
    assert planned(tmp_path, "results/actor/TALK/params/manifest.json", subjects) == tracked
    film = "results/demo/HAIR/reenactment/reenactment.mp4"
    done = snakemake("-n", "-p", "--config", subjects, "reenactment={driver: actor/TALK}", "--", film, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert jobs(done.stdout + done.stderr)["fit_head"] == 3  # HAIR, the sequence its avatar learns from, and the actor
    given = "--params results/actor/TALK/params/manifest.json --cameras results/demo/HAIR/cameras/manifest.json"
    assert f"{given} --times results/actor/TALK/cameras/manifest.json" in done.stdout + done.stderr


def test_a_capture_of_one_s_own_is_asked_for_in_its_own_words(tmp_path: Path) -> None:
    subjects = "subjects={anna: {reader: custom, data_root: mine}}"
    done = snakemake("-n", "--config", subjects, "--", "results/anna/TALK/avatar.pth", folder=tmp_path)
    assert done.returncode == 3
    assert "headcast: mine/anna: " in done.stderr and "NERSEMBLE" not in done.stderr
    without = snakemake("-n", "--config", "subjects={anna: {reader: gha}}", "--", "results/anna/TALK/avatar.pth", folder=tmp_path)
    assert without.returncode == 2 and "needs fps" in without.stderr


def test_the_workflow_is_lint_clean(tmp_path: Path) -> None:
    done = snakemake("--lint", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_access_it_says_what_to_obtain_and_where_to_put_it(tmp_path: Path) -> None:
    done = snakemake(*config(), "results/258/HAIR/avatar.pth", folder=tmp_path)
    said = [line for line in done.stderr.splitlines() if line.startswith("headcast: ")]
    assert done.returncode == 3
    assert len(said) == 1
    assert "data/258" in said[0]
    assert "NERSEMBLE_DATA_URL" in said[0]
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("overrides", "key"),
    [({"trainign": "{steps: 3}"}, "trainign"), ({"training": "{steps: 0}"}, "training.steps"), ({"preset": "huge"}, "preset")],
)
def test_a_wrong_setting_ends_before_the_plan(overrides: dict[str, str], key: str, tmp_path: Path) -> None:
    done = snakemake("-n", *config(**overrides), AVATAR, folder=tmp_path)
    assert done.returncode == 2
    assert f"headcast: {key}: " in done.stderr


@pytest.mark.parametrize("name", ["$(touch x)", "a b", "../demo", "demo;touch x"])
def test_a_hostile_name_is_refused_and_never_reaches_a_shell(name: str, tmp_path: Path) -> None:
    done = snakemake(*config(), f"results/{name}/HAIR/avatar.pth", folder=tmp_path)
    declared = snakemake("-n", "--config", f"subjects={{'{name}': {{}}}}", "--", AVATAR, folder=tmp_path)
    assert done.returncode != 0
    assert declared.returncode == 2
    assert "headcast: subjects." in declared.stderr
    assert not list(tmp_path.rglob("x"))


def test_every_rule_names_environment_log_benchmark_resources_code_and_docstring() -> None:
    text = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    rules = re.split(r"^rule ", text, flags=re.M)[1:]
    assert {rule.split(":")[0] for rule in rules} >= STAGES
    for rule in rules:
        for part in ('"""', "conda:", "log:", "benchmark:", "resources:", "code=code_hash(", "message:", "shell:"):
            assert part in rule, (rule.split(":")[0], part)


def test_every_rule_has_a_script_and_a_stage_and_their_interfaces_agree() -> None:
    text = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    for rule in re.split(r"^rule ", text, flags=re.M)[1:]:
        name = rule.split(":")[0]
        flags = {flag.replace("-", "_") for flag in re.findall(r" --([a-z-]+)", rule)} - {"settings", "log"}
        if "params.identity" in rule:
            flags.add("identity")
        if "params.mattes" in rule:
            flags.add("mattes")
        if "params.fit" in rule:
            flags |= {"surface", "model"}
        if "params.own" in rule:
            flags.add("file")
        if not (ROOT / f"headcast/stages/{name}.py").exists():
            continue
        code = f"import dataclasses, headcast.stages.{name} as s; print(' '.join(f.name for f in dataclasses.fields(s.Inputs)))"
        fields = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
        assert flags == set(fields), name


@pytest.mark.parametrize(
    ("model", "file"), [("flame", "generic_model.pkl"), ("bfm", "BFM09_model_info.mat"), ("ict", "ict_facekit_light_f32.npz")]
)
def test_a_head_model_without_its_files_ends_the_plan_with_where_to_obtain_them(model: str, file: str, tmp_path: Path) -> None:
    done = snakemake("-n", *config(fitting=f"{{model: {model}}}"), "results/demo/HAIR/params/manifest.json", folder=tmp_path)
    said = [line for line in done.stderr.splitlines() if line.startswith("headcast: ")]
    assert done.returncode == 3
    assert len(said) == 1
    assert file in said[0] and "https://" in said[0] and "licence: " in said[0]


def test_the_plan_follows_the_configured_head_model(tmp_path: Path) -> None:
    for file in ("ict_facekit_light_f32.npz", "vertex_indices.json"):
        (tmp_path / "assets/ICT-FaceKit").mkdir(parents=True, exist_ok=True)
        (tmp_path / "assets/ICT-FaceKit" / file).touch()
    done = snakemake("-n", *config(fitting="{model: ict}"), "results/demo/HAIR/params/manifest.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "results/models/ict.npz" in done.stdout + done.stderr
    assert "results/models/open.npz" not in done.stdout + done.stderr


OWN = [
    ("matting", "background_matting_v2", "mattes", "assets/BackgroundMattingV2/pytorch_resnet101.pth"),
    ("matting", "modnet", "mattes", "assets/MODNet/modnet_photographic_portrait_matting.ckpt"),
    ("hair_masks", "cdgnet", "masks", "assets/CDGNet/LIP_epoch_149.pth"),
    ("hair_masks", "matte_anything", "masks", "transformers"),
    ("landmarks", "face_alignment", "landmarks", "face-alignment"),
]


@pytest.mark.parametrize(("section", "backend", "product", "missing"), OWN)
def test_a_network_without_its_weights_or_package_ends_the_plan(
    section: str, backend: str, product: str, missing: str, tmp_path: Path
) -> None:
    wanted = f"results/demo/HAIR/{product}/manifest.json"
    done = snakemake("-n", *config(**{section: f"{{backend: {backend}}}"}), wanted, folder=tmp_path)
    said = [line for line in done.stderr.splitlines() if line.startswith("headcast: ")]
    assert done.returncode == 3
    assert len(said) == 1 and said[0].startswith(f"headcast: {missing}: ")
    assert "licence" in said[0] or "pip install" in said[0]


def test_strands_of_a_file_are_looked_for_before_anything_runs(tmp_path: Path) -> None:
    wanted = "results/demo/HAIR/avatar.pth"
    hair = {"hair": '{initialiser: file, file: "hair/{subject}_{sequence}.data"}'}
    done = snakemake("-n", *config(**hair), wanted, folder=tmp_path)
    said = [line for line in done.stderr.splitlines() if line.startswith("headcast: ")]
    assert done.returncode == 3
    assert said == [
        "headcast: hair/demo_HAIR.data: the strands of hair.file are not there; place them there or change hair.file (docs/hair.md)"
    ]
    (tmp_path / "hair").mkdir()
    (tmp_path / "hair/demo_HAIR.data").touch()
    done = snakemake("-n", "-p", *config(**hair), wanted, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--mesh-head results/demo/HAIR/mesh_head.pth --file hair/demo_HAIR.data --settings" in done.stdout + done.stderr
    if find_spec("alembic3d") is None:
        (tmp_path / "hair/demo.abc").touch()
        unread = snakemake("-n", *config(hair="{initialiser: file, file: hair/demo.abc}"), wanted, folder=tmp_path)
        assert unread.returncode == 3 and "headcast: alembic3d: reads demo.abc and is not installed" in unread.stderr
    nameless = snakemake("-n", *config(hair="{initialiser: file}"), wanted, folder=tmp_path)
    assert nameless.returncode == 2 and "headcast: hair: " in nameless.stderr and "docs/hair.md" in nameless.stderr


def test_labels_by_a_network_do_not_wait_for_the_fit(tmp_path: Path) -> None:
    weights = tmp_path / "assets/CDGNet/LIP_epoch_149.pth"
    weights.parent.mkdir(parents=True)
    weights.touch()
    wanted = "results/demo/HAIR/masks/manifest.json"
    done = snakemake("-n", *config(hair_masks="{backend: cdgnet}"), wanted, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(jobs(done.stdout + done.stderr)) - {"total"} == {"download", "extract_frames", "matting", "hair_masks"}
