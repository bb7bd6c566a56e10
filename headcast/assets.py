"""What goes into an avatar besides the capture: weights, models and packages, as ``assets.lock.json`` states them.

An asset without a package is the user's own copy; its hash, where there is one, is the whole SHA-256 or its first digits.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headcast.errors import AssetMissing, BadFile
from headcast.version import __version__

WEB_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head")
READS = {".abc": "alembic3d", **dict.fromkeys((".usd", ".usda", ".usdc", ".usdz"), "usd-core")}
"""Files by their endings, and the packages, of the user's choice, that read them."""
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
    """A Python package that can take part in making an avatar.

    ``used_by`` is the setting that cannot do without it where that is not the default, ``wanted`` what to ask pip for then.
    """

    name: str
    licence: str
    source: str | None
    module: str
    commercial: bool
    used_by: str | None = None
    wanted: str | None = None


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


def obtained(section: str, backend: str, packages_too: bool = True) -> list[Path]:
    """The user's own files of a backend, all there, and with ``packages_too`` its packages; or ``AssetMissing``."""
    name = f"{section}.backend: {backend}"
    for package in packages().values() if packages_too else ():
        if package.used_by == name and find_spec(package.module) is None:
            raise AssetMissing(package.name, f"{name} needs this package ({package.licence})", f"pip install '{package.wanted}'")
    files = [asset for asset in used_by({section: {"backend": backend}}) if asset.package is None]
    for asset in files:
        if not Path(asset.path).is_file():
            todo = f"obtain it from {asset.source} (docs/own_weights.md); licence: {asset.licence or 'not stated'}"
            raise AssetMissing(asset.path, f"the {asset.kind} of {name} is not there", todo)
    return [Path(asset.path) for asset in files]


def require_reader(file: Path) -> None:
    """The package that reads a file is installed, where it takes one of `READS`; or ``AssetMissing``."""
    package = packages().get(READS.get(file.suffix.lower(), ""))
    if package is not None and find_spec(package.module) is None:
        wrong = f"reads {file.name} and is not installed ({package.licence})"
        raise AssetMissing(package.name, wrong, f"pip install '{package.wanted}'")


def verify(section: str, backend: str) -> list[Path]:
    """The files of a backend are those of the lock; ``AssetMissing`` or ``BadFile`` says which are not. Gives the user's own."""
    files = obtained(section, backend)
    for asset in used_by({section: {"backend": backend}}):
        if asset.package is not None:
            _verify_installed(asset)
        elif asset.sha256 is not None and not _sha256(Path(asset.path)).startswith(asset.sha256):
            wrong = f"is not the {asset.name} of {asset.source}: its SHA-256 does not begin with {asset.sha256}"
            raise BadFile(asset.path, wrong, "obtain it anew")
    return files


def is_web_page(start: bytes) -> bool:
    """Whether a file that starts so is what a site sent instead of the file: a login, a confirmation."""
    return start[:200].lstrip().lower().startswith(WEB_PAGE)


def digests(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of files by their paths."""
    return {path.as_posix(): _sha256(path) for path in files}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
