"""What the inert pickle machine makes of the few names it knows: arrays, chumpy wrappers, sparse matrices; all of it plain data.

Every size is checked against the bytes that the file holds before anything is allocated.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

MAX_DEPTH = 40
MAX_DENSE = 50_000_000  # elements of a sparse matrix written out
DTYPE = re.compile(r"[<>=|]?([fiub][1248])")
OBJECT_DTYPES = ("O", "O4", "O8", "|O")
SPARSE = ("csc", "csr")


class Refused(Exception):
    """The bytes are no pickle, are cut short, or ask for more than plain data."""


@dataclass(frozen=True)
class Name:
    """A module's member that the file names; never looked up."""

    text: str


@dataclass
class Inert:
    """An object of a class that is not loaded: what the file says about it."""

    kind: str
    state: Any = None


@dataclass
class Dtype:
    """An element type under construction: a code such as "f8" and a byte order."""

    code: str
    order: str = "="


@dataclass
class Pending:
    """An array under construction; ``value`` once its state is set."""

    value: Any = None


def size_of(made: Any) -> int:
    """The bytes that a call or a state has made."""
    content = made.value if isinstance(made, Pending) else made
    return content.nbytes if isinstance(content, np.ndarray) else len(content) if isinstance(content, bytes) else 0


def _reconstruct(kind: Any, shape: Any, code: Any) -> Pending:
    """An array without elements; its state comes next and must bring its own bytes."""
    if kind != Name("numpy.ndarray") or shape not in ((0,), [0]):
        raise Refused("asks for memory before it shows the data")
    return Pending()


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> Pending:
    return Pending(array(shape if isinstance(shape, tuple) else (shape,), dtype, order == "F", raw))


def _dtype(code: Any, *_: Any) -> Dtype:
    if not isinstance(code, str) or not (DTYPE.fullmatch(code) or code in OBJECT_DTYPES):
        raise Refused(f"holds an array of {str(code)[:20]!r}, not of plain numbers")
    return Dtype(code)


def byte_order(state: Any) -> str:
    """The byte order in the state of an element type; only plain numbers have none of the rest."""
    if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "=", "|") or state[2:5] != (None, None, None):
        raise Refused("holds an array of records, not of plain numbers")
    return str(state[1])


def array(shape: Any, dtype: Any, fortran: Any, raw: Any) -> Any:
    """The finished array of a state; an object array of one (what `numpy.save` makes of a dict) is its content."""
    if not isinstance(dtype, Dtype) or not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise Refused("holds a damaged array")
    if dtype.code in OBJECT_DTYPES:
        if shape != () or not isinstance(raw, list) or len(raw) != 1:
            raise Refused("holds an array of objects, not of numbers")
        return raw[0]
    data = raw.encode("latin-1") if isinstance(raw, str) else raw
    plain = np.dtype((">" if dtype.order == ">" else "<") + dtype.code.lstrip("<>=|"))
    if not isinstance(data, bytes) or prod(shape) * plain.itemsize != len(data):
        raise Refused(f"promises an array of shape {shape}, its bytes are of another size")
    return np.frombuffer(data, plain).reshape(shape, order="F" if fortran else "C").astype(plain.newbyteorder("="), copy=False)


def _scalar(dtype: Any, raw: Any) -> Pending:
    return Pending(array((), dtype, False, raw))


def _encoded(text: Any, encoding: Any = None) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused("asks for a text codec, which no head model needs")
    return text.encode("latin-1")


def _plain_object(kind: Any, base: Any, state: Any) -> Inert:
    if not isinstance(kind, Name) or kind.text not in CLASSES or base not in OBJECT or state is not None:
        raise Refused("makes an object that no head model needs")
    return Inert(kind.text)


def _listed(items: Any = None) -> list[Any]:
    return items if isinstance(items, list) else []


OBJECT = (Name("__builtin__.object"), Name("builtins.object"))
TOKENS = {"numpy.ndarray", *(name.text for name in OBJECT)}
CHUMPY = ("chumpy.ch.Ch", "chumpy.Ch", "chumpy.reordering.Select")
CLASSES = {*CHUMPY, *(f"scipy.sparse.{module}.{kind}_matrix" for kind in SPARSE for module in (kind, f"_{kind}"))}
CALLS: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _dtype,
    "_codecs.encode": _encoded,
    "__builtin__.set": _listed,
    "builtins.set": _listed,
    "copy_reg._reconstructor": _plain_object,
    "copyreg._reconstructor": _plain_object,
}
for _package in ("numpy.core", "numpy._core"):
    CALLS[f"{_package}.multiarray._reconstruct"] = _reconstruct
    CALLS[f"{_package}.multiarray.scalar"] = _scalar
    CALLS[f"{_package}.numeric._frombuffer"] = _from_buffer


def as_array(value: Any) -> np.ndarray:
    """The numbers of an array, a chumpy wrapper or selection, a sparse matrix or a list. Raises ``Refused``."""
    try:
        return _as_array(value, 0)
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise Refused("holds a damaged array") from error


def _as_array(value: Any, depth: int) -> np.ndarray:
    if isinstance(value, Inert):
        state = value.state if isinstance(value.state, dict) else {}
        if depth > MAX_DEPTH:
            raise Refused("is nested deeper than any head model")
        if value.kind.startswith("scipy"):
            return _dense(value.kind, state)
        if value.kind.endswith("Select"):
            chosen = _as_array(state.get("a"), depth + 1).ravel()[_as_array(state.get("idxs"), depth + 1).ravel()]
            return chosen.reshape(state.get("preferred_shape", chosen.shape))
        return _as_array(state.get("x"), depth + 1)
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "fiub":
        raise Refused("holds something else where numbers belong")
    return numbers


def _dense(kind: str, state: dict[str, Any]) -> np.ndarray:
    """A compressed sparse matrix written out; every index is checked."""
    shape = tuple(int(n) for n in state.get("_shape", state.get("shape", ())))
    data, indices, starts = (np.asarray(state.get(name)) for name in ("data", "indices", "indptr"))
    if len(shape) != 2 or min(shape) < 0 or prod(shape) > MAX_DENSE or not data.ndim == indices.ndim == starts.ndim == 1:
        raise Refused("holds a damaged sparse matrix")
    major, minor = (shape[1], shape[0]) if "csc" in kind else shape
    counts = np.diff(starts.astype(np.int64))
    if len(starts) != major + 1 or (counts < 0).any() or starts[0] != 0 or not len(data) == len(indices) == starts[-1]:
        raise Refused("holds a damaged sparse matrix")
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < minor:
        raise Refused("holds a damaged sparse matrix")
    dense = np.zeros((major, minor))
    np.add.at(dense, (np.repeat(np.arange(major), counts), indices), data)
    return dense.T if "csc" in kind else dense
