"""Where networks run, and pictures as they take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)


def best_device() -> torch.device:
    """The GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def place(network: Net, half: bool = False) -> Net:
    """The network on the GPU where there is one, there in half precision if asked for."""
    if not torch.cuda.is_available():
        return network
    return network.to("cuda", torch.float16 if half else torch.float32)


def batches(views: Sequence[tuple[int, str]], size: int, threads: int) -> list[tuple[list[tuple[int, str]]]]:
    """Jobs of up to ``size`` views for one network, which takes the threads of all; a CPU gains nothing from more than one view."""
    torch.set_num_threads(max(1, threads))
    step = size if torch.cuda.is_available() else 1
    return [(list(views[start : start + step]),) for start in range(0, len(views), step)]


def pictures(network: nn.Module, images: Sequence[UInt8[np.ndarray, "H W 3"]]) -> Float[Tensor, "B 3 H W"]:
    """Images of one size as a batch in [0, 1], on the device and in the precision of the network."""
    weight = next(network.parameters())
    stacked = torch.from_numpy(np.stack([np.ascontiguousarray(image) for image in images])).to(weight.device)
    return stacked.permute(0, 3, 1, 2).to(weight.dtype) / 255
