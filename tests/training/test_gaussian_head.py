"""Joint training on a ball with a tuft: it learns what it sees, resumes exactly and never looks at held-out views."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from headcast.avatar.avatar import Avatar
from headcast.avatar.gaussian_head import GaussianHead
from headcast.avatar.super_resolution import SuperResolution
from headcast.geometry.rotations import axis_angle_to_matrix
from headcast.heads.model import HeadParameters
from headcast.training.avatar import train_avatar
from headcast.training.gaussian_head import JointTrainee
from headcast.training.hair import stiff, sway
from headcast.training.loop import MemoryStore
from headcast.training.samples import Views, composited
from headcast.training.schedule import LEAN_RATE, Schedule
from headcast.training.seeding import look, mesh_surface, seed_head
from headcast.training.together import ALONE, Together
from tests.ball import UNITS, ball_avatar, camera, canonical_ball, tuft

SIZE, FRAMES, CAMERAS, HELD_CAMERA, HELD_FRAME = 32, 3, 5, 2, 2
TURNS = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.25, 0.0], [0.1, -0.2, 0.0]])
CANONICAL = canonical_ball()


def truth() -> Avatar:
    """The ball with a dark right half, which no seed knows."""
    avatar = ball_avatar()
    avatar.dynamics = None
    with torch.no_grad():
        avatar.head.color[avatar.head.seed[:, 0] > 0] = torch.tensor([0.2, 0.3, 0.7])
    return avatar


def parameters() -> HeadParameters:
    zeros = {"head_pose": 3, "neck_pose": 3, "jaw_pose": 3, "eye_pose": 6, "translation": 3, "expression": 1}
    parts = {name: torch.zeros(FRAMES, size) for name, size in zeros.items()}
    return HeadParameters(identity=torch.zeros(1), scale=torch.tensor(1.0), rotation=TURNS, **parts)


@pytest.fixture(scope="module")
def views() -> Views:
    return filmed(SIZE)


@torch.no_grad()
def filmed(side: int) -> Views:
    avatar, stacks = (
        truth(),
        {name: [] for name in ("images", "mattes", "hair", "angle", "confidence", "camera", "frame", "world_to_camera")},
    )
    for frame, turn in enumerate(TURNS):
        for number, azimuth in enumerate(np.linspace(-0.8, 0.8, CAMERAS)):
            view = camera(azimuth, side)
            picture = avatar.film(avatar.pose(None, [*turn.tolist(), 0, 0, 0]), view)
            hair = picture.hair > 0.5
            angle = torch.remainder(torch.atan2(picture.orientation[..., 1], picture.orientation[..., 0]) / 2, torch.pi)
            values = (
                *(picture.image, picture.alpha, picture.hair),
                *(torch.where(hair, angle, torch.nan), hair.float(), number, frame, torch.tensor(view.world_to_camera)),
            )
            for stack, value in zip(stacks.values(), values, strict=True):
                stack.append(value)
    tensors = {name: torch.stack(stack) if isinstance(stack[0], Tensor) else torch.tensor(stack) for name, stack in stacks.items()}
    for name in ("images", "mattes", "hair"):
        tensors[name] = (tensors[name].clamp(0, 1) * 255).round().to(torch.uint8)
    count = CAMERAS * FRAMES
    return Views(
        **tensors,
        labels=np.zeros((count, side, side)),
        landmarks=np.full((count, 68, 2), np.nan),
        visible=np.ones((count, side, side), bool),
        K=np.stack([camera(size=side).K] * count),
        cameras=tuple("abcde"),
        sequences=("S",),
        sequence_of_frame=np.zeros(FRAMES, int),
        frame_in_sequence=np.arange(FRAMES),
        time=np.arange(FRAMES) / 10,
        held_out_camera=np.arange(CAMERAS) == HELD_CAMERA,
        held_out_frame=np.arange(FRAMES) == HELD_FRAME,
        parameters=parameters(),
    )


def train(views: Views, steps: int = 30, *, supres: bool = False, **options: object) -> Avatar:
    schedule = Schedule(steps=steps, size=views.size[0], move_every=5, supres=supres, channels=12)
    hair = tuft((0.5, 0.5, 0.5), detail=schedule.detail)
    return train_avatar(views, CANONICAL, None, hair, UNITS, schedule, gaussians=300, **options)


def trainee_of(
    views: Views, device: torch.device | str = "cpu", supres: bool = False, batch: int = 1, together: Together = ALONE
) -> JointTrainee:
    known = views.subset(views.training_indices())
    random = torch.Generator().manual_seed(0)
    schedule = Schedule(steps=30, size=views.size[0], views=batch, coarse=0.0, supres=supres, channels=12, half=False, lean=True)
    head = GaussianHead.from_seeds(seed_head(known, CANONICAL, None, 300, random), CANONICAL, random, schedule.detail)
    network = None
    if supres:
        network = SuperResolution(schedule.channels, width=16)
        network.reset(random)
    hair = tuft(detail=schedule.detail)
    return JointTrainee(known, CANONICAL, head, hair, stiff(), None, schedule, device, network, together=together)


@pytest.fixture(scope="module")
def trained(views: Views) -> Avatar:
    return train(views, 60)


def psnr(avatar: Avatar, views: Views, index: int) -> float:
    view = views.at(index)
    picture = avatar.film(
        avatar.pose(None, [*views.parameters.rotation[view.frame].tolist(), 0, 0, 0]),
        camera(np.linspace(-0.8, 0.8, CAMERAS)[view.camera], views.size[0]),
    )
    return float(-10 * torch.log10((picture.image - view.image).square().mean()))


def test_a_camera_that_was_never_seen_shows_the_truth(trained: Avatar, views: Views) -> None:
    held = torch.nonzero(views.held_out_camera[views.camera])[:, 0].tolist()
    with torch.no_grad():
        values = [psnr(trained, views, index) for index in held]
    assert min(values) > 22, values


def test_hair_becomes_green_and_the_head_does_not(trained: Avatar) -> None:
    green = trained.hair.color.mean(0)
    assert green[1] > green[0] + 0.1 and green[1] > green[2] + 0.1
    assert set(trained.track) == {"S"} and trained.track["S"]["rotation"].shape == (FRAMES, 3, 3)


def tensors(avatar: Avatar) -> dict[str, Tensor]:
    return avatar.pack()[1]


class Shown:
    """A journal in memory."""

    def __init__(self) -> None:
        self.pictures: dict[int, tuple[np.ndarray, np.ndarray, float]] = {}

    def picture(self, step: int, truth: np.ndarray, drawn: np.ndarray, psnr: float) -> None:
        self.pictures[step] = truth, drawn, psnr


@pytest.mark.parametrize("supres", [False, True])
def test_a_held_out_view_is_shown_as_it_becomes_better_and_that_changes_nothing(supres: bool) -> None:
    views, shown = filmed(2 * SIZE), Shown()
    watched_over = train(views, supres=supres, journal=shown, save_every=10)
    alone = train(views, supres=supres)
    assert all(torch.equal(tensor, alone.head.state_dict()[name]) for name, tensor in watched_over.head.state_dict().items())
    assert list(shown.pictures) == [10, 20, 30]
    psnr = [value for _, _, value in shown.pictures.values()]
    assert psnr[-1] > psnr[0]
    truth, drawn, last = shown.pictures[30]
    assert truth.shape == drawn.shape == (2 * SIZE, 2 * SIZE, 3)
    assert last == pytest.approx(-10 * np.log10(((truth - drawn) ** 2).mean()), abs=0.01)
    held = [views.at(index) for index in range(len(views)) if bool(views.held_out_camera[views.camera[index]])]
    seen = [view for view in held if not bool(views.held_out_frame[view.frame])]
    assert any(np.abs(view.image.numpy() * view.matte.numpy()[..., None] - truth).max() < 0.01 for view in seen)


def test_held_out_views_change_nothing(views: Views) -> None:
    spoiled = {name: getattr(views, name).clone() for name in ("images", "mattes", "hair")}
    for values in spoiled.values():
        values[~views.is_training()] = 77
    one, two = tensors(train(views, 6)), tensors(train(replace(views, _orders={}, **spoiled), 6))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_stopped_run_goes_on_to_the_same_bits(views: Views) -> None:
    whole, store, calls = tensors(train(views, 12)), MemoryStore(), iter([False] * 7 + [True])
    with pytest.raises(KeyboardInterrupt):
        train(views, 12, store=store, stop=lambda: next(calls))
    assert store.state is not None and store.state["index"] == 7
    resumed = tensors(train(views, 12, store=store))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_composites_are_black_outside_the_matte(views: Views) -> None:
    grey = replace(views, _orders={}, images=torch.full_like(views.images, 200))
    assert torch.equal(composited(grey).images[..., 0] == 0, (200 * views.mattes.float() / 255).round() == 0)


def test_seeds_lie_on_the_head_and_carry_its_colours(views: Views) -> None:
    seeds = seed_head(views, CANONICAL, None, 500, torch.Generator().manual_seed(0))
    assert (seeds.points.norm(dim=-1) - 0.1).abs().max() < 2e-3
    front = seeds.points[:, 2] > 0.06
    left = seeds.points[:, 0]
    assert seeds.colors[front & (left > 0.02)][:, 2].mean() > 0.5 > seeds.colors[front & (left < -0.02)][:, 2].mean()
    area = seeds.points[:, 2] < -0.06
    assert front.sum() > 4 * area.sum()


def test_a_point_no_camera_faces_is_not_sighted(views: Views) -> None:
    points = torch.tensor([[0.0, 0.0, 0.1], [0.0, 0.0, -0.1]])
    sight = look(views, CANONICAL, points, points / 0.1)
    assert sight.weight[0] > 0.3 and sight.weight[1] == 0


def test_the_rim_does_not_take_the_colour_of_what_is_behind_it(views: Views) -> None:
    white = replace(views, _orders={}, images=torch.where(views.mattes[..., None] < 128, 255, views.images))
    normals = torch.nn.functional.normalize(torch.randn(400, 3, generator=torch.Generator().manual_seed(4)), dim=-1)
    plain, before_white = (look(some, CANONICAL, normals * 0.12, normals) for some in (views, white))  # 2 cm off the ball
    rim = (plain.weight > 0.1) & (plain.weight < 0.3)
    assert rim.sum() > 20 and (plain.color - before_white.color).abs()[rim].mean() < 0.02


def test_what_no_camera_faces_looks_like_its_neighbours_and_is_not_trained(views: Views) -> None:
    seeds = seed_head(views, CANONICAL, None, 500, torch.Generator().manual_seed(0))
    back = seeds.points[:, 2] < -0.06
    assert seeds.seen[seeds.points[:, 2] > 0.06].all() and not seeds.seen[back].any()
    bust, edge = seeds.points[:, 1] < -0.07, seeds.points[:, 2].abs() < 0.04
    assert seeds.seen[~bust & edge].float().mean() > seeds.seen[bust & edge].float().mean(), "a head learns from less than a bust"
    left = seeds.points[:, 0]
    assert seeds.colors[back & (left > 0.02)][:, 2].mean() > 0.5 > seeds.colors[back & (left < -0.02)][:, 2].mean()
    trained = train(views, 10).head
    assert not trained.color_sh[~trained.seen].any() and not trained.offset[~trained.seen].any()
    assert trained.color_sh[trained.seen].any()


def test_what_was_not_filmed_is_no_sight(views: Views) -> None:
    points = torch.tensor([[0.0, 0.0, 0.1]])
    blind = replace(views, _orders={}, visible=torch.zeros_like(views.visible))
    assert look(blind, CANONICAL, points, points / 0.1).weight[0] == 0


def test_a_garment_goes_on_beyond_the_pictures_as_it_is_at_their_edge(views: Views) -> None:
    high = replace(views, _orders={}, visible=views.visible & (torch.arange(SIZE) < SIZE / 2)[:, None])
    rows, columns = torch.meshgrid(torch.linspace(0.08, -0.12, 41), torch.linspace(-0.05, 0.05, 21), indexing="ij")
    apron = torch.stack((columns, rows, torch.full_like(rows, 0.13)), dim=-1).reshape(-1, 3)
    corner = (torch.arange(40)[:, None] * 21 + torch.arange(20)).reshape(-1, 1)
    faces = torch.cat([corner + torch.tensor(three) for three in ([0, 21, 1], [1, 21, 22])])
    taken = mesh_surface(high, CANONICAL, apron, faces).density > 0
    height = apron[faces].mean(1)[:, 1]
    assert taken[(height > -0.04) & (height < 0.04)].all(), "the pictures end at zero"
    assert not taken[height < -0.09].any()
    turned = mesh_surface(high, CANONICAL, apron, faces.flip(1)).density > 0
    assert not turned.any(), "the back of what is seen is none of it"


def test_trained_poses_stay_about_the_fitted_ones(views: Views) -> None:
    trainee = trainee_of(views)
    with torch.no_grad():
        trainee.twist.copy_(torch.randn(FRAMES, 6, generator=torch.Generator().manual_seed(3)) * 0.01 + 0.05)
    twists = trainee.twists()
    assert twists.mean(0).abs().max() < 1e-7 and not twists[HELD_FRAME].any()
    pose = trainee.pose(HELD_FRAME)
    assert torch.allclose(pose.rotation, axis_angle_to_matrix(TURNS[HELD_FRAME]), atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("supres", [False, True])
def test_a_recorded_step_equals_one_that_is_not(supres: bool) -> None:
    views = filmed(64)
    recorded, plain = (trainee_of(views, "cuda", supres) for _ in range(2))
    for index in range(3):
        terms = recorded.step(index)
        level = plain.levels[plain.schedule.splatted]
        for parameter in (*plain.head.parameters(), plain.swinging.leaning.slopes):
            parameter.grad = None
        expected = plain._work(level, plain.sharp)(*plain._numbers(level, index, plain.sharp))
        assert all(abs(terms[name] - float(value)) < 1e-4 for name, value in expected.items())
        both = [(*trainee.head.parameters(), trainee.swinging.leaning.slopes) for trainee in (recorded, plain)]
        for one, two in zip(*both, strict=True):
            assert (one.grad - two.grad).norm() <= 1e-3 * two.grad.norm() + 1e-9


def test_super_resolution_sharpens_what_is_splatted() -> None:
    views = filmed(64)
    avatar = train(views, 60, supres=True)
    assert avatar.super_resolution is not None and avatar.super_resolution.channels == 12
    assert avatar.head.detail.abs().max() > 0 and avatar.hair is not None and avatar.hair.detail.abs().max() > 0
    held = [index for index in range(len(views)) if views.held_out_camera[views.camera[index]]]
    with_it = sum(psnr(avatar, views, index) for index in held)
    network = avatar.super_resolution
    network.reset(torch.Generator().manual_seed(0))
    assert with_it > sum(psnr(avatar, views, index) for index in held) + 0.2 * len(held), "better than enlarging alone"


def test_training_splats_with_warp_whatever_is_installed(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def choose(backend: str, device: torch.device) -> str:
        asked.append(backend)
        return "warp"

    monkeypatch.setattr("headcast.rendering.splat.choose", choose)
    trainee_of(views).step(0)
    assert asked == ["warp"], "only warp's kernels can be recorded"


def test_what_is_seen_says_how_hair_moves(views: Views) -> None:
    """The filmed hair is rigid with the ball: hair that starts loose and leaning becomes stiffer and stands up again."""
    trainee = trainee_of(views)
    motion = trainee.swinging
    with torch.no_grad():
        motion.dynamics.log_stiffness.fill_(math.log(300.0))
        motion.dynamics.log_damping.fill_(math.log(4.0))
        motion.leaning.slopes[:, :, 1, 0] = 0.03
    motion.learn(trainee.hair.points.detach(), trainee._misfit)
    assert motion.dynamics.values()["stiffness"] > 450
    before = motion.lag.clone()
    trainee.load_state_dict(trainee.state_dict())
    assert torch.equal(motion.lag, before)
    for index in range(8):
        trainee.step(index)
        trainee.optimisers[0].step()
        trainee.optimisers[0].zero_grad()
    assert motion.leaning.slopes[:, -1, 1, 0].mean() < 0.03 - 8 * LEAN_RATE / 2


def test_without_swing_hair_is_rigid(views: Views) -> None:
    avatar = train_avatar(views, CANONICAL, None, tuft(), UNITS, Schedule(3, SIZE, swing=False), gaussians=100)
    assert avatar.dynamics is None


def test_sway_is_nothing_at_the_start_and_without_dynamics(views: Views) -> None:
    points = tuft().points.detach()
    assert sway(views, points, None, None).abs().max() < 1e-6
    avatar = ball_avatar()
    moved = sway(views, points, avatar.dynamics, None)
    assert moved[0].abs().max() < 1e-6 and moved[1].abs().max() > 1e-3
    assert moved[:, :, 0].abs().max() < 1e-5
    assert axis_angle_to_matrix(TURNS).shape == (FRAMES, 3, 3)
