"""``workflow_config.yaml`` ⇄ frozen, validated models: the only reader of YAML and the only place where settings get defaults.

Precedence: model defaults < ``presets:`` entry of the chosen preset < sections of the file < ``--config`` on the command line.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from headcast.errors import ConfigError
from headcast.workflow.cohort import NAME, SELECTOR, listed, matches

FILE = "workflow_config.yaml"
PARTICIPANT = re.compile(r"\d{3}")
Name = Annotated[str, Field(pattern=f"^{NAME}$", max_length=64)]
Selector = Annotated[str, Field(pattern=f"^{SELECTOR}$", max_length=64)]
Sequences = Annotated[list[Selector], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the configuration: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Subject(Section):
    """A subject, or all that a range or pattern selects; a three-digit NeRSemble participant can be asked for without an entry."""

    reader: Literal["nersemble", "custom", "renderme", "gha", "vhap", "monocular"] = "nersemble"
    data_root: Path | None = None
    sequences: Sequences | None = None
    identity: Name | None = None
    fps: Annotated[float, Field(gt=0, le=10_000)] | None = None
    extra_sequences: dict[Name, list[Name]] = {}

    @model_validator(mode="after")
    def _only_others_products_have_no_clock(self) -> Subject:
        if (self.reader in ("gha", "vhap")) != (self.fps is not None):
            told = "readers gha and vhap: needs fps (their folders say nothing about time); others read it from the files"
            raise ValueError(told)
        return self


class Disk(Section):
    """Whether a run starts that would fill the disk."""

    check: bool = True
    reserve_gb: Annotated[float, Field(ge=0)] = 1.0


class HeldOut(Section):
    """What training never sees and evaluation is measured on."""

    cameras: list[Name] = ["222200046", "222200037", "222200039"]
    frames_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.25


class Extraction(Section):
    """Decoding, colour calibration, crop and size of the working images."""

    size: Annotated[int, Field(ge=64, le=4096, multiple_of=16)] = 512
    stride: Annotated[int, Field(ge=1)] = 1
    max_frames: Annotated[int, Field(ge=1)] | None = None
    cameras: list[Name] | None = None
    min_cameras: Annotated[int, Field(ge=2)] = 4
    color_calibration: bool = True


class Matting(Section):
    """Subject against the known background plate, by a network with the user's weights, or the mattes that the capture brings."""

    backend: Literal["plate", "capture", "background_matting_v2", "modnet"] = "plate"
    batch: Annotated[int, Field(ge=1, le=64)] = 4
    half: bool = False


class LandmarkDetection(Section):
    """2-D facial landmarks of every view and their multi-view consensus."""

    backend: Literal["mediapipe", "face_alignment"] = "mediapipe"
    min_confidence: Fraction = 0.5


class Fitting(Section):
    """The parametric head behind the expression driver (params) and the surface (FLAME_params)."""

    model: Literal["open", "flame", "bfm", "ict"] = "open"
    max_iterations: Annotated[int, Field(ge=1, le=1000)] = 60
    max_missing_frames: Fraction = 0.2
    photometric: bool = True
    silhouette: bool = True
    refine_cameras: bool = False
    camera_rotation_deg: Annotated[float, Field(gt=0, le=10)] = 0.5
    camera_translation_mm: Annotated[float, Field(gt=0, le=100)] = 3.0


class HairMasks(Section):
    """Hair, face and body labels of every view."""

    backend: Literal["embedded", "cdgnet", "matte_anything"] = "embedded"
    batch: Annotated[int, Field(ge=1, le=64)] = 4


class OrientationMaps(Section):
    """Undirected hair orientation of every pixel."""

    angles: Annotated[int, Field(ge=16, le=180)] = 60
    gpu: bool = False


DoctorCheck = Literal[
    "cameras", "spread", "convention", "scale", "reprojection", "synchronisation", "faces", "outliers", "motion", "views", "gaps",
    "frozen", "matte_coverage", "matte_steadiness", "face_coverage", "hair_coverage", "label_steadiness", "labels_in_matte",
    "orientation", "focus", "blur", "clipping", "darkness", "plate", "color",
]  # fmt: skip


class Doctor(Section):
    """Examination of capture and preprocessing before training."""

    allow_failures: list[DoctorCheck] = []
    frames: Annotated[int, Field(ge=1, le=10_000)] = 24


class MeshHead(Section):
    """Stage one: a deformable tetrahedral mesh."""

    size: Annotated[int, Field(ge=32, le=2048)] = 128
    steps: Annotated[int, Field(ge=1)] = 240
    grid: Annotated[int, Field(ge=8, le=256)] = 40
    save_every: Annotated[int, Field(ge=1)] = 50
    seed: int = 0


class Hair(Section):
    """The strands that training starts with: grown through the pictures, or those of a file."""

    initialiser: Literal["grow", "file"] = "grow"
    strands: Annotated[int, Field(ge=10, le=100_000)] = 1_500
    points_per_strand: Annotated[int, Field(ge=4, le=128)] = 16
    seed: int = 0
    size: Annotated[int, Field(ge=32, le=2048)] = 256
    voxel: Annotated[float, Field(ge=0.001, le=0.02)] = 0.004
    step: Annotated[float, Field(ge=0.0005, le=0.01)] = 0.002
    consensus: Annotated[float, Field(gt=0, le=1)] = 0.9
    longest: Annotated[float, Field(ge=0.02, le=2)] = 0.5
    shortest: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    clearance: Annotated[float, Field(ge=0, le=0.01)] = 0.0008
    file: Path | None = None
    file_frame: Literal["skull", "scalp"] = "skull"
    file_up: Literal["y", "z"] = "y"
    file_scale: Annotated[float, Field(gt=0, le=1000)] = 1.0
    file_reach: Annotated[float, Field(gt=0, le=0.2)] = 0.02

    @model_validator(mode="after")
    def _a_file_is_named_where_one_is_read(self) -> Hair:
        if self.initialiser == "file" and self.file is None:
            raise ValueError("initialiser: file reads the strands of hair.file; name one (docs/hair.md)")
        if self.shortest >= self.longest:
            raise ValueError("shortest must be less than longest")
        return self


Term = Literal[
    "l1", "dssim", "matte", "hair_missing", "hair_excess", "orientation", "offset", "scale", "view", "residual", "smooth", "length",
    "anchor", "inside", "lean", "twist",
]  # fmt: skip


class Training(Section):
    """Stage two: Gaussian head and strand hair, trained together.

    Which sequences an avatar learns from is seen from the inputs of its rule; as a setting it would concern every avatar.
    """

    extra_sequences: Annotated[dict[Name, list[Name]], Field(exclude=True)] = {}
    size: Annotated[int, Field(ge=32, le=2048)] = 256
    steps: Annotated[int, Field(ge=1)] = 900
    coarse: Fraction = 0.75
    gaussians: Annotated[int, Field(ge=100, le=2_000_000)] = 16_000
    use_supres: bool = False
    num_channels: Annotated[int, Field(ge=8, le=64)] = 32
    processes: Annotated[int, Field(ge=1, le=16)] = 1
    half: bool = True
    children: Annotated[int, Field(ge=0, le=20)] = 0
    hair_motion: Literal["swing", "lean", "rigid"] = "swing"
    weights: dict[Term, Annotated[float, Field(ge=0)]] = {}
    resume_training: bool = True
    save_every: Annotated[int, Field(ge=1)] = 100
    seed: int = 0

    @model_validator(mode="after")
    def _enlarged_by_four(self) -> Training:
        if self.use_supres and self.size % 64:
            raise ValueError(f"use_supres: size must be a multiple of 64, not {self.size}: Gaussians are drawn at a quarter of it")
        return self


class StrandExport(Section):
    """The trained strands as files for other programs; usdc and abc need packages of the user's choice."""

    formats: Annotated[list[Literal["npz", "ply", "usdc", "abc"]], Field(min_length=1)] = ["npz", "ply"]


class Evaluation(Section):
    """Held-out views and the pictures of the report."""

    size: Annotated[int, Field(ge=32, le=2048)] = 256
    picture_frames: Annotated[int, Field(ge=1, le=20)] = 2


class Reenactment(Section):
    """A film of the avatar driven by the fitted track of a sequence."""

    size: Annotated[int, Field(ge=32, le=2048)] = 256
    camera: Literal["orbit", "fixed"] = "orbit"
    driver: Annotated[str, Field(pattern=f"^({NAME}/)?{NAME}$", max_length=129)] | None = None
    repeats: Annotated[int, Field(ge=1, le=100)] = 2


SECTIONS: dict[str, type[Section]] = {
    "held_out": HeldOut,
    "extraction": Extraction,
    "matting": Matting,
    "landmarks": LandmarkDetection,
    "fitting": Fitting,
    "hair_masks": HairMasks,
    "orientation_maps": OrientationMaps,
    "doctor": Doctor,
    "mesh_head": MeshHead,
    "hair": Hair,
    "training": Training,
    "strand_export": StrandExport,
    "evaluation": Evaluation,
    "reenactment": Reenactment,
}
Model = TypeVar("Model", bound=BaseModel)


Subjects = Annotated[
    dict[Selector, Subject], BeforeValidator(listed, json_schema_input_type=dict[str, Subject | None] | list[str | int])
]


class Config(Section):
    """Everything a user can set; see ``workflow_config.yaml`` for units and ranges."""

    data_root: Path = Path("data")
    subjects: Subjects = {"demo": Subject(data_root=Path("assets/demo"), extra_sequences={"HAIR": ["EXP-1-head"]})}
    sequences: Sequences = ["HAIR"]
    preset: Literal["auto", "tiny", "cpu", "gpu"] = "auto"
    presets: dict[Literal["tiny", "cpu", "gpu"], dict[str, dict[str, Any]]] = {}
    disk: Disk = Disk()
    held_out: HeldOut = HeldOut()
    extraction: Extraction = Extraction()
    matting: Matting = Matting()
    landmarks: LandmarkDetection = LandmarkDetection()
    fitting: Fitting = Fitting()
    hair_masks: HairMasks = HairMasks()
    orientation_maps: OrientationMaps = OrientationMaps()
    doctor: Doctor = Doctor()
    mesh_head: MeshHead = MeshHead()
    hair: Hair = Hair()
    training: Training = Training()
    strand_export: StrandExport = StrandExport()
    evaluation: Evaluation = Evaluation()
    reenactment: Reenactment = Reenactment()

    @model_validator(mode="after")
    def _extras_do_not_chain(self) -> Config:
        owners = {"training": self.training.extra_sequences} | {
            f"subjects.{n}": s.extra_sequences for n, s in self.subjects.items()
        }
        for owner, extras in owners.items():
            listed = {extra for names in extras.values() for extra in names}
            if listed & set(extras):
                both = sorted(listed & set(extras))
                raise ValueError(f"{owner}.extra_sequences: a sequence cannot both have and be an extra sequence: {both}")
        for name, subject in self.subjects.items():
            extras = subject.extra_sequences or self.training.extra_sequences
            if subject.identity in {extra for names in extras.values() for extra in names}:
                raise ValueError(f"subjects.{name}.identity: {subject.identity} is an extra sequence; name the one it belongs to")
        return self

    @model_validator(mode="after")
    def _vhap_tracks_flame(self) -> Config:
        tracked = [name for name, subject in self.subjects.items() if subject.reader == "vhap"]
        if tracked and self.fitting.model != "flame":
            raise ValueError(f"subjects.{tracked[0]}.reader: vhap brings a track of FLAME; set fitting: {{model: flame}}")
        return self

    def subject(self, name: str) -> Subject:
        """The declared subject, else the first range or pattern that selects it, else a participant; or ``ConfigError``."""
        keys = [key for key in self.subjects if key == name] or [key for key in self.subjects if matches(name, key)]
        participant = PARTICIPANT.fullmatch(name)
        if not keys and not participant:
            todo = "add it under subjects: or use a three-digit NeRSemble participant"
            raise ConfigError(f"subjects.{name}", "is not declared", todo)
        found = self.subjects[keys[0]] if keys else Subject()
        if participant and "extra_sequences" not in found.model_fields_set:
            return found.model_copy(update={"extra_sequences": self.training.extra_sequences})
        return found

    def capture_root(self, name: str) -> Path:
        """Folder that holds the subject's raw capture."""
        return self.subject(name).data_root or self.data_root

    def extra_sequences(self, subject: str, sequence: str) -> list[str]:
        """Sequences that the avatar of ``sequence`` learns from besides ``sequence``."""
        return list(self.subject(subject).extra_sequences.get(sequence, []))

    def identity_sequence(self, subject: str, sequence: str) -> str | None:
        """The sequence whose fitted identity ``sequence`` shares: the first that lists it as an extra, else its subject's."""
        found = self.subject(subject)
        owners = [owner for owner, extras in found.extra_sequences.items() if sequence in extras]
        shared = owners[0] if owners else found.identity
        return None if shared == sequence else shared

    def settings(self, *sections: str) -> str:
        """The named sections as canonical JSON: what a rule passes to its script, and what triggers its re-run."""
        values = {name: getattr(self, name).model_dump(mode="json") for name in sections}
        return json.dumps(values, sort_keys=True, separators=(",", ":"))


def load_config(raw: Mapping[str, Any], gpu: bool | None = None, home: Path | None = None) -> Config:
    """Validate a parsed configuration and apply its preset; the first mistake becomes a ``ConfigError`` with its key path.

    ``home`` is the checkout: its presets stand in where ``raw`` has none (as when the workflow is used as a module), and
    a ``data_root`` below ``assets/`` is its own.
    """
    given = dict(raw)
    if home is not None and "presets" not in given:
        given["presets"] = _parsed(home / FILE).get("presets", {})
    checked = validate(Config, given)
    name = checked.preset if checked.preset != "auto" else ("gpu" if (has_gpu() if gpu is None else gpu) else "cpu")
    layer = checked.presets.get(name, {})
    for section, values in layer.items():
        if section not in SECTIONS:
            raise ConfigError(f"presets.{name}.{section}", "is not a section", f"allowed: {', '.join(SECTIONS)}")
        given[section] = {**values, **(given.get(section) or {})}
    given["preset"] = name
    config = validate(Config, given, f"presets.{name}: " if layer else "")
    return config if home is None or home.resolve() == Path.cwd() else _at_home(config, home)


def _at_home(config: Config, home: Path) -> Config:
    """The embedded captures are found from any working directory."""
    moved = {
        key: subject.model_copy(update={"data_root": home / subject.data_root})
        for key, subject in config.subjects.items()
        if subject.data_root is not None and subject.data_root.parts[:1] == ("assets",)
    }
    return config.model_copy(update={"subjects": {**config.subjects, **moved}})


def read_config(path: Path) -> Config:
    """Read and validate a configuration file."""
    return load_config(_parsed(path))


def _parsed(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(path, f"cannot be read as YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(raw, dict):
        raise ConfigError(path, "must be a mapping of settings")
    return raw


def validate(model: type[Model], values: Any, origin: str = "") -> Model:
    """``model.model_validate`` whose first error is a one-line ``ConfigError``: key path, value, what is allowed."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if part != "[key]") or FILE
        if first["type"] == "extra_forbidden":
            raise ConfigError(key, "unknown key", _did_you_mean(model, first["loc"])) from None
        value = "" if isinstance(first.get("input"), dict) else f" (got {first.get('input')!r})"
        raise ConfigError(key, f"{origin if first['loc'] and first['loc'][0] in SECTIONS else ''}{first['msg']}{value}") from None


def _did_you_mean(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        if field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return f"allowed here: {', '.join(model.model_fields)}"


def json_schema() -> dict[str, Any]:
    """JSON schema of ``workflow_config.yaml`` for editors."""
    return Config.model_json_schema()


def has_gpu() -> bool:
    """Whether this machine shows an NVIDIA device, asked without importing torch; HEADCAST_GPU=0/1 overrides."""
    forced = os.environ.get("HEADCAST_GPU")
    return Path("/dev/nvidiactl").exists() if forced is None else forced == "1"
