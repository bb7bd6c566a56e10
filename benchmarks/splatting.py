"""Time the splatting backends on a head-sized cloud: ``python -m benchmarks.splatting [--size 512] [--backends warp gsplat]``.

Forward alone, and forward with all gradients, as a user calls them and as a CUDA graph replays them (warp): medians of 30 runs
after a warm-up, in ms. On a CPU the counts are smaller.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import product

import torch
from torch import Tensor

from headcast.rendering.splat import render
from headcast.rendering.splat_cuda import fixed_room

RUNS = 30
COUNTS = {"cuda": (100_000, 300_000), "cpu": (16_000,)}
CHANNELS = (8, 32)


def head(count: int, channels: int, device: str) -> list[Tensor]:
    """Discs on an ellipsoid of a head's size, as wide as their spacing, 1 m before the camera."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    means = directions * torch.tensor([0.08, 0.11, 0.10]) * (1 + 0.1 * torch.rand(count, 1, generator=generator))
    spread = torch.exp(0.4 * torch.randn(count, 3, generator=generator)) * 1.2e-3 * (1e5 / count) ** 0.5
    opacities = 0.15 + 0.8 * torch.rand(count, generator=generator)
    tensors = (
        means,
        torch.randn(count, 4, generator=generator),
        spread * torch.tensor([1, 1, 0.3]),
        opacities,
        torch.rand(count, channels, generator=generator),
    )
    return [tensor.to(device).requires_grad_() for tensor in tensors]


def median_ms(work: Callable[[], object], device: str) -> float:
    """The median time of ``work`` (ms), with the device's own clock where there is one."""
    for _ in range(3):
        work()
    times = []
    for _ in range(RUNS):
        if device == "cuda":
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            work()
            last.record()
            torch.cuda.synchronize()
            times.append(first.elapsed_time(last))
        else:
            began = time.perf_counter()
            work()
            times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def replayed(work: Callable[[], object], room: int = 0) -> Callable[[], object]:
    """``work`` as a CUDA graph with room for so many tile entries."""
    graph = torch.cuda.CUDAGraph()
    with fixed_room(room), torch.cuda.graph(graph):
        work()
    return graph.replay


def measure(tensors: list[Tensor], size: int, backend: str, device: str) -> list[float]:
    """Forward, forward and backward, and for warp on a GPU the latter as a CUDA graph (ms)."""
    pose = torch.eye(4, device=device)
    pose[2, 3] = 1.0
    K = torch.tensor([[3 * size, 0, size / 2], [0, 3 * size, size / 2], [0, 0, 1.0]], device=device)

    def forward() -> Tensor:
        picture = render(*tensors, pose, K, size, size, backend=backend)
        return picture.image.sum() + picture.alpha.sum()

    def both() -> None:
        for tensor in tensors:
            tensor.grad = None
        forward().backward()

    with torch.no_grad():
        times = [median_ms(forward, device)]
    times.append(median_ms(both, device))
    if device == "cuda" and backend == "warp":
        with fixed_room(0) as room:
            forward()
        assert room.needed is not None
        times.append(median_ms(replayed(both, 2 * int(room.needed)), device))
    return times


def main() -> None:
    """Print one line for each count, channel count and backend."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    installed = ["warp"] + (["gsplat"] if device == "cuda" and find_spec("gsplat") is not None else [])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--backends", nargs="+", default=installed)
    options = parser.parse_args()
    print(torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads", f"{options.size} px")
    print(f"{'gaussians':>10}{'channels':>10}{'backend':>10}{'forward':>10}{'both':>10}{'graph':>10}")
    for count, channels, backend in product(COUNTS[device], CHANNELS, options.backends):
        times = measure(head(count, channels, device), options.size, backend, device)
        print(f"{count:>10}{channels:>10}{backend:>10}" + "".join(f"{value:>10.2f}" for value in times), flush=True)


if __name__ == "__main__":
    main()
