"""The hair that training starts with, on a ball with a tuft: grown through its pictures, or taken from strands of any frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from headcast.avatar.groom import DEEPEST, Curves, Groom
from headcast.avatar.growth import GrowthSettings
from headcast.errors import CaptureError
from headcast.geometry.meshes import at_barycentric
from headcast.training.initial_hair import Placement, Start, adopted_hair, grown_hair, hair_color
from headcast.training.samples import Views
from tests.ball import canonical_ball, tuft

from .test_gaussian_head import views

__all__ = ["views"]
BALL = canonical_ball()
HEAD = BALL.skull_distance()
TUFT = tuft().points.detach().double().numpy()
PLACED = Placement(strands=60, points=8)


def curves(strands: np.ndarray = TUFT) -> Curves:
    return Curves(strands.reshape(-1, 3), np.full(len(strands), strands.shape[1]))


def check(groom: Groom) -> None:
    """Rooted, outside the head, whole."""
    roots = at_barycentric(BALL.vertices, BALL.faces, groom.face, groom.barycentric)
    assert torch.allclose(groom.roots, roots, atol=1e-6)
    assert bool((BALL.scalp[BALL.faces[groom.face]] > 0.5).all())
    assert float(HEAD(groom.points).min()) >= -DEEPEST
    assert bool(torch.isfinite(groom.points).all()) and groom.width > 0
    assert len(groom.color) == len(groom.points) == len(groom.face) == len(groom.barycentric)


@pytest.fixture(scope="module")
def grown(views: Views) -> Start:
    return grown_hair(views, BALL, GrowthSettings(strands=40, points=8, voxel=0.008, consensus=0.8))


def test_hair_is_grown_where_the_pictures_show_it(grown: Start, views: Views) -> None:
    check(grown.groom)
    assert grown.facts["strands"] == len(grown.groom.points) <= grown.facts["wanted"] == 40
    assert grown.facts["views"] == 4 and grown.facts["inside_head"] == 0
    assert torch.equal(grown.groom.color[0], hair_color(views))
    assert grown.groom.color[0, 1] > grown.groom.color[0, 0] + 0.1
    assert grown.surface is not None
    assert len(grown.surface.points) == grown.facts["surface_voxels"]
    assert torch.allclose(grown.surface.directions.norm(dim=-1), torch.ones(len(grown.surface.points)), atol=1e-4)
    assert float(grown.surface.points[:, 1].median()) > 0.09


def test_growing_again_gives_the_same(grown: Start, views: Views) -> None:
    again = grown_hair(views, BALL, GrowthSettings(strands=40, points=8, voxel=0.008, consensus=0.8))
    assert torch.equal(again.groom.points, grown.groom.points) and again.facts == grown.facts


def test_what_was_grown_can_be_taken_from_a_file(grown: Start, views: Views) -> None:
    again = adopted_hair(curves(grown.groom.points.double().numpy()), views, BALL, replace(PLACED, reach=1e-3))
    check(again.groom)
    assert len(again.groom.points) == len(grown.groom.points)
    moved = (again.groom.points - grown.groom.points).norm(dim=-1)  # points pushed out of the head are spaced evenly again
    assert float(moved.median()) < 2e-4 and float(moved.max()) < 3e-3
    assert again.surface is None


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda p: p, {}),
        (lambda p: 100 * p, {"scale": 0.01}),
        (lambda p: np.stack([p[..., 0], -p[..., 2], p[..., 1]], axis=-1), {"up": "z"}),
        (lambda p: p + np.array([0.3, 1.7, -0.2]), {"seat": True}),
        (
            lambda p: 10 * np.stack([p[..., 0], -p[..., 2], p[..., 1]], axis=-1) + np.array([3, 2, 17]),
            {"up": "z", "scale": 0.1, "seat": True},
        ),
    ],
)
def test_units_axes_and_frames_of_others_end_in_the_same_place(change, options: dict, views: Views) -> None:  # type: ignore[no-untyped-def]
    plain = adopted_hair(curves(), views, BALL, replace(PLACED, strands=100))
    start = adopted_hair(curves(change(TUFT)), views, BALL, replace(PLACED, strands=100, **options))
    check(start.groom)
    assert ("shift_m" in start.facts) == options.get("seat", False)
    assert abs(len(start.groom.points) - len(plain.groom.points)) <= (8 if options.get("seat") else 0)
    middles = [groom.points.flatten(0, 1).median(0).values for groom in (plain.groom, start.groom)]
    assert float((middles[0] - middles[1]).norm()) < (0.015 if options.get("seat") else 1e-5)


def test_of_too_many_strands_the_seed_chooses(views: Views) -> None:
    chosen = [adopted_hair(curves(), views, BALL, replace(PLACED, strands=20, seed=seed)).groom for seed in (0, 0, 1)]
    assert all(len(groom.points) == 20 for groom in chosen)
    assert torch.equal(chosen[0].points, chosen[1].points) and not torch.equal(chosen[0].points, chosen[2].points)


def test_stubble_and_what_grows_elsewhere_is_left_out_and_counted(views: Views) -> None:
    short, elsewhere = TUFT[:5, :1] + 0.1 * (TUFT[:5] - TUFT[:5, :1]), TUFT[:7] + np.array([0, -0.3, 0])
    start = adopted_hair(curves(np.concatenate([TUFT, short, elsewhere])), views, BALL, replace(PLACED, strands=200))
    alone = adopted_hair(curves(), views, BALL, replace(PLACED, strands=200))
    assert torch.equal(start.groom.points, alone.groom.points)
    assert start.facts["too_short"] == 5 and start.facts["read"] == len(TUFT) + 12
    assert start.facts["away_from_scalp"] == alone.facts["away_from_scalp"] + 7


def test_strands_through_the_head_go_around_it_or_go(views: Views) -> None:
    down = TUFT * np.array([1, -1, 1]) + np.array([0, 2 * 0.09, 0])
    start = adopted_hair(curves(down), views, BALL, PLACED)
    check(start.groom)
    assert start.facts["inside_head_before"] > 0.3 and start.facts["inside_head"] == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scale": 0.001}, "longer than 20 mm; check hair.file_scale"),
        ({"up": "z"}, "within 20 mm of the scalp; check hair.file_frame"),
    ],
)
def test_a_wrong_unit_or_frame_is_one_line_that_names_the_settings(options: dict, says: str, views: Views) -> None:
    with pytest.raises(CaptureError, match=says):
        adopted_hair(curves(), views, BALL, replace(PLACED, **options))
