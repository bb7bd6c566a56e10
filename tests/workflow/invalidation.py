"""What is re-run when: every row is a change to a finished run and the jobs that it must bring back, and no others.

``python -m tests.workflow.invalidation`` prints the table of docs/rerun.md; the test beside this module makes it true.
"""

from __future__ import annotations

import base64
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .tiny import CAMERAS, TARGETS

OWN, EXTRA = "HAIR", "EXP-1-head"


def _each(*rules: str) -> frozenset[str]:
    return frozenset(f"{rule} {sequence}" for rule in rules for sequence in (OWN, EXTRA))


def _own(*rules: str) -> frozenset[str]:
    return frozenset(f"{rule} {OWN}" for rule in rules)


AVATAR = _own("train_avatar", "evaluate", "score", "reenact")
GROWN = _own("grow_hair") | AVATAR
MESH = _own("train_mesh_head") | GROWN
DOCTOR = _each("doctor")
ORIENTATION = _each("orientation_maps") | DOCTOR | GROWN
MASKS = _each("hair_masks", "orientation_maps") | DOCTOR | MESH
FIT = _each("fit_head") | MASKS
MATTING = _each("matting") | FIT
LANDMARKS = _each("landmarks") | FIT
FRAMES = _each("extract_frames") | MATTING | LANDMARKS
AFTER: dict[str, frozenset[str]] = {
    "download": _each("download") | FRAMES,
    "extract_frames": FRAMES,
    "matting": MATTING,
    "landmarks": LANDMARKS,
    "head_model": frozenset({"head_model"}) | FIT,
    "fit_head": FIT,
    "hair_masks": MASKS,
    "orientation_maps": ORIENTATION,
    "doctor": DOCTOR,
    "train_mesh_head": MESH,
    "grow_hair": GROWN,
    "train_avatar": AVATAR,
    "evaluate": _own("evaluate"),
    "score": _own("score"),
    "reenact": _own("reenact"),
    "everything": frozenset({"head_model"}) | _each("download") | FRAMES,
}
"""A stage of both sequences and what follows from it; the avatar, its figures and its film belong to the first sequence."""
ASIDE = ("import_gha", "export_gha", "import_vhap", "export_vhap", "export_strands", "swap_hair", "fit_pictures", "summarise")
"""Stages of which the finished run holds nothing."""
NOTHING: frozenset[str] = frozenset()


@dataclass
class Bench:
    """A finished run, its raw capture and a checkout of the project; every change is undone by ``restore``."""

    folder: Path
    raw: Path
    checkout: Path
    overrides: dict[str, str] = field(default_factory=dict)
    extras: str = "{HAIR: [EXP-1-head]}"
    data_root: Path | None = None
    _undo: list[Callable[[], None]] = field(default_factory=list)

    def arguments(self) -> list[str]:
        """The command line of this run's plan."""
        subject = f"{{demo: {{data_root: {self.data_root or self.raw}, extra_sequences: {self.extras}}}}}"
        given = {"subjects": subject, "preset": "tiny", "extraction": f"{{cameras: {LISTED}, max_frames: 4}}", **self.overrides}
        config = [f"{key}={value}" for key, value in given.items()]
        return ["--snakefile", str(self.checkout / "Snakefile"), "--config", *config, "--", *TARGETS]

    def set(self, **overrides: str) -> None:
        """Give other settings on the command line."""
        self.overrides = overrides

    def write(self, path: Path, data: bytes) -> None:
        """Give a file another content, now."""
        self._keep(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def append(self, path: Path, text: str) -> None:
        """Add to a file."""
        self.write(path, path.read_bytes() + text.encode())

    def replace(self, path: Path, old: str, new: str) -> None:
        """Change one place of a text file."""
        text = path.read_text(encoding="utf-8")
        assert old in text, (path, old)
        self.write(path, text.replace(old, new, 1).encode())

    def touch(self, path: Path) -> None:
        """Give a file a new date and leave its content."""
        self.write(path, path.read_bytes())

    def remove(self, path: Path) -> None:
        """Take a file or a folder away."""
        hidden = path.with_name(path.name + ".away")
        path.rename(hidden)
        self._undo.append(lambda: self._put_back(hidden, path))

    def restore(self) -> None:
        """Undo every change, dates included."""
        while self._undo:
            self._undo.pop()()
        self.overrides, self.extras, self.data_root = {}, type(self).extras, None

    def at(self, path: str) -> Path:
        """A file: ``run/…``, ``own/…`` (results of the avatar's sequence), ``raw/…`` or ``checkout/…``."""
        where, _, rest = path.partition("/")
        bases = {"run": self.folder, "own": self.folder / "results/demo" / OWN, "raw": self.raw, "checkout": self.checkout}
        return bases[where] / rest

    def add_sequence(self, name: str) -> None:
        """A further sequence of the subject, for plans only."""
        sequences = self.raw / "demo/sequences"
        shutil.copytree(sequences / EXTRA, sequences / name)
        self._undo.append(lambda: shutil.rmtree(sequences / name))

    def _keep(self, path: Path) -> None:
        if not path.exists():
            self._undo.append(path.unlink)
            return
        kept = path.with_name(path.name + ".kept")
        shutil.copy2(path, kept)
        self._undo.append(lambda: self._put_back(kept, path))

    @staticmethod
    def _put_back(kept: Path, path: Path) -> None:
        if path.is_dir():  # made anew by the plan
            shutil.rmtree(path)
        kept.replace(path)


@dataclass(frozen=True)
class Row:
    """A change, in the words of the documentation, and the jobs that it brings back, in words and as ``rule sequence``."""

    group: str
    change: str
    act: Callable[[Bench], object]
    words: str
    expected: frozenset[str]


def row(group: str, change: str, act: Callable[[Bench], object], after: str = "") -> Row:
    """A row whose jobs are those of a stage with all that follows from it, or none."""
    return Row(group, change, act, words_of(after), AFTER[after] if after else NOTHING)


def words_of(after: str) -> str:
    """How the documentation says which jobs these are."""
    if after in ("", "everything"):
        return after or "nothing"
    if not AFTER[after]:
        return "nothing"
    return f"`{after}`" if after in ("doctor", "evaluate", "score", "reenact") else f"`{after}` …"


def setting(name: str, value: str, after: str = "") -> Row:
    """A row for a setting given on the command line."""
    return row("a setting", f"`{name}: {value}`", lambda bench: bench.set(**{name: value}), after)


def code(module: str, after: str = "") -> Row:
    """A row for a new constant in a module."""
    path = f"headcast/{module}.py"
    return row("code", f"`{path}`", lambda bench: bench.append(bench.checkout / path, "\n\nA_NEW_CONSTANT = 1\n"), after)


def appended(path: str, text: str = "x") -> Callable[[Bench], object]:
    """Add to a file of the results, the raw capture or the checkout."""
    return lambda bench: bench.append(bench.at(path), text)


def touched(path: str) -> Callable[[Bench], object]:
    """Give a file a new date."""
    return lambda bench: bench.touch(bench.at(path))


def removed(*paths: str) -> Callable[[Bench], object]:
    """Take files or folders away."""
    return lambda bench: [bench.remove(bench.at(path)) for path in paths]


def replaced(path: str, old: str, new: str) -> Callable[[Bench], object]:
    """Change one place of a text file."""
    return lambda bench: bench.replace(bench.at(path), old, new)


def created(path: str) -> Callable[[Bench], object]:
    """A file that was not there."""
    return lambda bench: bench.write(bench.at(path), b"X = 1\n")


def moved(bench: Bench) -> None:
    """The capture lies elsewhere."""
    bench.data_root = bench.raw.with_name("moved")
    if not bench.data_root.exists():
        bench.data_root.symlink_to(bench.raw)


def strands_of_a_file(bench: Bench) -> None:
    """Hair is no longer grown."""
    path = bench.at("raw/strands.npz")
    bench.write(path, b"never read by a plan")
    bench.set(hair=f"{{initialiser: file, file: {path}}}")


def doctor_killed(bench: Bench) -> None:
    """There is no avatar yet, and Snakemake has noted that the doctor began, not that it ended."""
    noted = base64.b64encode(f"results/demo/{OWN}/doctor.json".encode()).decode()
    bench.write(bench.at(f"run/.snakemake/incomplete/{noted}"), b'{"external_jobid": null}')
    bench.remove(bench.at("own/avatar.pth"))


def one_more_sequence(bench: Bench) -> None:
    """The avatar learns from a third sequence."""
    bench.add_sequence("EXP-2")
    bench.extras = "{HAIR: [EXP-1-head, EXP-2]}"


def one_sequence_less(bench: Bench) -> None:
    """The avatar learns from its own sequence only."""
    bench.extras = "{HAIR: []}"


VIDEO = f"raw/demo/sequences/{{}}/images/cam_{CAMERAS[0]}.mp4"
PLATE = f"raw/demo/sequences/BACKGROUND/image_{CAMERAS[0]}.jpg"
MATTE = f"own/mattes/0000/matte_{CAMERAS[0]}.png"
HEAD = "run/results/models/open.npz"
FILTER = "headcast/imaging/orientation.py"
IMAGING = "rules/imaging.smk"
COMMAND = "python -m scripts.orientation_maps"
LISTED = "[" + ", ".join(f'"{camera}"' for camera in CAMERAS) + "]"
FEWER = "[" + ", ".join(f'"{camera}"' for camera in CAMERAS[:-1]) + "]"
OF_ONE = ("download", "extract_frames", "matting", "landmarks", "fit_head", "hair_masks", "orientation_maps", "doctor")
SHARED = _each("fit_head", "hair_masks", "orientation_maps", "doctor") | MESH

RAW = (
    row("a file of the raw capture", "none", lambda bench: None),
    Row(
        "a file of the raw capture",
        "a video of the avatar's own sequence",
        appended(VIDEO.format(OWN)),
        "`download` … of that sequence, `fit_head` … of those that share its identity",
        _own("download", "extract_frames", "matting", "landmarks") | SHARED,
    ),
    Row(
        "a file of the raw capture",
        "a video of an extra sequence",
        appended(VIDEO.format(EXTRA)),
        "`download` … of that sequence, `train_mesh_head` …",
        frozenset(f"{rule} {EXTRA}" for rule in OF_ONE) | MESH,
    ),
    row("a file of the raw capture", "the calibration", appended("raw/demo/calibration/camera_params.json", " "), "download"),
    row("a file of the raw capture", "the colours", appended("raw/demo/calibration/color_calibration.json", " "), "download"),
    row("a file of the raw capture", "a background plate", appended(PLATE), "download"),
    row("a file of the raw capture", "a video has another date and the same content", touched(VIDEO.format(OWN))),
    row(
        "a file of the raw capture",
        "a video of a camera that `extraction.cameras` leaves out",
        appended(VIDEO.format(OWN).replace(CAMERAS[0], "222200038")),
    ),
    row("a file of the raw capture", "a new file that no reader reads", created("raw/demo/notes.txt")),
    row("a file of the raw capture", "a video of another subject", created("raw/anna/sequences/HAIR/images/cam_1.mp4")),
    row("a file of the raw capture", "the whole capture lies in another folder", moved, "download"),
    Row(
        "a file of the raw capture",
        "its ground truth, where there is some",
        appended("raw/ground_truth/HAIR/strands.npz"),
        "`evaluate`, `score`",
        _own("evaluate", "score"),
    ),
)
SETTINGS = (
    setting("extraction", f"{{cameras: {LISTED}, max_frames: 3}}", "download"),
    setting("extraction", f"{{cameras: {LISTED}, max_frames: 4, color_calibration: false}}", "download"),
    setting("extraction", f"{{cameras: {FEWER}, max_frames: 4}}", "download"),
    setting("matting", "{half: true}", "matting"),
    setting("landmarks", "{min_confidence: 0.4}", "landmarks"),
    setting("fitting", "{max_iterations: 50}", "fit_head"),
    setting("fitting", "{silhouette: false}", "fit_head"),
    setting("hair_masks", "{batch: 2}", "hair_masks"),
    setting("orientation_maps", "{angles: 48}", "orientation_maps"),
    setting("orientation_maps", "{gpu: true}", "orientation_maps"),
    setting("doctor", "{allow_failures: [motion]}", "doctor"),
    Row(
        "a setting",
        "`doctor: {allow_failures: [motion]}` and `training: {seed: 1}`",
        lambda bench: bench.set(doctor="{allow_failures: [motion]}", training="{seed: 1}"),
        "`doctor`, `train_avatar` …",
        DOCTOR | AVATAR,
    ),
    setting("mesh_head", "{seed: 1}", "train_mesh_head"),
    setting("hair", "{seed: 1}", "grow_hair"),
    setting("hair", "{strands: 300}", "grow_hair"),
    setting("hair", "{consensus: 0.8}", "grow_hair"),
    row("a setting", "`hair: {initialiser: file, file: …}`", strands_of_a_file, "grow_hair"),
    setting("training", "{seed: 1}", "train_avatar"),
    setting("training", "{save_every: 10}", "train_avatar"),
    setting("training", "{hair_motion: rigid}", "train_avatar"),
    setting("training", "{weights: {anchor: 0.01}}", "train_avatar"),
    setting("held_out", "{frames_fraction: 0.5}", "train_mesh_head"),
    setting("held_out", '{cameras: ["222200037"]}', "train_mesh_head"),
    setting("evaluation", "{picture_frames: 1}", "evaluate"),
    setting("reenactment", "{camera: fixed}", "reenact"),
    setting("preset", "cpu", "download"),
    setting("training", "{seed: 0}"),
    setting("training", "{extra_sequences: {EMO-1: [EMO-2]}}"),
    setting("sequences", "[HAIR, EXP-1-head]"),
    setting("disk", "{reserve_gb: 0}"),
    Row(
        "a setting",
        "a further extra sequence of the subject",
        one_more_sequence,
        "`download` … of that sequence, `train_mesh_head` …",
        frozenset(f"{rule} EXP-2" for rule in OF_ONE) | MESH,
    ),
    row("a setting", "no extra sequence any more", one_sequence_less, "train_mesh_head"),
    row("a setting", "a comment in `workflow_config.yaml`", appended("checkout/workflow_config.yaml", "# a comment\n")),
)
CODE = (
    *(code(f"stages/{stage}", stage) for stage in AFTER if stage not in ("everything", "evaluate")),
    Row("code", "`headcast/stages/evaluate.py`", code("stages/evaluate").act, "`evaluate`, `score`", _own("evaluate", "score")),
    *(code(f"stages/{stage}") for stage in ASIDE),
    code("stages/views", "extract_frames"),
    code("stages/training_views", "train_mesh_head"),
    code("errors", "everything"),
    code("process/command", "download"),
    code("formats/atomic", "everything"),
    code("formats/manifest", "extract_frames"),
    code("capture/camera", "download"),
    code("capture/raw", "download"),
    code("imaging/crop", "extract_frames"),
    code("imaging/matting", "matting"),
    code("imaging/landmarks", "landmarks"),
    code("imaging/orientation", "orientation_maps"),
    Row(
        "code",
        "`headcast/imaging/orientation_maps.py`",
        lambda bench: bench.append(bench.checkout / "headcast/imaging/orientation_maps.py", "\n\nA_NEW_CONSTANT = 1\n"),
        "`doctor`, `train_mesh_head` …",
        DOCTOR | MESH,
    ),
    code("imaging/parsing", "hair_masks"),
    code("networks/modnet", "matting"),
    code("networks/fan", "landmarks"),
    code("networks/cdgnet", "hair_masks"),
    code("heads/open_head", "head_model"),
    row("code", "`headcast/heads/open_landmarks.json`", appended("checkout/headcast/heads/open_landmarks.json", " "), "head_model"),
    Row(
        "code",
        "`headcast/geometry/rotations.py`",
        code("geometry/rotations").act,
        "`head_model`, `landmarks` …",
        AFTER["head_model"] | LANDMARKS,
    ),
    code("fitting/solver", "fit_head"),
    code("geometry/tetrahedra", "train_mesh_head"),
    code("training/losses", "train_mesh_head"),
    code("rendering/splat_kernels", "train_mesh_head"),
    code("avatar/growth", "grow_hair"),
    code("formats/strand_files", "grow_hair"),
    code("formats/hair_file", "grow_hair"),
    Row("code", "`headcast/evaluation/flip.py`", code("evaluation/flip").act, "`evaluate`, `score`", _own("evaluate", "score")),
    code("evaluation/surface_scores", "score"),
    code("evaluation/strand_pictures", "score"),
    code("delivery/camera_paths", "reenact"),
    code("workflow/planning"),
    code("workflow/disk"),
    code("workflow/lean"),
    code("demo/scene"),
    row("code", f"a comment in `{FILTER}`", appended(f"checkout/{FILTER}", "# a comment\n")),
    row("code", "its docstring", replaced(f"checkout/{FILTER}", '"""', '"""Said otherwise. ')),
    row("code", "its blank lines", replaced(f"checkout/{FILTER}", "\n\n\n", "\n\n\n\n\n")),
    row("code", "its date", touched(f"checkout/{FILTER}")),
    row("code", "a new module that nothing imports", created("checkout/headcast/imaging/new.py")),
    row("code", "a test", created("checkout/tests/test_new.py")),
)
RULES = (
    row(
        "a rule or an environment",
        f"a command in `{IMAGING}`",
        replaced(f"checkout/{IMAGING}", COMMAND, COMMAND + " "),
        "orientation_maps",
    ),
    row("a rule or an environment", f"a comment in `{IMAGING}`", appended(f"checkout/{IMAGING}", "# a comment\n")),
    row("a rule or an environment", "a message", replaced(f"checkout/{IMAGING}", 'message: "matting', 'message: "now matting')),
    row(
        "a rule or an environment", "threads, memory or running time", replaced(f"checkout/{IMAGING}", "runtime=120", "runtime=121")
    ),
    row("a rule or an environment", "a door, `scripts/matting.py`", appended("checkout/scripts/matting.py", "\nX = 1\n")),
    row(
        "a rule or an environment", "`envs/matting.yaml`, without `--sdm conda`", appended("checkout/envs/matting.yaml", "\n# x\n")
    ),
)
PRODUCTS = (
    row("a product", "the embedded head, `results/models/open.npz`", appended(HEAD), "fit_head"),
    row("a product", "the date of `results/models/open.npz`", touched(HEAD)),
    row("a product", "the embedded head is removed", removed(HEAD)),
    Row(
        "a product",
        "`mattes/manifest.json`",
        appended("own/mattes/manifest.json", " "),
        "`fit_head` … of those that share its identity",
        SHARED,
    ),
    row("a product", "the date of `mattes/manifest.json`", touched("own/mattes/manifest.json")),
    row("a product", "`mattes/manifest.json` is removed", removed("own/mattes/manifest.json")),
    row("a product", "the folder `mattes/` is removed", removed("own/mattes")),
    row("a product", "a matte is cut or changed (found when it is read)", appended(MATTE)),
    row("a product", "`mesh_head.pth` is removed", removed("own/mesh_head.pth")),
    row("a product", "`hair_strands/manifest.json`", appended("own/hair_strands/manifest.json", " "), "train_avatar"),
    row("a product", "`hair_strands/manifest.json` is removed", removed("own/hair_strands/manifest.json")),
    row("a product", "`avatar.pth` is removed", removed("own/avatar.pth"), "train_avatar"),
    Row(
        "a product",
        "the same, and the doctor was killed as it ended",
        doctor_killed,
        "`doctor`, `train_avatar` …",
        _own("doctor") | AVATAR,
    ),
    Row("a product", "`avatar.pth`", appended("own/avatar.pth"), "`evaluate`, `score`, `reenact`", AVATAR - _own("train_avatar")),
    row("a product", "the date of `avatar.pth`", touched("own/avatar.pth")),
    row("a product", "`evaluation/metrics.json` is removed", removed("own/evaluation/metrics.json"), "evaluate"),
    row("a product", "`evaluation/comparison.png` is removed", removed("own/evaluation/comparison.png")),
    row("a product", "logs, timings and training state are removed", removed("own/logs", "own/benchmarks", "own/state")),
    row("a product", "Snakemake's records, `.snakemake/`, are removed", removed("run/.snakemake")),
)
ROWS: tuple[Row, ...] = (*RAW, *SETTINGS, *CODE, *RULES, *PRODUCTS)


def table() -> str:
    """The rows as Markdown, a table for each group."""
    groups = dict.fromkeys(row.group for row in ROWS)
    parts = []
    for group in groups:
        lines = [f"| {row.change} | {row.words} |" for row in ROWS if row.group == group]
        parts.append("\n".join([f"| {group} | is run again |", "|---|---|", *lines]))
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
