"""Exports to ONNX in the place of a checkpoint: the same mattes as the torch network, and one line for what is something else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from headcast.errors import AssetMissing, BadFile
from headcast.networks import background_matting, modnet
from headcast.networks.weights import load_weights

from .test_matting_networks import MODULES, views

NETWORKS = {
    "background_matting_v2": (background_matting.BackgroundMatting, ["src", "bgr"], ["pha"]),
    "modnet": (modnet.Modnet, ["input"], ["output"]),
}
SIDE = 128


def export(name: str, checkpoint: Path, path: Path) -> Path:
    """The network of a checkpoint for pictures of one size, with the names that its authors give inputs and outputs."""
    pytest.importorskip("onnx", reason="writes ONNX files: pip install onnx")
    pytest.importorskip("onnxruntime", reason="runs ONNX files: pip install onnxruntime")
    build, inputs, outputs = NETWORKS[name]
    side = 512 if name == "modnet" else SIDE
    given = tuple(torch.rand(1, 3, side, side) for _ in inputs)
    network = load_weights(build, checkpoint, name)
    torch.onnx.export(network, given, str(path), input_names=inputs, output_names=outputs, dynamo=False)
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_an_export_says_what_the_checkpoint_says(name: str, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    path = export(name, checkpoint(name), tmp_path / checkpoint(name).name)
    images, plates = views(1, SIDE), views(1, SIDE, 1)
    ours, theirs = (MODULES[name].load(file).mattes(images, plates) for file in (checkpoint(name), path))
    assert theirs.shape == (1, SIDE, SIDE) and theirs.dtype == np.float32 and theirs.std() > 1e-3
    np.testing.assert_allclose(theirs, ours, atol=2e-3)


def test_what_does_not_fit_is_one_line(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    portrait = export("modnet", checkpoint("modnet"), tmp_path / "modnet.onnx")
    with pytest.raises(BadFile, match="it has 1 inputs, not 2"):
        background_matting.load(portrait)
    fixed = export("background_matting_v2", checkpoint("background_matting_v2"), tmp_path / "fixed.onnx")
    with pytest.raises(BadFile, match=r"exported for pictures of \(1, 3, 128, 128\), not \(1, 3, 64, 64\)"):
        background_matting.load(fixed).mattes(views(1, 64), views(1, 64))
    fixed.write_bytes(fixed.read_bytes()[:1000])
    with pytest.raises(BadFile, match="is no ONNX network"):
        background_matting.load(fixed)


def test_without_the_package_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "modnet.ckpt"
    path.write_bytes(b"\x08\x07")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(AssetMissing, match=r"modnet\.ckpt is not installed; pip install 'onnxruntime"):
        modnet.load(path)
