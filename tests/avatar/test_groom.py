"""Strands on a ball with a scalp on top: wherever they come from, they end up rooted, whole and outside."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headcast.avatar.groom import (
    DEEPEST,
    FADE,
    Curves,
    cleared,
    resample_curves,
    rooted,
    scalp_faces,
    seated,
    strand_lengths,
)
from headcast.errors import CaptureError
from headcast.geometry.meshes import at_barycentric
from tests.ball import RADIUS, canonical_ball, tuft

BALL = canonical_ball()
HEAD = BALL.skull_distance()
MESH = BALL.vertices, BALL.faces, BALL.scalp


def wild(seed: int, count: int = 40, points: int = 10) -> torch.Tensor:
    """Random walks of up to 20 cm that start anywhere about the ball, many of them through it."""
    generator = torch.Generator().manual_seed(seed)
    start = 0.3 * (torch.rand(count, 1, 3, generator=generator) - 0.5)
    steps = 0.02 * torch.randn(count, points - 1, 3, generator=generator)
    return torch.cat((start, start + steps.cumsum(1)), dim=1)


def test_curves_of_any_number_of_points_become_even_ones() -> None:
    bow = np.array([[0.0, 0, 0], [0.01, 0, 0], [0.01, 0.03, 0]])
    stick = np.array([[1.0, 0, 0], [1.0, 0, 0.1]])
    strands = resample_curves(Curves(np.concatenate([bow, stick]), np.array([3, 2])), 5)
    assert strands.shape == (2, 5, 3)
    assert torch.allclose(strands[0, 1], torch.tensor([0.01, 0.0, 0.0]))
    assert torch.allclose(strands[:, [0, -1]], torch.tensor(np.stack([bow[[0, -1]], stick[[0, -1]]])).float())
    assert strand_lengths(strands).tolist() == pytest.approx([0.04, 0.1])


@settings(max_examples=20)
@given(st.lists(st.integers(2, 40), min_size=1, max_size=9), st.integers(4, 64), st.integers(0, 99))
def test_points_lie_at_equal_arc_length_on_the_curve(counts: list[int], wanted: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    curves = [np.cumsum(random.normal(size=(count, 3)), axis=0) for count in counts]
    strands = resample_curves(Curves(np.concatenate(curves), np.array(counts)), wanted)
    for curve, strand in zip(curves, strands.double().numpy(), strict=True):
        steps = np.linalg.norm(np.diff(curve, axis=0), axis=1)
        arc = np.concatenate([[0], np.cumsum(steps)])
        places = np.linspace(0, arc[-1], wanted)
        expected = np.stack([np.interp(places, arc, curve[:, axis]) for axis in range(3)], axis=1)
        assert np.allclose(strand, expected, atol=1e-5 * (1 + abs(curve).max()))


def test_many_curves_are_padded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.arange(2, 30)
    curves = Curves(np.random.default_rng(0).normal(size=(int(counts.sum()), 3)), counts)
    whole = resample_curves(curves, 7)
    monkeypatch.setattr("headcast.avatar.groom.PADDED_AT_ONCE", 5)
    assert torch.equal(resample_curves(curves, 7), whole)


def test_a_head_without_scalp_is_an_error() -> None:
    with pytest.raises(CaptureError, match="no scalp"):
        scalp_faces(BALL.faces, 0 * BALL.scalp)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.floats(0.001, 0.1), st.floats(0, 0.005))
def test_every_strand_is_rooted_and_none_is_inside_the_head(seed: int, reach: float, clearance: float) -> None:
    strands = wild(seed)
    found = rooted(strands, *MESH, reach)
    assert len(found.strands) == int(found.kept.sum())
    on_mesh = at_barycentric(BALL.vertices, BALL.faces, found.face, found.barycentric)
    assert torch.allclose(found.strands[:, 0], on_mesh, atol=1e-6)
    assert set(found.face.tolist()) <= set(scalp_faces(BALL.faces, BALL.scalp).tolist())
    assert bool(((strands[found.kept, 0] - on_mesh).norm(dim=-1) <= reach + 1e-5).all())
    outside, kept = cleared(found.strands, HEAD, clearance)
    assert len(outside) == int(kept.sum())
    assert torch.equal(outside[:, 0], found.strands[kept, 0])
    assert not len(outside) or float(HEAD(outside).min()) >= -DEEPEST
    far = strands[~found.kept]
    if len(far):
        corners = BALL.vertices[BALL.faces[scalp_faces(BALL.faces, BALL.scalp)]].flatten(0, 1)
        assert float(torch.cdist(far[:, 0], corners).min(dim=1).values.min()) > reach


def test_a_strand_that_fits_stays_as_it_is() -> None:
    strands = tuft().points.detach()
    found = rooted(strands, *MESH, 0.001)
    outside, kept = cleared(found.strands, HEAD, 0.0)
    assert len(outside) == len(found.strands) > 0.5 * len(strands)
    assert torch.allclose(outside, strands[found.kept][kept], atol=1e-3)


def test_what_follows_the_root_follows_it_less_and_less() -> None:
    strand = torch.tensor([0.0, RADIUS + 0.01, 0.0]) + torch.linspace(0, 2 * FADE, 21)[:, None] * torch.tensor([0.0, 1.0, 0.0])
    moved = rooted(strand[None], *MESH, 0.02).strands[0] - strand
    size = moved.norm(dim=-1)
    assert float(size[0]) == pytest.approx(0.01, abs=1e-3)
    assert float(size[5]) == pytest.approx(0.5 * float(size[0]), rel=1e-3)
    assert bool((size[10:] == 0).all())


def test_a_strand_that_no_push_frees_goes() -> None:
    strands = tuft().points.detach()
    strands[3, 0] *= 0.9
    _, kept = cleared(strands, HEAD, 0.0)
    assert torch.nonzero(~kept).flatten().tolist() == [3]


@settings(max_examples=10)
@given(st.tuples(*[st.floats(-2, 2)] * 3))
def test_strands_of_a_shifted_frame_find_the_scalp(shift: tuple[float, float, float]) -> None:
    """Roots all over the scalp, some in a beard."""
    strands = tuft().points.detach()
    beard = torch.tensor([[0.0, -0.06, 0.08]]) + 0.004 * torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    roots = rooted(strands, *MESH, 0.02).strands[:, 0]
    found = seated(torch.cat((roots, beard)) - torch.tensor(shift), *MESH)
    assert float((found - torch.tensor(shift)).norm()) < 0.015
