"""Children lie between guides that run alike, look like them, and train them."""

from __future__ import annotations

import torch

from headcast.avatar.children import between
from headcast.avatar.hairstyles import thinned
from headcast.avatar.strands import RGB, StrandHair


def two_locks(each: int = 12) -> torch.Tensor:
    """Two locks that start 8 mm apart and fall to different sides, ``each`` strands of 8 points in both."""
    random = torch.Generator().manual_seed(0)
    roots = 0.008 * torch.rand(2 * each, 3, generator=random) * torch.tensor([1.0, 0, 1])
    side = torch.repeat_interleave(torch.tensor([-1.0, 1.0]), each)[:, None, None]
    fall = torch.linspace(0, 0.1, 8)[:, None]
    return roots[:, None] + side * fall * torch.tensor([1.0, 0, 0]) + fall * torch.tensor([0.0, -1, 0])


def hair(each: int) -> StrandHair:
    points = two_locks()
    color = torch.rand(len(points), 3, generator=torch.Generator().manual_seed(1))
    return StrandHair(points, color, children=between(points, each, torch.Generator().manual_seed(2)))


def test_children_are_between_guides_of_one_lock() -> None:
    found = between(two_locks(), 5, torch.Generator().manual_seed(2))
    assert found.guide.shape == (120, 3) and torch.allclose(found.share.sum(1), torch.ones(120))
    assert ((found.guide < 12).all(1) | (found.guide >= 12).all(1)).all()
    points = found.with_guides(two_locks())
    assert points.shape == (144, 8, 3) and torch.equal(points[:24], two_locks())
    assert (points[24:] - points[found.guide[:, 0]]).norm(dim=-1).max() < 0.015
    assert (points[24:, :, 0].unique(dim=0).shape[0]) > 100


def test_a_strand_without_neighbours_has_itself() -> None:
    lonely = two_locks(1)
    found = between(lonely, 3, torch.Generator().manual_seed(0))
    assert torch.allclose(found.with_guides(lonely)[2:], lonely.repeat_interleave(3, dim=0), atol=1e-7)
    assert len(between(two_locks(), 0, torch.Generator()).guide) == 0


def test_they_are_rendered_after_the_guides_and_train_them() -> None:
    many, few = hair(4), hair(0)
    camera = torch.tensor([0.0, 0.0, 1.0])
    every, own = many.gaussians(many.points, camera), few.gaussians(few.points, camera)
    assert len(every.means) == 5 * len(own.means)
    for all_of_them, guides in zip(every, own, strict=True):
        assert torch.allclose(all_of_them[: len(guides)], guides, atol=1e-7)
    (every.features[len(own.means) :, RGB].sum() + every.means[len(own.means) :].sum()).backward()
    assert (many.color.grad.abs().sum(1) > 0).all() and (many.free_points.grad.abs().sum((1, 2)) > 0).all()


def test_the_state_and_thinner_hair_keep_them() -> None:
    many = hair(4)
    again = StrandHair.from_state(many.state_dict())
    assert torch.equal(again.gaussians(again.points).means, many.gaussians(many.points).means)
    half = thinned(many, 0.5)
    assert len(half.roots) == 12 and 0 < len(half.interpolated.guide) < 48
    assert int(half.interpolated.guide.max()) < 12
