"""Adapters speak the interfaces of gsplat and diff-gaussian-rasterization: stand-ins check and honour what they are given."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from headcast.errors import AssetMissing, HeadcastError
from headcast.rendering import splat_gsplat, splat_inria, splat_reference
from headcast.rendering.splat import render
from tests.rendering.scenes import Scene, cloud


class OnCuda(Tensor):
    """A CPU tensor that says it lives on a GPU."""

    device = torch.device("cuda")  # type: ignore[assignment]


def pretending(scene: Scene) -> Scene:
    return scene._replace(means=scene.means.as_subclass(OnCuda))


def plain(*tensors: Tensor) -> list[Tensor]:
    return [tensor.as_subclass(Tensor) for tensor in tensors]


def rasterization(means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmats: Tensor, Ks: Tensor,
                  width: int, height: int, *, near_plane: float, eps2d: float, packed: bool, render_mode: str,
                  channel_chunk: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:  # fmt: skip
    """gsplat 1.5.3's function, drawn by our reference."""
    assert (near_plane, eps2d, packed, render_mode) == (0.01, 0.3, False, "RGB+D") and channel_chunk <= 32
    assert viewmats.shape == (1, 4, 4) and Ks.shape == (1, 3, 3)
    total, alpha, depth, info = splat_reference.splat(
        *plain(means, quats, scales, opacities, colors), viewmats[0], Ks[0], width, height
    )
    radii = info.radius.clamp_min(0).ceil().int()
    meta = {"means2d": info.xy[None], "radii": torch.stack([radii, radii], -1)[None]}
    return torch.cat([total, depth[..., None]], -1)[None], alpha[None, ..., None], meta


class Settings(NamedTuple):
    """The settings of diff-gaussian-rasterization."""

    image_height: int
    image_width: int
    tanfovx: float
    tanfovy: float
    bg: Tensor
    scale_modifier: float
    viewmatrix: Tensor
    projmatrix: Tensor
    sh_degree: int
    campos: Tensor
    prefiltered: bool
    debug: bool


class Rasterizer:
    """A rasterizer compiled for three channels, drawn by our reference from what its matrices say."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __call__(
        self, means3D: Tensor, means2D: Tensor, opacities: Tensor, scales: Tensor, rotations: Tensor, colors_precomp: Tensor
    ) -> Any:
        s = self.settings
        pose = s.viewmatrix.T
        clip = s.projmatrix.T @ torch.linalg.inv(pose)
        K = torch.eye(3)
        K[0, 0], K[1, 1] = s.image_width / (2 * s.tanfovx), s.image_height / (2 * s.tanfovy)
        K[0, 2], K[1, 2] = (clip[0, 2] + 1) * s.image_width / 2, (clip[1, 2] + 1) * s.image_height / 2
        assert torch.allclose(clip[0, 0], K[0, 0] * 2 / s.image_width) and torch.allclose(clip[1, 1], K[1, 1] * 2 / s.image_height)
        assert torch.allclose(s.campos @ pose[:3, :3].T + pose[:3, 3], torch.zeros(3), atol=1e-6)
        gaussians = plain(means3D, rotations, scales, opacities[:, 0], colors_precomp[:, :3])
        total, _, _, info = splat_reference.splat(*gaussians, pose, K, s.image_width, s.image_height)
        return total.movedim(-1, 0), info.radius.clamp_min(0).int()


@pytest.mark.parametrize("name", ["gsplat", "inria"])
def test_adapters_return_what_the_reference_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gsplat", SimpleNamespace(rasterization=rasterization))
    inria = SimpleNamespace(GaussianRasterizationSettings=Settings, GaussianRasterizer=Rasterizer)
    monkeypatch.setitem(sys.modules, "diff_gaussian_rasterization", inria)
    scene = cloud(count=60, channels=7).to(torch.float32)
    adapter = {"gsplat": splat_gsplat, "inria": splat_inria}[name]
    *pictures, info = adapter.splat(*pretending(scene))
    *expected, wanted = splat_reference.splat(*scene)
    for got, want in zip(pictures, expected, strict=True):
        torch.testing.assert_close(got.as_subclass(Tensor), want, atol=2e-5, rtol=1e-4)
    assert torch.equal(info.visible, wanted.visible)


@pytest.mark.parametrize("adapter", [splat_gsplat, splat_inria])
def test_what_is_missing_is_said(adapter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("gsplat", "diff_gaussian_rasterization"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(HeadcastError, match="CUDA"):
        adapter.splat(*cloud(count=2))
    with pytest.raises(AssetMissing, match="not installed"):
        adapter.splat(*pretending(cloud(count=2)))


@pytest.mark.skipif(not torch.cuda.is_available() or find_spec("gsplat") is None, reason="needs a GPU and gsplat")
def test_gsplat_and_warp_agree_on_a_gpu() -> None:
    """Values to 2 % at most and 0.1 % in the mean, gradients to 2 %; of quaternions what turns (the part across them)."""
    pictures = []
    for backend in ("gsplat", "warp"):
        scene = cloud(count=2000, channels=32, seed=3, spread=0.002).to(torch.float32)
        scene.opacities.data.clamp_(max=0.98)  # the caps of opacity differ
        tensors = [tensor.detach().cuda().requires_grad_() for tensor in scene[:5]]
        out = render(*tensors, scene.world_to_camera.cuda(), scene.K.cuda(), scene.width, scene.height, backend=backend)
        (out.image.square().mean() + out.alpha.mean()).backward()
        unit = torch.nn.functional.normalize(tensors[1].detach(), dim=1)
        gradients = [tensor.grad for tensor in tensors]
        gradients[1] = gradients[1] - unit * (unit * gradients[1]).sum(1, keepdim=True)
        pictures.append(([out.image, out.alpha, out.depth], gradients))
    for one, two in zip(*(values for values, _ in pictures), strict=True):
        assert (one - two).abs().max() < 0.02 and (one - two).abs().mean() < 1e-3
    for one, two in zip(*(gradients for _, gradients in pictures), strict=True):
        assert (one - two).norm() < 0.02 * two.norm()
