"""Projection kernels and tile lists against plain torch; boxes against the definition of what counts."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import Int
from torch import Tensor

from headcast.rendering.projection import MIN_ALPHA, Projection, Tiles, project
from headcast.rendering.splat_warp import _Project, depth_order, list_tiles
from tests.rendering.scenes import HEIGHT, WIDTH, Scene, cloud


def projected(scene: Scene) -> Projection:
    return project(*scene[:4], *scene[5:])


def test_kernel_agrees_with_torch_in_values_and_gradients() -> None:
    twins = []
    for function in (project, _Project.apply):
        scene = cloud(count=300, seed=3).to(torch.float32)
        with torch.no_grad():
            scene.means[:60] *= 12
        result = Projection(*function(*scene[:4], *scene[5:]))
        shown = result.radius[:, 0] >= 0
        generator = torch.Generator().manual_seed(0)
        weights = [torch.randn(part.shape, generator=generator) for part in result[:3]]
        sum((part[shown] * weight[shown]).sum() for part, weight in zip(result, weights)).backward()
        twins.append((shown, result, [tensor.grad for tensor in scene[:3]]))
    (shown, slow, want), (also, fast, got) = twins
    assert torch.equal(shown, also) and 20 < shown.sum() < 300
    for a, b in zip(slow, fast, strict=True):
        torch.testing.assert_close(a[shown], b[shown], rtol=1e-3, atol=1e-3)
    for a, b in zip(want, got, strict=True):
        assert (a - b).norm() < 1e-3 * a.norm()


def test_center_is_the_pinhole_image_of_the_mean() -> None:
    scene = cloud()
    local = scene.means @ scene.world_to_camera[:3, :3].T + scene.world_to_camera[:3, 3]
    pixels = local @ scene.K.T
    torch.testing.assert_close(projected(scene).xy, pixels[:, :2] / pixels[:, 2:])


def test_box_is_where_alpha_falls_to_the_threshold() -> None:
    result = projected(cloud())
    shown = result.radius[:, 0] >= 0
    xx, xy, yy = result.conic[shown].unbind(1)
    edge = result.radius[shown, 0]
    down = -xy * edge / yy  # the lowest exponent on the vertical line at the box's edge
    alpha = cloud().opacities[shown] * torch.exp(-0.5 * (xx * edge**2 + yy * down**2) - xy * edge * down)
    torch.testing.assert_close(alpha, torch.full_like(alpha, MIN_ALPHA))


def tile_boxes(projection: Projection, tile: int, width: int, height: int) -> tuple[Int[Tensor, "N 2"], Int[Tensor, "N 2"]]:
    """First tile column and row of each Gaussian's box, and the number of columns and rows (zero if culled)."""
    last = torch.tensor([-(-width // tile), -(-height // tile)], dtype=torch.int32, device=projection.xy.device)
    low = ((projection.xy - projection.radius) / tile).floor().clamp(-1e6, 1e6).int()
    high = ((projection.xy + projection.radius) / tile).floor().clamp(-1e6, 1e6).int() + 1
    low, high = torch.minimum(low.clamp_min(0), last), torch.minimum(high.clamp_min(0), last)
    return low, torch.where(projection.radius >= 0, high - low, torch.zeros_like(low))


def bin_tiles(projection: Projection, tile: int, width: int, height: int) -> Tiles:
    """List for each tile the Gaussians whose box meets it, near ones first; ties keep the order of the input."""
    low, count = tile_boxes(projection, tile, width, height)
    columns, total = -(-width // tile), (-(-width // tile)) * (-(-height // tile))
    number = count[:, 0].long() * count[:, 1].long()
    start = torch.nn.functional.pad(number.cumsum(0), (1, 0))
    order = torch.argsort(projection.depth, stable=True)
    ids = torch.repeat_interleave(order, number[order])
    first = torch.repeat_interleave((number[order].cumsum(0) - number[order]), number[order])
    within = torch.arange(len(ids), device=ids.device) - first
    across = count[ids, 0].long().clamp_min(1)
    index = (low[ids, 1].long() + within // across) * columns + low[ids, 0].long() + within % across
    index, permutation = torch.sort(index, stable=True)
    offset = torch.searchsorted(index, torch.arange(total + 1, device=index.device))
    slot = (start[ids] + within)[permutation]
    return Tiles(offset.int(), ids[permutation].int(), slot.int(), start.int())


@pytest.mark.parametrize("tile", [4, 16])
def test_tile_lists_are_complete_sorted_and_alike(tile: int) -> None:
    result = Projection(*(tensor.float() for tensor in projected(cloud())))
    lists, twin = bin_tiles(result, tile, WIDTH, HEIGHT), list_tiles(result, tile, WIDTH, HEIGHT)
    for name in lists._fields:
        assert torch.equal(getattr(lists, name), getattr(twin, name)), name
    assert torch.equal(lists.slot.sort().values, torch.arange(len(lists.slot), dtype=torch.int32))
    columns = -(-WIDTH // tile)
    for t in range(len(lists.offset) - 1):
        ids = lists.ids[lists.offset[t] : lists.offset[t + 1]].long()
        corner = torch.tensor([t % columns, t // columns]) * tile
        meets = (result.xy + result.radius >= corner) & (result.xy - result.radius < corner + tile)
        expected = torch.nonzero(meets.all(1) & (result.radius[:, 0] >= 0))[:, 0]
        assert torch.equal(ids.sort().values, expected)
        assert (result.depth[ids].diff() >= 0).all()


def test_depth_order_is_stable() -> None:
    depth = torch.tensor([2.0, 0.5, 2.0, 0.5, 1.0, 2.0])
    assert depth_order(depth).tolist() == [1, 3, 4, 0, 2, 5]


def test_projection_passes_gradcheck() -> None:
    scene = cloud(count=6).to(torch.float64)

    def projected_parts(
        means: torch.Tensor, quats: torch.Tensor, scales: torch.Tensor, view: torch.Tensor, K: torch.Tensor
    ) -> tuple:
        found = project(means, quats, scales, scene.opacities, view, K, WIDTH, HEIGHT)
        return found[0], found[1], found[2]

    inputs = (scene.means, scene.quats, scene.scales, scene.world_to_camera, scene.K)
    assert torch.autograd.gradcheck(projected_parts, [tensor.clone().requires_grad_() for tensor in inputs], atol=1e-5)
