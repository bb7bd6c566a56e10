"""Files that pretend to be head models: one line each, nothing in them runs, nothing they promise is allocated."""

from __future__ import annotations

import codecs
import functools
import io
import operator
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from headcast.errors import AssetMissing, BadFile, HeadcastError
from headcast.heads import flame_files
from headcast.heads.asset_files import read_mat, read_npy_dict, read_npz, read_pickle

CANARY = "canary"
ENOUGH = 64 << 20  # bytes: no hostile file of a few kilobytes may take more
TEN_GIB = 10 << 30


class Calls:
    """Pickles as a call of ``function``."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.parts = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.parts


class Listed(Calls):
    """Pickles as a call whose result takes items."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (*self.parts, None, iter([1, 2, 3]))


def named(module: str, member: str, arguments: bytes = b"(t", protocol: int = 2) -> bytes:
    """A pickle that calls ``module.member``."""
    return b"\x80" + bytes([protocol]) + f"c{module}\n{member}\n".encode() + arguments + b"R."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def array_pickle(shape: bytes, code: bytes, raw: bytes, start: bytes = b"(I0\nt") -> bytes:
    """The pickle of an array as NumPy writes it for Python 2."""
    dtype = b"cnumpy\ndtype\n(U" + bytes([len(code)]) + code + b"I0\nI1\ntR(I3\nU\x01<NNNI-1\nI-1\nI0\ntb"
    begin = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + start + b"U\x01btR"
    return b"\x80\x02" + begin + b"(I1\n" + shape + dtype + b"I00\n" + raw + b"tb."


def binary(data: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(data)) + data


def touching() -> dict[str, Any]:
    """Objects whose unpickling would touch the canary."""
    write = Calls(open, CANARY, "w")
    code = f"open({CANARY!r}, 'w')"
    return {
        "os.system": named("os", "system", b"(" + text(f"touch {CANARY}") + b"t"),
        "posix.system": named("posix", "system", b"(" + text(f"touch {CANARY}") + b"t"),
        "subprocess": named("subprocess", "call", b"((" + text("touch") + text(CANARY) + b"lt"),
        "eval": Calls(eval, code),
        "exec": Calls(exec, code),
        "compile": named("builtins", "compile", b"(" + text(code) + text("x") + text("exec") + b"t"),
        "open": write,
        "__import__": Calls(__import__, "os"),
        "getattr chain": Calls(getattr, Calls(__import__, "os"), "system"),
        "importlib": named("importlib", "import_module", b"(" + text("os") + b"t"),
        "functools.partial": Calls(functools.partial, open, CANARY, "w"),
        "operator.attrgetter": Calls(operator.attrgetter("system"), Calls(__import__, "os")),
        "runpy": named("runpy", "run_path", b"(" + text("x.py") + b"t"),
        "pickle in pickle": Calls(pickle.loads, pickle.dumps(write)),
        "numpy.load": Calls(np.load, CANARY + ".npy", None, True),
        "memmap": named("numpy", "memmap", b"(" + text(CANARY) + text("u1") + text("w+") + b"t"),
        "scipy.io.loadmat": Calls(scipy.io.loadmat, CANARY),
        "scipy.sparse.load_npz": named("scipy.sparse._matrix_io", "load_npz", b"(" + text(CANARY) + b"t"),
        "torch.load": named("torch.serialization", "load", b"(" + text(CANARY) + b"t"),
        "codecs.open": Calls(codecs.open, CANARY, "w"),
        "codecs by name": named("_codecs", "encode", b"(" + text("x") + text("unicode_escape") + b"t"),
        "inside a dict": {"v_template": write},
        "with list items": Listed(list),
        "stack global": b"\x80\x04" + b"\x8c\x02os\x8c\x06system\x93" + b"\x8c\x01x\x85R.",
        "INST": b"(S'touch canary'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'touch canary'\no.",
        "NEWOBJ of a builtin": b"\x80\x02c__builtin__\nbytearray\nI99\n\x85\x81.",
        "extension registry": b"\x80\x02\x82\x01.",
        "persistent id": b"P1\n.",
        "setstate of a class": b"\x80\x02cchumpy.ch\nCh\n}X\x01\x00\x00\x00aK\x01sb.",
        "dotted member": b"\x80\x04\x8c\x05numpy\x8c\x11core.multiarray.x\x93.",
    }


def swelling() -> dict[str, bytes]:
    """Pickles that ask for much more memory than they have bytes."""
    huge = str(TEN_GIB).encode()
    nested = b"\x80\x02" + b"]" * 3 + b"".join(b"q%c" % k for k in range(3)) + b"a" * 2 + b"."
    laughs = b"\x80\x02]q\x00" + b"".join(b"](" + b"h%c" % k * 10 + b"eq%c" % (k + 1) for k in range(9)) + b"(" + b"h\t" * 9 + b"t."
    return {
        "bytearray": named("__builtin__", "bytearray", b"(I" + huge + b"\nt"),
        "range": named("builtins", "range", b"(I" + huge + b"\nt"),
        "reconstruct with a shape": array_pickle(b"(I1\nt", b"f8", binary(bytes(8)), start=b"(I" + huge + b"\nt"),
        "numpy.zeros": named("numpy", "zeros", b"(I" + huge + b"\nt"),
        "array promises": array_pickle(b"(I" + huge + b"\nt", b"f8", binary(bytes(64))),
        "array wraps": array_pickle(b"(I4294967296\nI4294967296\nt", b"f8", b"U\x00"),
        "negative axis": array_pickle(b"(I-1\nt", b"f8", binary(bytes(8))),
        "one buffer many arrays": b"\x80\x02" + binary(bytes(1 << 16)) + b"q\x000(" + encoded_often(4000) + b"l.",
        "declared bytes": b"\x80\x04\x8e" + struct.pack("<Q", TEN_GIB) + b"x.",
        "frame": b"\x80\x04\x95" + struct.pack("<Q", TEN_GIB) + b"\x8e" + struct.pack("<Q", 1 << 62) + b".",
        "memo index": b"\x80\x02Nr\xff\xff\xff\x7f\x85" * 20 + b"0",
        "billion laughs": laughs,
        "deep": b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b".",
        "holds itself": nested,
        "digits": b"L" + b"9" * 100_000 + b"L\n.",
    }


def encoded_often(times: int) -> bytes:
    """Calls that turn the memorised text into new bytes, again and again."""
    call = b"c_codecs\nencode\n(h\x00X\x06\x00\x00\x00latin1tR"
    return call * times


def misshapen() -> dict[str, bytes]:
    """Files that are no pickle of named arrays."""
    good = pickle.dumps({"v_template": np.zeros((5, 3))}, 2)
    return {
        "empty": b"",
        "login page": b"\n<!DOCTYPE html><html><title>Sign in</title></html>",
        "xml": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        "text": b"Not found\n",
        "truncated": good[:-20],
        "truncated early": good[:5],
        "zip": b"PK\x03\x04" + bytes(30),
        "only stop": b".",
        "a list": pickle.dumps([1, 2], 2),
        "a number": pickle.dumps(3, 0),
        "no stop": good[:-1],
        "unknown protocol": b"\x80\x63\xff\xff",
        "array of objects": array_pickle(b"(I2\nt", b"O8", b"(K\x01K\x02l"),
        "array of records": named("numpy", "dtype", b"(" + text("i4,i4") + b"t"),
        "array of times": array_pickle(b"(I1\nt", b"M8", binary(bytes(8))),
        "mark without stack": b"\x80\x02tt.",
        "append to a number": b"\x80\x02K\x01K\x02a.",
        "unhashable key": b"\x80\x02}]K\x01s.",
        "random": bytes(np.random.default_rng(0).integers(0, 256, 500, dtype=np.uint8)),
    }


def cases() -> list[Any]:
    bytes_of = {name: value if isinstance(value, bytes) else pickle.dumps(value, 2) for name, value in touching().items()}
    return [pytest.param(data, id=name) for name, data in (bytes_of | swelling() | misshapen()).items()]


def one_line(error: HeadcastError, path: Path) -> bool:
    return "\n" not in str(error) and str(error).startswith(f"{path}: ") and len(str(error)) < len(str(path)) + 300


@pytest.mark.parametrize("data", cases())
def test_a_hostile_pickle_is_one_line_and_runs_nothing(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises((BadFile, AssetMissing)) as raised:
            flame_files.read_flame(path)
        assert tracemalloc.get_traced_memory()[1] < ENOUGH
    finally:
        tracemalloc.stop()
    assert one_line(raised.value, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["generic_model.pkl"]


def test_the_canary_would_die_of_the_ordinary_unpickler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(touching()["open"], 2)).close()
    assert (tmp_path / CANARY).exists()


def test_a_missing_file_and_another_version_are_missing_assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "flame2023.pkl"
    with pytest.raises(AssetMissing, match="no such file"):
        flame_files.read_flame(path)
    path.write_bytes(b"the bytes of FLAME 2020")
    monkeypatch.setattr(flame_files, "FLAME_2020_SHA256", flame_files.sha256(path))
    with pytest.raises(AssetMissing, match="FLAME 2020") as raised:
        flame_files.read_flame(path)
    assert one_line(raised.value, path)


@pytest.mark.parametrize("kind", ["code", "objects", "plain", "cut", "page"])
def test_a_hostile_npy_is_one_line(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "flame_dynamic_embedding.npy"
    content: Any = {"code": np.array({"a": Calls(open, CANARY, "w")}, object), "objects": np.array([{}, {}], object)}.get(kind)
    np.save(path, np.zeros(3) if content is None else content, allow_pickle=True)
    path.write_bytes({"cut": path.read_bytes()[:40], "page": b"<html>"}.get(kind, path.read_bytes()))
    with pytest.raises(BadFile) as raised:
        read_npy_dict(path)
    assert one_line(raised.value, path) and not (tmp_path / CANARY).exists()


def npz_with(header: bytes, body: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("vertices.npy", header + body)
    return stream.getvalue()


def test_an_npz_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "ict.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (TEN_GIB,)})
    objects = io.BytesIO()
    np.savez(objects, vertices=np.array([{}], object))
    for data in (
        npz_with(header.getvalue(), bytes(8)),
        objects.getvalue(),
        b"PK\x03\x04",
        b"",
        b"<html>",
        npz_with(b"no header", b""),
    ):
        path.write_bytes(data)
        with pytest.raises(BadFile) as raised:
            read_npz(path, ("vertices",))
        assert one_line(raised.value, path)


def test_a_matlab_file_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "BFM09_model_info.mat"
    cells, good = io.BytesIO(), io.BytesIO()
    scipy.io.savemat(cells, {"meanshape": np.array([[1], ["x"]], object)})
    scipy.io.savemat(good, {"meanshape": np.zeros((1, 6))})
    swollen = bytearray(good.getvalue())
    place = swollen.index(struct.pack("<ii", 1, 6))
    swollen[place : place + 8] = struct.pack("<ii", 1 << 15, 1 << 16)
    damaged = (cells.getvalue(), bytes(swollen), good.getvalue()[:150], b"MATLAB 7.3 MAT-file", b"", b"<html>", b"x" * 400)
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(BadFile) as raised:
            read_mat(path, ("meanshape",))
        assert one_line(raised.value, path)
    path.write_bytes(good.getvalue())
    assert read_mat(path, ("meanshape",))["meanshape"].shape == (1, 6)


def test_a_python_2_array_is_read(tmp_path: Path) -> None:
    path, numbers = tmp_path / "old.pkl", np.array([1.5, -2.0])
    inner = array_pickle(b"(I2\nt", b"f8", binary(numbers.tobytes()))[2:-1]
    path.write_bytes(b"\x80\x02}U\x01a" + inner + b"s.")
    np.testing.assert_array_equal(read_pickle(path)["a"], numbers)
