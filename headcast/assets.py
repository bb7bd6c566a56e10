"""What goes into an avatar besides the capture: weights, models and packages, as ``assets.lock.json`` states them.

An asset without a hash is the user's own copy, which nobody but its authors may hand out.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from headcast.errors import AssetMissing, BadFile
from headcast.version import __version__

LOCK = Path(__file__).with_name("assets.lock.json")


@dataclass(frozen=True)
class Asset:
    """A weight file, model or capture.

    ``commercial`` and ``redistribution`` say what an avatar made with it allows (None: not known), ``used_by`` which setting brings
    it in (``section.key: value``); ``path`` lies in the installed ``package`` if there is one.
    """

    name: str
    kind: str
    licence: str | None
    source: str | None
    path: str
    used_by: str | None
    package: str | None
    version: str | None
    bytes: int | None
    sha256: str | None
    commercial: bool | None
    redistribution: bool | None
    note: str | None


@dataclass(frozen=True)
class Package:
    """A Python package that can take part in making an avatar."""

    name: str
    licence: str
    source: str | None
    module: str
    commercial: bool


@cache
def assets() -> Mapping[str, Asset]:
    """All assets by name."""
    return {name: Asset(name=name, **entry) for name, entry in _lock()["assets"].items()}


@cache
def packages() -> Mapping[str, Package]:
    """All packages by name."""
    return {name: Package(name=name, **entry) for name, entry in _lock()["packages"].items()}


@cache
def _lock() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(LOCK.read_text(encoding="utf-8"))
    return content


def used_by(settings: Mapping[str, Mapping[str, Any]]) -> list[Asset]:
    """The assets that these sections of the configuration bring in."""
    chosen = {f"{section}.{key}: {value}" for section, values in settings.items() for key, value in values.items()}
    return [asset for asset in assets().values() if asset.used_by in chosen]


def verify(section: str, backend: str) -> None:
    """The installed files of a backend are those of the lock; ``AssetMissing`` or ``BadFile`` says which are not."""
    for asset in used_by({section: {"backend": backend}}):
        if asset.package is not None:
            _verify_installed(asset)


def _verify_installed(asset: Asset) -> None:
    todo = f"pip install --force-reinstall {asset.package}=={asset.version}"
    try:
        path = Path(str(metadata.distribution(str(asset.package)).locate_file(asset.path)))
        data = path.read_bytes()
    except (metadata.PackageNotFoundError, FileNotFoundError) as error:
        raise AssetMissing(asset.path, f"{asset.name} ({asset.licence}) is not installed", todo) from error
    if hashlib.sha256(data).hexdigest() != asset.sha256:
        raise BadFile(path, f"is not the {asset.name} of {asset.package} {asset.version}: its SHA-256 differs from the lock", todo)


def made_with() -> dict[str, str]:
    """Versions of Python and of the known packages in this environment; one for research only counts when it is loaded."""
    found = {"python": platform.python_version(), "headcast": __version__}
    for package in packages().values():
        if package.name not in found and (package.commercial or package.module in sys.modules):
            try:
                found[package.name] = metadata.version(package.name)
            except metadata.PackageNotFoundError:
                continue
    return found
