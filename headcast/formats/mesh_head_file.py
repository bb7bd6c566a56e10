"""``mesh_head.pth``: a trained mesh head as plain tensors with a digest, readable with ``weights_only=True``."""

from __future__ import annotations

from pathlib import Path

from headcast.avatar.mesh_head import MeshHead
from headcast.errors import BadFile
from headcast.formats.avatar_file import digest
from headcast.formats.tensors import DAMAGED, load_tensors, save_tensors

FORMAT = "headcast.mesh_head@1"
REBUILD = "delete it and run train_mesh_head again"


def write_mesh_head(path: Path, head: MeshHead) -> Path:
    """Write the mesh head atomically; same tensors, same digest, same bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(head.state_dict().items())}
    save_tensors(path, {"format": FORMAT, "tensors": tensors, "digest": digest(tensors, FORMAT)})
    return path


def read_mesh_head(path: Path) -> MeshHead:
    """Read and verify a mesh head; ``BadFile`` when it is anything else."""
    return MeshHead.from_state(_read(path)["tensors"])


def mesh_head_digest(path: Path) -> str:
    """The digest of a verified mesh head."""
    return str(_read(path)["digest"])


def _read(path: Path) -> dict:
    try:
        content = load_tensors(path)
    except DAMAGED as error:
        raise BadFile(path, f"cannot be read ({type(error).__name__})", REBUILD) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BadFile(path, "is not a mesh head", REBUILD)
    if digest(content["tensors"], FORMAT) != content["digest"]:
        raise BadFile(path, "its digest does not match its tensors", REBUILD)
    return content
