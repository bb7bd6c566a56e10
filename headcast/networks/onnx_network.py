"""Matting networks that their authors exported to ONNX, run by the `onnxruntime` package (MIT) of the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from headcast.assets import packages
from headcast.errors import AssetMissing, BadFile
from headcast.networks.runtime import place
from headcast.networks.weights import load_weights

START = b"\x08"  # of the version number that an ONNX file begins with; checkpoints are zip archives or pickles
ALPHA = ("pha", "alpha", "output")  # what exports call their matte
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class OnnxNetwork(nn.Module):
    """A network in an ONNX file behind a module's call: float32 pictures in the order of its inputs to alpha."""

    def __init__(self, path: Path, what: str, inputs: int) -> None:
        """``BadFile`` when the file is no ONNX network of so many ``inputs`` with a matte among its outputs."""
        super().__init__()
        self._path, self._what = path, what
        self._session = _session(path, what)
        self._inputs, outputs = self._session.get_inputs(), [output.name for output in self._session.get_outputs()]
        named = [name for name in ALPHA if name in outputs] or (outputs if len(outputs) == 1 else [])
        if len(self._inputs) != inputs or not named:
            found = f"{len(self._inputs)} inputs, not {inputs}" if named else f"the outputs {', '.join(outputs)} and no matte"
            raise BadFile(path, f"is another network than {what}: it has {found}", f"use an export of {what}")
        self._alpha = named[0]

    def forward(self, *pictures: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 H W"]:
        """Alpha; ``BadFile`` when the export takes other sizes."""
        feeds = {spec.name: picture.float().cpu().numpy() for spec, picture in zip(self._inputs, pictures, strict=True)}
        for spec in self._inputs:
            fixed = [
                (side, wanted) for side, wanted in zip(feeds[spec.name].shape, spec.shape, strict=True) if isinstance(wanted, int)
            ]
            if any(side != wanted for side, wanted in fixed):
                sizes = f"{tuple(spec.shape)}, not {feeds[spec.name].shape}"
                raise BadFile(
                    self._path, f"was exported for pictures of {sizes}", "export it with dynamic axes, or use the checkpoint"
                )
        return torch.from_numpy(np.ascontiguousarray(self._session.run([self._alpha], feeds)[0]))


def open_network(build: Callable[[], nn.Module], path: Path, what: str, inputs: int, half: bool) -> nn.Module:
    """The network of a checkpoint, where `runtime.place` puts it, or of an ONNX file; raises ``AssetMissing`` or ``BadFile``."""
    if is_onnx(path):
        return OnnxNetwork(path, what, inputs)
    return place(load_weights(build, path, what), half)


def is_onnx(path: Path) -> bool:
    """Whether a file is one, by its first byte: its place is that of the checkpoint."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(1) == START


def _session(path: Path, what: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        wanted = packages()["onnxruntime"].wanted
        raise AssetMissing(
            "onnxruntime", f"the package that runs {path.name} is not installed", f"pip install '{wanted}'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    chosen = [name for name in PROVIDERS if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=chosen)
    except Exception as error:  # the package promises no type
        raise BadFile(path, f"is no ONNX network ({' '.join(str(error).split())[:160]})", f"obtain {what} anew") from error
