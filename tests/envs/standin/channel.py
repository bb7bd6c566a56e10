"""A conda channel with two packages, Python and pip, packed from the interpreter that runs this.

``python channel.py FOLDER`` writes ``FOLDER/{linux-64,noarch}``; a few seconds, 25 MB.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import platform
import shutil
import sys
import sysconfig
import tempfile
from importlib import metadata
from pathlib import Path

from rattler.index import index_fs
from rattler_build import assemble_package

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "__pycache__"}


def pack(channel: Path, name: str, version: str, content: Path, depends: list[str]) -> None:
    """Make one package of the files below ``content``."""
    assemble_package(
        name=name,
        version=version,
        target_platform="linux-64",
        build_string="0_local",
        output_dir=str(channel / "linux-64"),
        files_dir=str(content),
        depends=depends,
        compression_level=1,
        timestamp=datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
    )


def lay_out_python(folder: Path) -> None:
    """The interpreter, its shared library where it has one, and the standard library."""
    (folder / "bin").mkdir()
    shutil.copy2(Path(sys.base_prefix) / "bin" / PYTHON, folder / "bin" / PYTHON)
    for name in ("python", "python3"):
        (folder / "bin" / name).symlink_to(PYTHON)
    (folder / "lib").mkdir()
    for library in (Path(sys.base_prefix) / "lib").glob(f"lib{PYTHON}*.so*"):
        shutil.copy2(library, folder / "lib" / library.name, follow_symlinks=False)
    standard = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    shutil.copytree(standard, folder / "lib" / PYTHON, ignore=lambda _, names: [name for name in names if name in LEFT_OUT])
    (folder / "lib" / PYTHON / "site-packages").mkdir()
    (folder / "lib" / PYTHON / "site-packages" / "README.txt").write_text("Packages that pip installs.\n")


def lay_out_pip(folder: Path) -> None:
    """pip as it is installed beside this script's packages."""
    packages = folder / "lib" / PYTHON / "site-packages"
    for file in metadata.files("pip") or []:
        if ".." not in file.parts and file.suffix != ".pyc":
            target = packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(file.locate()), target)


def main(channel: Path) -> None:
    """Pack both and write the index."""
    (channel / "linux-64").mkdir(parents=True, exist_ok=True)
    (channel / "noarch").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as python, tempfile.TemporaryDirectory() as pip:
        lay_out_python(Path(python))
        pack(channel, "python", platform.python_version(), Path(python), [])
        lay_out_pip(Path(pip))
        pack(channel, "pip", metadata.version("pip"), Path(pip), [f"python {PYTHON.removeprefix('python')}.*"])
    asyncio.run(index_fs(channel, force=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
    os._exit(0)  # now and then the native threads of rattler crash while the interpreter is taken down
