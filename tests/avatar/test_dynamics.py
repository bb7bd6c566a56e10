"""Hair in motion: at rest it stays, with motion it lags, it keeps its length, at any frame rate."""

from __future__ import annotations

import math

import pytest
import torch

from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.dynamics import Pose, Simulation, StrandDynamics, search, simulate
from headcast.avatar.voxel_grid import VoxelGrid
from headcast.errors import CaptureError
from headcast.geometry.rotations import axis_angle_to_matrix


def groom(count: int = 6, points: int = 12) -> torch.Tensor:
    """Strands that hang 1–2 cm beside a sphere of 10 cm."""
    angle = torch.linspace(0, 2 * math.pi, count + 1)[:-1]
    around = torch.stack((angle.cos(), torch.zeros(count), angle.sin()), dim=-1)
    down = torch.linspace(0, 0.22, points)[:, None] * torch.tensor([0.0, -1.0, 0.0])
    return 0.115 * around[:, None] + down


def shake(frames: int, duration: float, degrees: float = 30.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    times = torch.linspace(0, duration, frames)
    yaw = math.radians(degrees) * torch.sin(2 * math.pi * times)
    rotations = axis_angle_to_matrix(torch.stack((0 * yaw, yaw, 0 * yaw), dim=-1))
    return rotations, torch.stack((0.02 * times, 0 * times, 0 * times), dim=-1), times


def sphere() -> SignedDistanceGrid:
    grid = VoxelGrid.around(torch.full((3,), -0.15), torch.full((3,), 0.15), 0.006)
    return SignedDistanceGrid((grid.centers().norm(dim=-1) - 0.1).reshape(grid.shape), grid.lower, 0.006)


def test_without_dynamics_hair_is_rigid() -> None:
    rotations, translations, times = shake(5, 1.0)
    points = simulate(groom(), rotations, translations, times, None)
    assert torch.allclose(points[3], groom() @ rotations[3].T + translations[3], atol=1e-6)


def test_a_still_head_keeps_its_groom() -> None:
    rotation = axis_angle_to_matrix(torch.tensor([0.3, 0.2, 0.1])).expand(20, 3, 3)
    points = simulate(groom(), rotation, torch.ones(20, 3), torch.arange(20) / 24, StrandDynamics(), sphere()).detach()
    assert float((points - points[0]).abs().max()) < 1e-5


def test_moving_hair_lags_keeps_its_length_and_its_roots() -> None:
    rotations, translations, times = shake(25, 1.0)
    moved = simulate(groom(), rotations, translations, times, StrandDynamics())
    rigid = simulate(groom(), rotations, translations, times, None)
    assert torch.allclose(moved[:, :, 0], rigid[:, :, 0], atol=1e-5)
    lengths = (moved[:, :, 1:] - moved[:, :, :-1]).norm(dim=-1)
    assert torch.allclose(lengths, torch.full_like(lengths, 0.02), atol=1e-5)
    lag = (moved - rigid).detach().norm(dim=-1).mean((0, 1))
    assert float(lag[-1]) > 2e-3 and float(lag[-1]) > 3 * float(lag[2])
    early = (moved[2] - moved[0])[:, -1].norm(dim=-1).mean() / (rigid[2] - rigid[0])[:, -1].norm(dim=-1).mean()
    assert float(early) < 0.9


def test_hair_comes_to_rest_after_the_motion() -> None:
    rotations, translations, times = shake(25, 1.0)
    still = 40
    rotations = torch.cat((rotations, rotations[-1:].expand(still, 3, 3)))
    translations = torch.cat((translations, translations[-1:].expand(still, 3)))
    times = torch.cat((times, times[-1] + torch.arange(1, still + 1) / 24))
    gap = simulate(groom(), rotations, translations, times, StrandDynamics())[-1] - groom() @ rotations[-1].T - translations[-1]
    assert float(gap.abs().max()) < 5e-4


def test_the_frame_rate_does_not_matter() -> None:
    slow, fast = shake(13, 0.5), shake(61, 0.5)
    one, other = (simulate(groom(), *track, StrandDynamics())[-1] for track in (slow, fast))
    rigid = simulate(groom(), *fast, None)[-1]
    assert float((one - other).norm(dim=-1).max()) < 0.25 * float((other - rigid).norm(dim=-1).max())


@pytest.mark.parametrize("stiffness", [1.0, 1e6])
@pytest.mark.parametrize("damping", [1e-3, 1e4])
def test_extreme_settings_stay_finite(stiffness: float, damping: float) -> None:
    rotations, translations, times = shake(9, 2.0, 90.0)
    with torch.no_grad():
        points = simulate(groom(), rotations, translations, times, StrandDynamics(stiffness, 1.0, damping), sphere())
    assert bool(torch.isfinite(points).all()) and float(points.abs().max()) < 1.0


def test_hair_stays_outside_the_head() -> None:
    """A turning head drags its soft hair through where the head is; the collision keeps it out."""
    rotations, translations, times = shake(13, 0.5, 60.0)
    nod = rotations.transpose(-1, -2).new_tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    rotations = nod @ rotations @ nod.T
    soft = StrandDynamics(stiffness=10.0, damping=0.5)
    free, held = (simulate(groom(12), rotations, translations, times, soft, head) for head in (None, sphere()))
    depths = [float(((p - translations[:, None, None]).norm(dim=-1) - 0.1).min()) for p in (free, held)]
    assert depths[0] < -0.004 and depths[1] > -0.002


def test_the_same_input_gives_the_same_bits_and_chunks_join() -> None:
    rotations, translations, times = shake(10, 0.5)
    whole = simulate(groom(), rotations, translations, times, StrandDynamics(), sphere())
    simulation = Simulation(groom(), StrandDynamics(), Pose(rotations[0], translations[0], float(times[0])), sphere())
    steps = [simulation.step(Pose(rotations[f], translations[f], float(times[f]))) for f in range(1, 10)]
    assert torch.equal(whole[1:], torch.stack(steps))


def test_parameters_are_learned_from_motion() -> None:
    rotations, translations, times = shake(13, 0.5)
    truth = simulate(groom(), rotations, translations, times, StrandDynamics(stiffness=200.0, damping=10.0)).detach()
    dynamics = StrandDynamics()
    optimizer = torch.optim.Adam(dynamics.parameters(), lr=0.1)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = (simulate(groom(), rotations, translations, times, dynamics) - truth).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_search_needs_no_gradient() -> None:
    target = StrandDynamics(stiffness=2400.0, damping=5.0).values()

    def score(dynamics: StrandDynamics) -> float:
        values = dynamics.values()
        return sum(abs(math.log(values[name] / target[name])) for name in ("stiffness", "damping"))

    best, lowest = search(score, StrandDynamics(), rounds=4, factor=4.0)
    assert lowest < 0.3 * score(StrandDynamics()) and score(best) == lowest


def test_time_must_not_run_backwards() -> None:
    rotations, translations, times = shake(3, 1.0)
    with pytest.raises(CaptureError, match="sort the frames"):
        simulate(groom(), rotations, translations, times.flip(0), StrandDynamics())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_replayed_on_a_gpu_it_moves_as_on_a_cpu() -> None:
    rotations, places, times = shake(13, 0.8)
    moved = {}
    for device in ("cpu", "cuda"):
        track = (tensor.to(device) for tensor in (groom(), rotations, places, times))
        with torch.no_grad():
            moved[device] = simulate(*track, StrandDynamics().to(device), sphere().to(device)).cpu()
    assert (moved["cuda"] - moved["cpu"]).abs().max() < 1e-5
    assert (moved["cpu"][6] - moved["cpu"][0]).abs().max() > 1e-2
