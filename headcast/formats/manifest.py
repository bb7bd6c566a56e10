"""A product of a stage: a folder and its ``manifest.json``, which is written last and names every member with size and SHA-256.

A folder without a manifest is unfinished; a member that differs from its manifest is a ``BadFile`` on read.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headcast.assets import made_with
from headcast.errors import BadFile
from headcast.formats.atomic import atomic_path, write_json

FORMAT = "headcast/manifest@1"


@dataclass(frozen=True)
class Product:
    """A finished product folder; members are verified when they are read. ``made_with`` are versions and no part of the digest."""

    path: Path
    kind: str
    members: dict[str, dict[str, Any]]
    facts: dict[str, Any]
    made_with: dict[str, str]

    @property
    def folder(self) -> Path:
        """The folder that the manifest lies in."""
        return self.path.parent

    @property
    def digest(self) -> str:
        """SHA-256 over the hashes of all members: what a consumer's result depends on."""
        listed = [(name, entry["sha256"]) for name, entry in sorted(self.members.items())]
        return hashlib.sha256(json.dumps([listed, self.facts], sort_keys=True).encode()).hexdigest()

    def bytes(self, name: str) -> bytes:
        """The bytes of a member; ``BadFile`` when it is missing, cut or changed."""
        if name not in self.members:
            raise BadFile(self.path, f"has no member {name}", f"delete it and run again: the {self.kind} stage writes it")
        path = self.folder / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BadFile(
                path, f"is listed in the manifest but cannot be read ({error.strerror})", f"run the {self.kind} stage again"
            ) from error
        if hashlib.sha256(data).hexdigest() != self.members[name]["sha256"]:
            raise BadFile(path, "differs from its manifest", f"delete {self.path} and run again: the {self.kind} stage writes it")
        return data

    def image(self, name: str) -> np.ndarray:
        """A PNG member as an array."""
        try:
            with Image.open(io.BytesIO(self.bytes(name))) as image:
                return np.array(image)
        except OSError as error:
            raise BadFile(self.folder / name, "is not a readable image", f"run the {self.kind} stage again") from error

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of an ``npz`` member; object arrays are refused."""
        try:
            with np.load(io.BytesIO(self.bytes(name)), allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
        except (ValueError, OSError, KeyError) as error:
            raise BadFile(self.folder / name, f"is not a readable npz ({error})", f"run the {self.kind} stage again") from error


@dataclass
class ProductWriter:
    """Collects members; the manifest appears when the block ends well."""

    path: Path
    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    members: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add_bytes(self, name: str, data: bytes) -> None:
        """Write a member atomically and remember its size and hash."""
        with atomic_path(self.path.parent / name) as temporary:
            temporary.write_bytes(data)
        self.members[name] = member(data)

    def add_image(self, name: str, pixels: np.ndarray) -> None:
        """Write an array as a lossless PNG member."""
        self.add_bytes(name, png(pixels))

    def add_arrays(self, name: str, **arrays: np.ndarray) -> None:
        """Write arrays as a compressed ``npz`` member."""
        self.add_bytes(name, npz(**arrays))

    def adopt(self, name: str, entry: dict[str, Any]) -> None:
        """Take a member that another process of the same stage wrote."""
        self.members[name] = entry


@contextmanager
def write_product(path: Path, kind: str) -> Iterator[ProductWriter]:
    """Write a product folder: members first, the manifest last, leftovers of an earlier run removed."""
    path = Path(path)
    path.unlink(missing_ok=True)
    writer = ProductWriter(path, kind)
    yield writer
    for stale in sorted(path.parent.rglob("*"), reverse=True):
        if stale.is_file() and stale.relative_to(path.parent).as_posix() not in writer.members:
            stale.unlink()
        elif stale.is_dir() and not any(stale.iterdir()):
            stale.rmdir()
    members = dict(sorted(writer.members.items()))
    write_json(path, {"format": FORMAT, "kind": kind, "facts": writer.facts, "made_with": made_with(), "members": members})


def read_product(path: Path, kind: str) -> Product:
    """Read a manifest of the expected kind; ``BadFile`` when it is anything else."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(path, f"is not a readable manifest ({error})", f"run the {kind} stage again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BadFile(path, f"is not a {FORMAT} manifest", f"run the {kind} stage again")
    if content.get("kind") != kind:
        raise BadFile(path, f"holds {content.get('kind')!r}, not {kind!r}", "pass the manifest of the right stage")
    return Product(path, kind, content["members"], content["facts"], content.get("made_with", {}))


def member(data: bytes) -> dict[str, Any]:
    """Manifest entry of a member."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def png(pixels: np.ndarray) -> bytes:
    """Lossless PNG bytes of an ``H W`` or ``H W 3`` uint8 array."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="png", compress_level=3)
    return stream.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    """Compressed ``npz`` bytes."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()
