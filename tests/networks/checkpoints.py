"""The published checkpoints as lists of names and shapes, written down from their layers, not from our modules; random contents.

A layer list says ``name: shape`` of each weight; ``norm`` adds the five entries of a batch normalisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

import torch
from torch import Tensor

Shape = tuple[int, ...]


def norm(name: str, channels: int) -> Iterator[tuple[str, Shape]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def bottlenecks(name: str, inputs: int, width: int, count: int) -> Iterator[tuple[str, Shape]]:
    """A stage of ResNet-101."""
    for i in range(count):
        block, before = f"{name}.{i}", inputs if i == 0 else 4 * width
        for k, (shape, channels) in enumerate(
            (((width, before, 1, 1), width), ((width, width, 3, 3), width), ((4 * width, width, 1, 1), 4 * width)), start=1
        ):
            yield f"{block}.conv{k}.weight", shape
            yield from norm(f"{block}.bn{k}", channels)
        if i == 0:
            yield f"{block}.downsample.0.weight", (4 * width, before, 1, 1)
            yield from norm(f"{block}.downsample.1", 4 * width)


def resnet101(name: str, stem: int) -> Iterator[tuple[str, Shape]]:
    for k, (inputs, width, count) in enumerate(((stem, 64, 3), (256, 128, 4), (512, 256, 23), (1024, 512, 3)), start=1):
        yield from bottlenecks(f"{name}layer{k}", inputs, width, count)


def background_matting_v2() -> dict[str, Shape]:
    """``MattingRefine(backbone="resnet101")``."""
    found: list[tuple[str, Shape]] = [("backbone.conv1.weight", (64, 6, 7, 7)), *norm("backbone.bn1", 64)]
    found += resnet101("backbone.", 64)
    for i, size in ((0, 1), (1, 3), (2, 3), (3, 3)):
        found += [(f"aspp.convs.{i}.0.weight", (256, 2048, size, size)), *norm(f"aspp.convs.{i}.1", 256)]
    found += [("aspp.convs.4.1.weight", (256, 2048, 1, 1)), *norm("aspp.convs.4.2", 256)]
    found += [("aspp.project.0.weight", (256, 1280, 1, 1)), *norm("aspp.project.1", 256)]
    for k, (outputs, inputs) in enumerate(((128, 768), (64, 384), (48, 128)), start=1):
        found += [(f"decoder.conv{k}.weight", (outputs, inputs, 3, 3)), *norm(f"decoder.bn{k}", outputs)]
    found += [("decoder.conv4.weight", (37, 54, 3, 3)), ("decoder.conv4.bias", (37,))]
    for k, (outputs, inputs) in enumerate(((24, 42), (16, 24), (12, 22)), start=1):
        found += [(f"refiner.conv{k}.weight", (outputs, inputs, 3, 3)), *norm(f"refiner.bn{k}", outputs)]
    return dict([*found, ("refiner.conv4.weight", (4, 12, 3, 3)), ("refiner.conv4.bias", (4,))])


MOBILENET = (  # features.{i}: inputs, outputs; all but the first widen six times
    *((32, 16), (16, 24), (24, 24), (24, 32), (32, 32), (32, 32), (32, 64), (64, 64), (64, 64), (64, 64)),
    *((64, 96), (96, 96), (96, 96), (96, 160), (160, 160), (160, 160), (160, 320)),
)


def mobilenet(name: str) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.0.0.weight", (32, 3, 3, 3)
    yield from norm(f"{name}.0.1", 32)
    for i, (inputs, outputs) in enumerate(MOBILENET, start=1):
        inner = inputs if i == 1 else 6 * inputs
        widen = [] if i == 1 else [(inner, inputs, 1, 1)]
        for k, shape in enumerate([*widen, (inner, 1, 3, 3), (outputs, inner, 1, 1)]):
            yield f"{name}.{i}.conv.{3 * k}.weight", shape
            yield from norm(f"{name}.{i}.conv.{3 * k + 1}", shape[0])
    yield f"{name}.18.0.weight", (1280, 320, 1, 1)
    yield from norm(f"{name}.18.1", 1280)


MODNET = {  # inputs, outputs, size; the layers without a normalisation last
    "lr_branch.conv_lr16x": (1280, 96, 5),
    "lr_branch.conv_lr8x": (96, 32, 5),
    "hr_branch.tohr_enc2x": (16, 32, 1),
    "hr_branch.conv_enc2x": (35, 32, 3),
    "hr_branch.tohr_enc4x": (24, 32, 1),
    "hr_branch.conv_enc4x": (64, 64, 3),
    "hr_branch.conv_hr4x.0": (99, 64, 3),
    "hr_branch.conv_hr4x.1": (64, 64, 3),
    "hr_branch.conv_hr4x.2": (64, 32, 3),
    "hr_branch.conv_hr2x.0": (64, 64, 3),
    "hr_branch.conv_hr2x.1": (64, 32, 3),
    "hr_branch.conv_hr2x.2": (32, 32, 3),
    "hr_branch.conv_hr2x.3": (32, 32, 3),
    "hr_branch.conv_hr.0": (35, 32, 3),
    "f_branch.conv_lr4x": (32, 32, 5),
    "f_branch.conv_f2x": (64, 32, 3),
    "f_branch.conv_f.0": (35, 16, 3),
}
MODNET_PLAIN = {"lr_branch.conv_lr": (32, 1, 3), "hr_branch.conv_hr.1": (32, 1, 1), "f_branch.conv_f.1": (16, 1, 1)}


def modnet() -> dict[str, Shape]:
    """``nn.DataParallel(MODNet())``, whose backbone is saved twice."""
    found = [*mobilenet("backbone.model.features"), *mobilenet("lr_branch.backbone.model.features")]
    found += [("lr_branch.se_block.fc.0.weight", (320, 1280)), ("lr_branch.se_block.fc.2.weight", (1280, 320))]
    for name, (inputs, outputs, size) in {**MODNET, **MODNET_PLAIN}.items():
        found += [(f"{name}.layers.0.weight", (outputs, inputs, size, size)), (f"{name}.layers.0.bias", (outputs,))]
        found += norm(f"{name}.layers.1.bnorm", outputs // 2) if name in MODNET else []
    return {f"module.{name}": shape for name, shape in found}


CDGNET = {  # name: inputs, outputs, size of a convolution whose normalisation is the next part
    **{f"layer5.stages.{i}.1": (2048, 512, 1) for i in range(4)},
    "layer5.bottleneck.0": (4096, 512, 3),
    "edge_layer.conv1.0": (256, 256, 1),
    "edge_layer.conv2.0": (512, 256, 1),
    "edge_layer.conv3.0": (1024, 256, 1),
    "layer6.conv1.0": (512, 256, 1),
    "layer6.conv2.0": (256, 48, 3),
    "layer6.conv3.0": (304, 256, 3),
    "layer6.conv3.2": (256, 256, 1),
    "layer6.addCAM.0": (512, 256, 3),
    "layer7.0": (1024, 256, 3),
    "sq4.0": (1024, 256, 1),
    "sq5.0": (256, 256, 1),
    "f9.0": (515, 256, 1),
}
CDGNET_PLAIN = {
    "edge_layer.conv4": (2, 256, 3, 3),
    "edge_layer.conv5": (2, 6, 1, 1),
    "layer6.conv4": (20, 256, 1, 1),
    "layer7.3": (20, 256, 1, 1),
    "L": (20, 1024, 1, 1),
    **{f"hwAttention.conv_hwPred{k}.0": (20, 256, 3) for k in (1, 2)},
    **{f"hwAttention.conv_upDim{k}.0": (512, 256, 7) for k in (1, 2)},
}


def cdgnet() -> dict[str, Shape]:
    """``Res_Deeplab(num_classes=20)``, saved from a distributed run."""
    found: list[tuple[str, Shape]] = []
    for k, (outputs, inputs) in enumerate(((64, 3), (64, 64), (128, 64)), start=1):
        found += [(f"conv{k}.weight", (outputs, inputs, 3, 3)), *norm(f"bn{k}", outputs)]
    found += resnet101("", 128)
    for name, (inputs, outputs, size) in CDGNET.items():
        stem, _, index = name.rpartition(".")
        found += [(f"{name}.weight", (outputs, inputs, size, size)), *norm(f"{stem}.{int(index) + 1}.0", outputs)]
    for name, shape in CDGNET_PLAIN.items():
        found += [(f"{name}.weight", shape), (f"{name}.bias", shape[:1])]
    found += [("hwAttention.gamma", (1,)), ("hwAttention.beta", (1,))]
    for k in (1, 2):
        found += [(f"hwAttention.conv_hgt{k}.0.weight", (256, 512, 3)), *norm(f"hwAttention.conv_hgt{k}.1", 256)]
    found += [("hwAttention.cmbFea.0.weight", (512, 1536, 3, 3)), *norm("hwAttention.cmbFea.1", 512)]
    return {f"module.{name}": shape for name, shape in found}


def filled(spec: dict[str, Shape], seed: int = 0) -> dict[str, Tensor]:
    """Random weights that keep activations moderate: convolutions scaled by their inputs, residual branches small."""
    generator = torch.Generator().manual_seed(seed)
    made: dict[str, Tensor] = {}
    for name, shape in spec.items():
        twin = name.replace("lr_branch.backbone", "backbone")
        if twin in made:
            made[name] = made[twin]
        elif name.endswith("num_batches_tracked"):
            made[name] = torch.tensor(1)
        elif name.endswith("bn3.weight"):
            made[name] = 0.2 * torch.rand(shape, generator=generator)
        elif name.endswith(("running_var", "bn1.weight", "bn2.weight")):
            made[name] = 0.5 + torch.rand(shape, generator=generator)
        elif len(shape) < 2:
            made[name] = 0.3 * torch.randn(shape, generator=generator)
        else:
            made[name] = torch.randn(shape, generator=generator) * (2 / prod(shape[1:])) ** 0.5
    return made


SPECS: dict[str, Callable[[], dict[str, Shape]]] = {
    "background_matting_v2": background_matting_v2,
    "modnet": modnet,
    "cdgnet": cdgnet,
}
