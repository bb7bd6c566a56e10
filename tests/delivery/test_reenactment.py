"""Films of a small real avatar: a ball head with a few strands, driven by made-up performances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from headcast.avatar.avatar import Avatar
from headcast.avatar.canonical import CanonicalHead
from headcast.avatar.gaussian_head import GaussianHead, Seeds
from headcast.avatar.strands import StrandHair
from headcast.delivery.camera_paths import orbit_camera
from headcast.delivery.reenactment import beside, drive, film, head_center
from headcast.delivery.retarget import Track
from headcast.errors import HeadcastError

UNITS = ("lift", "drop")
PLACE = torch.tensor([0.3, -0.2, 0.1])


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    """A red ball of 10 cm at ``PLACE`` whose two units move it up and down by 5 cm, with twelve green strands standing on it."""
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.1)
    vertices = torch.tensor(np.asarray(ball.vertices), dtype=torch.float32)
    count = len(vertices)
    move = torch.zeros(2, count, 3)
    move[0, :, 1], move[1, :, 1] = 0.05, -0.05
    nothing = torch.zeros(count, dtype=torch.bool)
    canonical = CanonicalHead(
        vertices=vertices,
        faces=torch.tensor(np.asarray(ball.faces), dtype=torch.int64),
        expression_basis=move,
        head_weight=torch.ones(count),
        scalp=torch.ones(count),
        face=~nothing,
        mouth_interior=nothing,
        eyes=nothing,
        landmark_face=torch.arange(68),
        landmark_barycentric=torch.full((68, 3), 1 / 3),
        reference_rotation=torch.eye(3),
        reference_translation=PLACE,
    )
    seeds = Seeds(vertices, vertices / 0.1, torch.full((count,), 0.03), torch.tensor([[0.8, 0.1, 0.1]]).repeat(count, 1), ~nothing)
    head = GaussianHead.from_seeds(seeds, canonical, torch.Generator().manual_seed(0))
    roots = vertices[vertices[:, 1] > 0.08][:12]
    strands = roots[:, None] * torch.linspace(1.0, 1.8, 6)[None, :, None]
    return Avatar(canonical, head, UNITS, StrandHair(strands, torch.tensor([0.1, 0.8, 0.1]), width=0.004))


CAMERA = orbit_camera(PLACE.double().numpy(), 1.0, 0.0, 0.0, 48, field=0.6)


def performance(frames: int = 3, lift: float = 0.0, names: tuple[str, ...] = UNITS) -> Track:
    expression = torch.zeros(frames, len(names), dtype=torch.float64)
    expression[1:, 0] = lift
    return Track(names, expression, torch.zeros(frames, 3, dtype=torch.float64), torch.ones(frames, 3, dtype=torch.float64))


def height_of(frame: np.ndarray, channel: int) -> float:
    """The mean row of the pixels in which ``channel`` dominates."""
    others = np.delete(frame.astype(int), channel, axis=2).max(axis=2)
    return float(np.nonzero(frame[..., channel] > others + 40)[0].mean())


def times(frames: int) -> torch.Tensor:
    return torch.arange(frames) / 24.0


def test_a_performance_moves_the_avatar_from_its_own_place(avatar: Avatar) -> None:
    frames = list(film(avatar, drive(avatar, performance(lift=1.0)), CAMERA, times(3), hair=False))
    assert [frame.shape for frame in frames] == [(48, 48, 3)] * 3
    assert all(frame.dtype == np.uint8 for frame in frames)
    assert height_of(frames[0], 0) == pytest.approx(23.5, abs=1.0)
    assert height_of(frames[0], 0) - height_of(frames[1], 0) == pytest.approx(48 * 0.05 / 0.6, abs=1.0)


def test_units_are_matched_by_name_not_by_place(avatar: Avatar) -> None:
    swapped = drive(avatar, performance(lift=1.0, names=("drop", "lift")))
    frames = list(film(avatar, swapped, CAMERA, times(3), hair=False))
    assert height_of(frames[1], 0) - height_of(frames[0], 0) == pytest.approx(48 * 0.05 / 0.6, abs=1.0)


def test_hair_is_a_layer(avatar: Avatar) -> None:
    track = drive(avatar, performance(1))
    with_hair, without = (next(film(avatar, track, CAMERA, times(1), hair=hair)).astype(int) for hair in (True, False))
    assert height_of(with_hair, 1) < 16
    assert (without[..., 1] > without[..., 0] + 40).sum() == 0


def test_frames_are_rendered_when_asked_for(avatar: Avatar, monkeypatch: pytest.MonkeyPatch) -> None:
    filmed = []
    original = Avatar.drawn
    monkeypatch.setattr(Avatar, "drawn", lambda self, *a, **k: filmed.append(1) or original(self, *a, **k))
    frames = film(avatar, drive(avatar, performance(4)), CAMERA, times(4), hair=False)
    assert len(filmed) == 0
    next(frames)
    assert len(filmed) == 1


def test_a_camera_for_each_frame(avatar: Avatar) -> None:
    path = [orbit_camera(head_center(avatar), distance, 0.0, 0.0, 48, field=0.6 * distance) for distance in (1.0, 1.0)]
    path[1] = path[1].resize(24, 24)
    sizes = [frame.shape[0] for frame in film(avatar, drive(avatar, performance(2)), path, times(2), hair=False)]
    assert sizes == [48, 24]


def test_the_background_shows_where_the_head_is_not(avatar: Avatar) -> None:
    frame = next(film(avatar, drive(avatar, performance(1)), CAMERA, times(1), hair=False, background=1.0))
    assert (frame[0, 0] == 255).all()


@pytest.mark.parametrize(
    ("frames", "moments", "cameras", "wrong"),
    [
        (3, times(2), CAMERA, "a time and a camera"),
        (3, times(3), [CAMERA] * 2, "a time and a camera"),
        (2, torch.zeros(2), CAMERA, "ascend"),
    ],
)
def test_counts_and_times_are_checked(avatar: Avatar, frames: int, moments: torch.Tensor, cameras: object, wrong: str) -> None:
    with pytest.raises(HeadcastError, match=wrong):
        film(avatar, drive(avatar, performance(frames)), cameras, moments)


def test_a_track_of_another_model_must_be_retargeted_first(avatar: Avatar) -> None:
    with pytest.raises(HeadcastError, match="retarget"):
        film(avatar, performance(2, names=("drop", "lift")), CAMERA, times(2))


def test_pictures_beside_each_other() -> None:
    out = beside(np.full((4, 3, 3), 7, np.uint8), np.full((6, 2, 3), 9, np.uint8))
    assert out.shape == (6, 5, 3)
    assert out[5, 0, 0] == 0
    assert out[3, 0, 0] == 7
    assert out[5, 4, 0] == 9
