"""The kernels for CUDA compile without a GPU, by the compiler that comes with warp; what they compute needs one."""

from __future__ import annotations

from pathlib import Path

import pytest
import warp as wp

from headcast.rendering.splat_cuda_kernels import blending

ARCHITECTURE = 90


@pytest.mark.parametrize("channels", [8, 33])
def test_kernels_compile(channels: int, tmp_path: Path) -> None:
    wp.init()
    if ARCHITECTURE not in (wp.get_cuda_supported_archs() or []):
        pytest.skip("this warp was built without CUDA")
    for kernel in blending(channels):
        folder = tmp_path / kernel.key
        folder.mkdir()
        wp.compile_aot_module(kernel.module, arch=ARCHITECTURE, module_dir=str(folder))
        assert list(folder.glob("*.cubin")) or list(folder.glob("*.ptx"))
