"""``avatar.pth``: a whole avatar in one file of plain tensors, one JSON string and a digest over both.

Layout (``torch.save`` of a dict, readable with ``weights_only=True``): ``format`` = "headcast.avatar", ``version``, ``tensors``
{name: tensor}, ``metadata`` (JSON text; key ``structure`` says how the tensors make an avatar), ``digest`` (SHA-256, hexadecimal).
Same tensors and metadata → same digest and same bytes. Where the metadata have ``withheld_basis``, the head model's licence keeps
its expression basis out of the file (see ``headcast.formats.withheld_basis``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from headcast.errors import AssetMissing, BadFile
from headcast.formats import withheld_basis
from headcast.formats.tensors import DAMAGED, load_tensors, save_tensors

if TYPE_CHECKING:
    from headcast.avatar.avatar import Avatar

FORMAT = "headcast.avatar"
VERSION = 2
REBUILD = "train it again (rule train_avatar)"


def write_avatar(path: Path, avatar: Avatar, metadata: Mapping[str, Any]) -> str:
    """Write ``avatar`` atomically and return its digest.

    ``metadata`` (versions, config, hashes, licences, metrics) must be JSON without NaN. ``BadFile`` if a tensor is not finite.
    """
    structure, tensors = avatar.pack()
    tensors = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in sorted(tensors.items())}
    _check_finite(path, tensors)
    if "withheld_basis" in metadata:
        del tensors[withheld_basis.TENSOR]
    text = json.dumps({**metadata, "structure": structure}, sort_keys=True, allow_nan=False, ensure_ascii=False)
    seal = digest(tensors, text)
    content = {"format": FORMAT, "version": VERSION, "metadata": text, "digest": seal, "tensors": tensors}
    save_tensors(Path(path), content)
    return seal


def read_avatar(path: Path, device: str | torch.device = "cpu") -> Avatar:
    """Read, verify and rebuild an avatar.

    ``AssetMissing`` when there is no such file, or no head model for a withheld basis; ``BadFile`` when it is damaged, altered
    or of another format.
    """
    from headcast.avatar.avatar import Avatar

    content = _load(Path(path))
    metadata, tensors = json.loads(content["metadata"]), dict(content["tensors"])
    if "withheld_basis" in metadata:
        tensors[withheld_basis.TENSOR] = withheld_basis.supply(Path(path), metadata["withheld_basis"])
    try:
        avatar = Avatar.unpack(metadata.pop("structure"), tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadFile(path, f"its tensors do not make an avatar ({type(error).__name__}: {error})", REBUILD) from error
    avatar.metadata = {**metadata, "digest": content["digest"]}
    return avatar.to(device)


def read_metadata(path: Path) -> dict[str, Any]:
    """The verified metadata of an avatar file, without rebuilding the avatar."""
    content = _load(Path(path))
    return {**json.loads(content["metadata"]), "digest": content["digest"]}


def digest(tensors: Mapping[str, Tensor], metadata: str) -> str:
    """SHA-256 over metadata text and, in the order of their names, each tensor's name, dtype, shape and bytes."""
    state = hashlib.sha256(f"{FORMAT} {VERSION}\n".encode())
    state.update(f"{len(metadata.encode())}\n".encode() + metadata.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().to("cpu").contiguous()
        state.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        state.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return state.hexdigest()


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise AssetMissing(path, "there is no such avatar file", "train it: snakemake results/{subject}/{sequence}/avatar.pth")
    try:
        content = load_tensors(path)
    except DAMAGED as error:
        raise BadFile(
            path, f"not a readable avatar ({type(error).__name__}); truncated, damaged or not an avatar file", REBUILD
        ) from error
    _check_layout(path, content)
    if digest(content["tensors"], content["metadata"]) != content["digest"]:
        raise BadFile(path, "its digest does not match its content: the file was altered or damaged", REBUILD)
    return content


def _check_layout(path: Path, content: Any) -> None:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BadFile(path, "not an avatar file of headcast", "give the avatar.pth that train_avatar wrote")
    if content.get("version") != VERSION:
        raise BadFile(
            path, f"avatar format {content.get('version')!r}, this version reads {VERSION}", "use a matching version of headcast"
        )
    tensors = content.get("tensors")
    texts = all(isinstance(content.get(key), str) for key in ("metadata", "digest"))
    if not texts or not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise BadFile(path, "its layout is not that of an avatar file", REBUILD)


def _check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise BadFile(path, f"tensor {name} holds non-finite values", "the avatar was not written; train it again")
