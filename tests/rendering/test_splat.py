"""Warp's splatting against its slow twin in float64: values and every gradient; edge cases; determinism."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from headcast.errors import ConfigError, HeadcastError
from headcast.rendering.splat import BACKENDS, Gaussians, Splatted, choose, concatenate, render
from tests.rendering.scenes import HEIGHT, WIDTH, Scene, cloud

NAMES = ("means", "quats", "scales", "opacities", "features")


def run(scene: Scene, backend: str, dtype: torch.dtype) -> tuple[Splatted, list[Tensor]]:
    """Render over a background and pull random weights on image, alpha and depth back to the Gaussians."""
    scene = scene.to(dtype)
    background = torch.linspace(-1, 1, scene.features.shape[1]).to(dtype).requires_grad_()
    splatted = render(*scene, background, backend=backend)
    generator = torch.Generator().manual_seed(7)
    loss = torch.zeros((), dtype=dtype)
    for picture in (splatted.image, splatted.alpha, splatted.depth):
        loss = loss + (picture * torch.randn(picture.shape, generator=generator, dtype=torch.float64).to(dtype)).sum()
    loss.backward()
    return splatted, [tensor.grad.double() for tensor in (*scene[:5], background)]


def assert_twins(scene: Scene) -> None:
    slow, expected = run(scene, "reference", torch.float64)
    fast, gradients = run(scene, "warp", torch.float32)
    for name in ("image", "alpha", "depth"):
        difference = (getattr(slow, name) - getattr(fast, name)).abs()
        assert difference.max() < 1e-3 and difference.mean() < 1e-5, name
    for name, want, got in zip((*NAMES, "background"), expected, gradients, strict=True):
        if name == "quats":
            unit = torch.nn.functional.normalize(scene.quats, dim=1)
            want, got = (g - unit * (unit * g).sum(1, keepdim=True) for g in (want, got))
        assert (want - got).norm() <= 2e-3 * want.norm() + 1e-6, name


@pytest.mark.parametrize(("channels", "seed"), [(1, 0), (3, 1), (8, 2), (35, 3)])
def test_twins_agree_for_any_channel_count(channels: int, seed: int) -> None:
    assert_twins(cloud(channels=channels, seed=seed))


def test_twins_agree_on_needles_and_discs() -> None:
    scene = cloud(seed=4)
    scene.scales[:, 0] = 1e-5
    scene.scales[:, 1] = 0.02
    scene.scales[::2, 2] = 1e-5
    assert_twins(scene)


def test_twins_agree_when_opaque_layers_stop_pixels_early() -> None:
    scene = cloud(count=400, seed=5, spread=0.02)
    scene.opacities[:] = torch.where(torch.arange(400) % 2 == 0, 1.0, 0.6)
    splatted, _ = run(scene, "warp", torch.float32)
    assert splatted.alpha.max() > 0.999
    assert_twins(scene)


def test_twins_agree_where_gaussians_are_behind_near_beside_and_faint() -> None:
    scene = cloud(count=200, seed=6)
    camera_frame = torch.randn(100, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * torch.tensor(
        [0.2, 0.2, 0.05]
    )
    world_from_camera = torch.linalg.inv(scene.world_to_camera)
    scene.means[:100] = camera_frame @ world_from_camera[:3, :3].T + world_from_camera[:3, 3]
    scene.opacities[100:120] = 1 / 300
    assert_twins(scene)
    _, gradients = run(scene, "warp", torch.float32)
    behind = camera_frame[:, 2] <= 0.01
    assert behind.any() and all((g[:100][behind] == 0).all() and (g[100:120] == 0).all() for g in gradients[:5])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_agrees_with_the_cpu() -> None:
    pictures = []
    for device in ("cpu", "cuda"):
        scene = cloud(channels=6).to(torch.float32)
        gaussians = [tensor.detach().to(device).requires_grad_() for tensor in scene[:5]]
        splatted = render(*gaussians, *scene[5:], backend="warp")
        splatted.image.square().sum().backward()
        pictures.append([splatted.image.cpu(), splatted.depth.cpu(), *(tensor.grad.cpu() for tensor in gaussians)])
    for cpu, cuda in zip(*pictures, strict=True):
        assert (cpu - cuda).norm() < 1e-3 * cpu.norm()


def test_one_gaussian_has_the_textbook_profile() -> None:
    """Isotropic, on the axis of pixel (4, 6): alpha = o exp(-d² / (2 (f² s² / z² + 0.3)))."""
    K = torch.tensor([[100.0, 0, 4.5], [0, 100, 6.5], [0, 0, 1]])
    arguments = (torch.tensor([[0.0, 0, 2]]), torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), 0.04), torch.tensor([0.8]))
    splatted = render(*arguments, torch.tensor([[2.0]]), torch.eye(4), K, 16, 12, torch.tensor([0.5]), backend="warp")
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(16.0), indexing="ij")
    expected = 0.8 * torch.exp(-((x - 4) ** 2 + (y - 6) ** 2) / (2 * (2**2 + 0.3)))
    expected = torch.where(expected < 1 / 255, 0, expected)
    torch.testing.assert_close(splatted.alpha, expected)
    torch.testing.assert_close(splatted.image[..., 0], 2 * expected + 0.5 * (1 - expected))
    torch.testing.assert_close(splatted.depth, torch.where(expected > 0, 2.0, 0.0))


def test_same_bits_for_any_number_of_threads() -> None:
    threads = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2, 3, 2):
            torch.set_num_threads(number)
            splatted, gradients = run(cloud(count=300), "warp", torch.float32)
            results.append([splatted.image, splatted.alpha, splatted.depth, *gradients])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("backend", ["warp", "reference"])
@pytest.mark.parametrize(
    "scene", [cloud(count=0), cloud()._replace(means=cloud().means - torch.tensor([0, 0, 9.0]))], ids=["none", "culled"]
)
def test_nothing_to_see_is_background_with_zero_gradients(backend: str, scene: Scene) -> None:
    splatted, gradients = run(scene, backend, torch.float32)
    torch.testing.assert_close(splatted.image, torch.linspace(-1, 1, 5).expand(HEIGHT, WIDTH, 5))
    assert (splatted.alpha == 0).all() and (splatted.depth == 0).all() and not splatted.info.visible.any()
    assert all((gradient == 0).all() for gradient in gradients[:5])


def test_reference_passes_gradcheck() -> None:
    scene = cloud(count=4, channels=2, spread=0.01)
    K = scene.K * torch.tensor([[0.15], [0.15], [1]])

    def pictures(*gaussians: Tensor) -> tuple[Tensor, ...]:
        splatted = render(*gaussians, scene.world_to_camera, K, 6, 5, backend="reference")
        return splatted.image, splatted.alpha

    assert torch.autograd.gradcheck(pictures, scene.to(torch.float64)[:5], atol=1e-4)


def test_camera_gradients_agree_with_the_reference() -> None:
    gradients = []
    for backend, dtype in (("reference", torch.float64), ("warp", torch.float32)):
        scene = cloud().to(dtype)
        pose, K = scene.world_to_camera.clone().requires_grad_(), scene.K.clone().requires_grad_()
        render(*scene[:5], pose, K, WIDTH, HEIGHT, backend=backend).image.square().sum().backward()
        gradients.append((pose.grad.double(), K.grad.double()))
    for want, got in zip(*gradients, strict=True):
        assert want.norm() > 0 and (want - got).norm() < 1e-3 * want.norm()


def test_background_may_be_an_image() -> None:
    scene = cloud(channels=3).to(torch.float32)
    picture = torch.rand(HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(0))
    over, bare = render(*scene, picture, backend="warp"), render(*scene, backend="warp")
    torch.testing.assert_close(over.image, bare.image + (1 - bare.alpha[..., None]) * picture)


def test_screen_gradients_are_available() -> None:
    splatted = render(*cloud().to(torch.float32), backend="warp")
    splatted.info.xy.retain_grad()
    splatted.image.sum().backward()
    assert splatted.info.xy.grad[splatted.info.visible].abs().sum() > 0
    assert (splatted.info.radius[splatted.info.visible] > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_values_that_are_not_finite_are_named(name: str) -> None:
    scene = cloud().to(torch.float32)
    broken = getattr(scene, name).detach().clone()
    broken.view(-1)[3] = math.nan
    with pytest.raises(HeadcastError, match=f"{name}: 1 values are not finite"):
        render(*scene._replace(**{name: broken}), backend="warp")


def test_shapes_that_disagree_are_named() -> None:
    scene = cloud().to(torch.float32)
    with pytest.raises(HeadcastError, match=r"opacities: has shape \(149,\), expected \(N\)"):
        render(*scene._replace(opacities=scene.opacities[1:]), backend="warp")
    with pytest.raises(HeadcastError, match="quats"):
        render(*scene._replace(quats=scene.quats[:, :3]), backend="warp")


def test_backends_are_a_closed_list() -> None:
    with pytest.raises(ConfigError, match="warp"):
        render(*cloud().to(torch.float32), backend="os")
    assert choose("auto", torch.device("cpu")) == "warp"
    assert set(BACKENDS) == {"warp", "gsplat", "inria", "reference"}


def test_gaussians_join_and_split() -> None:
    both = Gaussians(*cloud(count=7)[:5])
    joined = concatenate([both.select(slice(0, 3)), both.select(torch.arange(7) >= 3)])
    assert len(joined) == 7 and all(torch.equal(a, b) for a, b in zip(joined, both, strict=True))
    with pytest.raises(HeadcastError, match="features"):
        concatenate([both, replace(both, features=both.features[:, :2])])
