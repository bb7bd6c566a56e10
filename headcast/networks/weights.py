"""Checkpoints that users bring for networks: plain tensors, compared name by name with the network; no code of theirs runs.

Every mistake is a ``BadFile`` in one line: what the file is, what was expected, what was found.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from headcast.assets import is_web_page
from headcast.errors import AssetMissing, BadFile
from headcast.formats.tensors import load_tensors

WRAPPERS = ("module.", "model.")  # what DataParallel and the authors' scripted exports put before every name
COUNTER = "num_batches_tracked"  # old versions of torch did not write it, and inference does not read it
SLACK = 1 << 20
DAMAGED = (
    *(RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError),
    *(OSError, OverflowError, zipfile.BadZipFile),
)
Net = TypeVar("Net", bound=nn.Module)


def load_weights(build: Callable[[], Net], path: Path, what: str) -> Net:
    """The network that ``build`` makes, with the weights of ``path``, in evaluation mode and float32 on the CPU.

    ``what`` names it to the user. Raises ``AssetMissing`` without the file, ``BadFile`` when it holds anything else.
    """
    with torch.device("meta"):
        network = build()
    state = unwrapped(read_tensors(path, what))
    expected = network.state_dict()
    _compare(path, what, expected, state)
    counters = {name: torch.zeros((), dtype=torch.int64) for name in expected if name.endswith(COUNTER)}
    network.load_state_dict({name: state.get(name, counters.get(name)) for name in expected}, assign=True)
    return network.float().eval().requires_grad_(False)


def read_tensors(path: Path, what: str) -> dict[str, Tensor]:
    """The named tensors of a checkpoint, or of a TorchScript archive of the same network."""
    todo = f"obtain {what} anew"
    if not path.is_file():
        raise AssetMissing(path, f"the weights of {what} are not there", "docs/own_weights.md says where to obtain them")
    with path.open("rb") as stream:
        start = stream.read(200)
    if not start:
        raise BadFile(path, f"is empty, not {what}", todo)
    if is_web_page(start):
        raise BadFile(path, f"is a web page, not {what}: the download asked for a confirmation", "download it in a browser")
    try:
        content = _read_zip(path) if zipfile.is_zipfile(path) else load_tensors(path)
    except DAMAGED as error:
        found = "is cut, damaged or holds more than plain tensors"
        raise BadFile(path, f"{found}, not {what} ({type(error).__name__})", todo) from error
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise BadFile(path, f"holds a {type(content).__name__} that is no table of tensors, not {what}", todo)
    return {str(name): value for name, value in content.items()}


def _read_zip(path: Path) -> object:
    """What ``torch.save`` or TorchScript wrote; of the latter the tensors: its code is not called, and must not ask to be."""
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > path.stat().st_size + SLACK:
            raise ValueError("members unpack to more than the file holds")
        code = [archive.read(name) for name in archive.namelist() if "/code/" in name and name.endswith(".py")]
    if any(b"__setstate__" in source for source in code):
        raise ValueError("a part of the archive would run when it is loaded")
    if code:
        return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    return load_tensors(path)


def unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without a prefix that all names share because the network was saved inside a wrapper."""
    for prefix in WRAPPERS:
        if state and all(name.startswith(prefix) for name in state):
            return {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return dict(state)


def _compare(path: Path, what: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Names and shapes are exactly those of the network, and all numbers finite."""
    wanted = [name for name in expected if not name.endswith(COUNTER)]
    missing = [name for name in wanted if name not in found]
    foreign = [name for name in found if name not in expected]
    todo = f"use the file that docs/own_weights.md names for {what}"
    if missing or foreign:
        first = f"no {missing[0]}" if missing else f"{foreign[0]}, which {what} has not"
        counts = f"{len(wanted) - len(missing)} of its {len(wanted)} tensors, {len(foreign)} others"
        raise BadFile(path, f"is another network than {what}: it holds {first} ({counts})", todo)
    for name in wanted:
        if found[name].shape != expected[name].shape:
            shapes = f"{name} has shape {tuple(found[name].shape)}, expected {tuple(expected[name].shape)}"
            raise BadFile(path, f"is another variant of {what}: {shapes}", todo)
        if not found[name].isfinite().all():
            raise BadFile(path, f"{name} holds values that are not finite", f"obtain {what} anew")
