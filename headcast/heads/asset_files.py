"""Files that users bring for head models, read as plain arrays: pickles, npy, npz and MATLAB, none of which may run or inflate.

Every reader raises ``BadFile`` in one line; the size that a header promises is compared with the file before memory is asked for.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.lib import format as npy_format
from scipy.io.matlab import MatReadError

from headcast.assets import is_web_page
from headcast.errors import AssetMissing, BadFile
from headcast.heads import inert_pickle
from headcast.heads.inert_values import Refused, as_array

MAX_BYTES = 1 << 30
OBTAIN = "obtain the file anew"
DAMAGED = (
    *(MatReadError, ValueError, TypeError, KeyError, IndexError, EOFError),
    *(OSError, OverflowError, NotImplementedError, zlib.error, zipfile.BadZipFile),
)


def read_bytes(path: Path) -> bytes:
    """The file, unless it is missing, empty, too large to be a head model, or the page that asked for a login."""
    if not path.is_file():
        raise AssetMissing(path, "there is no such file", OBTAIN)
    size = path.stat().st_size
    if not 0 < size <= MAX_BYTES:
        raise BadFile(path, "is empty" if not size else f"has {size} bytes, more than any head model", OBTAIN)
    data = path.read_bytes()
    if is_web_page(data):
        raise BadFile(path, "is a web page: the download was not logged in", "log in on the model's site and download again")
    return data


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file that `read_bytes` accepts."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def read_pickle(path: Path) -> dict[str, Any]:
    """The dict of a pickle, nothing in it executed; arrays plain, chumpy and scipy objects inert (see `numbers`)."""
    try:
        content = inert_pickle.read(read_bytes(path))
    except Refused as error:
        raise BadFile(path, str(error), OBTAIN) from error
    if not isinstance(content, dict):
        raise BadFile(path, f"holds a {type(content).__name__}, not named arrays", OBTAIN)
    return content


def read_npy_dict(path: Path) -> dict[str, Any]:
    """The dict that ``numpy.save`` wrote, pickled, into an npy file; read by the inert machine."""
    stream = io.BytesIO(read_bytes(path))
    try:
        shape, _, dtype = _npy_header(stream)
        if dtype != np.dtype(object) or shape != ():
            raise Refused(f"holds an array of {dtype} and shape {shape}, not a dict")
        content = inert_pickle.read(stream.read())
    except (Refused, ValueError, EOFError) as error:
        raise BadFile(path, _reason(error, "is not an npy file"), OBTAIN) from error
    if not isinstance(content, dict):
        raise BadFile(path, f"holds a {type(content).__name__}, not named arrays", OBTAIN)
    return content


def _npy_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    major, _ = npy_format.read_magic(stream)
    reader = npy_format.read_array_header_1_0 if major == 1 else npy_format.read_array_header_2_0
    shape, fortran, dtype = reader(stream)
    return shape, fortran, dtype


def read_npz(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays ``names`` of an npz file; no pickled ones, none larger than its member of the archive."""
    read_bytes(path)
    try:
        with zipfile.ZipFile(path) as archive:
            missing = [name for name in names if f"{name}.npy" not in archive.namelist()]
            if missing:
                raise Refused(f"has no array {missing[0]}")
            return {name: _npz_member(archive, f"{name}.npy") for name in names}
    except (Refused, *DAMAGED) as error:
        raise BadFile(path, _reason(error, "is not a readable npz"), OBTAIN) from error


def _npz_member(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    promised = archive.getinfo(member).file_size
    if promised > MAX_BYTES:
        raise Refused(f"{member} unpacks to {promised} bytes, more than any head model")
    with archive.open(member) as stream:
        shape, fortran, dtype = _npy_header(stream)
        if dtype.hasobject or prod(shape) * dtype.itemsize > promised:
            raise Refused(f"{member} does not hold the plain numbers that its header promises")
        data = stream.read(prod(shape) * dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def read_mat(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The numeric arrays ``names`` of a MATLAB file (level 5, up to -v7)."""
    data = read_bytes(path)
    if data.startswith(b"MATLAB 7.3"):
        raise BadFile(path, "is a MATLAB 7.3 file", "save it with -v7")
    try:
        sizes = {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(io.BytesIO(data))}
        for name in names:
            shape, kind = sizes.get(name, ((), "absent"))
            if kind == "absent" or kind in ("cell", "struct", "object", "char", "function", "opaque", "sparse", "unknown"):
                raise Refused(f"{name} is {kind}, not an array of numbers")
            if prod(shape) * 8 > MAX_BYTES:
                raise Refused(f"{name} has {prod(shape)} elements, more than any head model")
        content = scipy.io.loadmat(io.BytesIO(data), variable_names=list(names))
        return {name: np.asarray(content[name]) for name in names}
    except (Refused, *DAMAGED) as error:
        raise BadFile(path, _reason(error, "is not a readable MATLAB file"), OBTAIN) from error


def _reason(error: Exception, otherwise: str) -> str:
    return str(error) if isinstance(error, Refused) else f"{otherwise} ({type(error).__name__})"


def numbers(path: Path, content: dict[str, Any], name: str, shape: tuple[int | None, ...] | None) -> np.ndarray:
    """The finite numbers under ``name`` of a file's dict, of a shape whose ``None`` are free (any shape: ``None``)."""
    if name not in content:
        raise BadFile(path, f"has no {name}: it is another file than its name says", OBTAIN)
    try:
        array = as_array(content[name])
    except Refused as error:
        raise BadFile(path, f"{name} {error}", OBTAIN) from error
    fits = shape is None or (array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True)))
    if not fits:
        expected = " x ".join("n" if n is None else str(n) for n in shape or ())
        raise BadFile(path, f"{name} has shape {array.shape}, expected {expected}", OBTAIN)
    if not np.isfinite(array).all():
        raise BadFile(path, f"{name} holds values that are not finite", OBTAIN)
    return array


def indices(path: Path, array: np.ndarray, name: str, below: int) -> np.ndarray:
    """``array`` as int64 indices in [0, below). Raises ``BadFile``."""
    whole = array.astype(np.int64)
    if (whole != array).any() or (whole.size and not 0 <= int(whole.min()) <= int(whole.max()) < below):
        raise BadFile(path, f"{name} does not index its {below} items", OBTAIN)
    return whole
