"""The one place that starts warp: quietly, on the device and the stream of the torch tensors involved."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
import warp as wp
from torch import Tensor


def _start() -> None:
    """Initialise warp; its native notice of a missing CUDA driver is kept off stderr, where users expect one-line errors."""
    wp.config.log_level = wp.LOG_ERROR
    if torch.cuda.is_available():
        wp.init()
        return
    sys.stderr.flush()
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        wp.init()
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


_start()


def as_array(tensor: Tensor, dtype: Any = None) -> Any:
    """Lend a tensor's memory to a kernel, without its history; rows become vectors when ``dtype`` is a vector type."""
    return wp.from_torch(tensor.detach().contiguous(), dtype=dtype, requires_grad=False)


def launch(kernel: Any, count: int, inputs: Sequence[Any], device: torch.device, block: int = 256) -> None:
    """Run ``kernel`` for ``count`` threads on the device; on CUDA in blocks of ``block``, in the stream that torch uses now."""
    if count <= 0:
        return
    if device.type == "cuda":
        stream = wp.stream_from_torch(torch.cuda.current_stream(device))
        wp.launch(kernel, dim=count, inputs=list(inputs), stream=stream, block_dim=block)
    else:
        wp.launch(kernel, dim=count, inputs=list(inputs), device="cpu")


@lru_cache(maxsize=1)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="warp")


def spread(kernel: Any, bounds: Sequence[int], inputs: Sequence[Any], device: torch.device) -> None:
    """Run ``kernel`` for the indices from ``bounds[0]`` up to ``bounds[-1]``; its first argument is the index of its first thread.

    Warp runs a launch on one core of a CPU, but without the interpreter's lock: there, each interval of ``bounds`` is a job
    for one of as many threads as torch uses. Threads of different intervals must not write to the same place.
    """
    if device.type == "cuda" or torch.get_num_threads() == 1:
        launch(kernel, bounds[-1] - bounds[0], [bounds[0], *inputs], device)
        return
    intervals = [(first, end - first) for first, end in pairwise(bounds) if end > first]
    wp.load_module(kernel.module, device="cpu")
    pool = _pool(torch.get_num_threads())
    for future in [pool.submit(launch, kernel, count, [first, *inputs], device) for first, count in intervals]:
        future.result()


def mesh_of(vertices: Tensor, faces: Tensor, winding: bool = False) -> wp.Mesh:
    """Build a bounding volume hierarchy over a triangle mesh (float32, on the device of ``vertices``)."""
    points = as_array(vertices.detach().float().clone(), wp.vec3)
    indices = as_array(faces.to(torch.int32).reshape(-1).clone())
    if vertices.device.type == "cuda":
        with wp.ScopedStream(wp.stream_from_torch(torch.cuda.current_stream(vertices.device))):
            return wp.Mesh(points=points, indices=indices, support_winding_number=winding)
    return wp.Mesh(points=points, indices=indices, support_winding_number=winding)
