"""From views, a fitted head and grown strands to a finished avatar."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from headcast.avatar.avatar import Avatar
from headcast.avatar.canonical import CanonicalHead
from headcast.avatar.dynamics import StrandDynamics
from headcast.avatar.gaussian_head import GaussianHead, HeadPose
from headcast.avatar.mesh_head import MeshHead
from headcast.avatar.strands import StrandHair
from headcast.avatar.super_resolution import SuperResolution
from headcast.training.gaussian_head import CLEARANCE, JointTrainee
from headcast.training.hair import stiff
from headcast.training.loop import Report, StateStore, generator, run_loop
from headcast.training.samples import Views
from headcast.training.schedule import Schedule
from headcast.training.seeding import seed_head
from headcast.training.together import ALONE, Together
from headcast.training.watching import Journal, watch, watched


def train_avatar(
    views: Views,
    canonical: CanonicalHead,
    mesh_head: MeshHead | None,
    hair: StrandHair | None,
    expression_names: Sequence[str],
    schedule: Schedule,
    *,
    gaussians: int,
    dynamics: StrandDynamics | None = None,
    device: torch.device | str = "cpu",
    store: StateStore | None = None,
    report: Report | None = None,
    journal: Journal | None = None,
    stop: Callable[[], bool] | None = None,
    save_every: int = 100,
    together: Together = ALONE,
) -> Avatar:
    """Train head and hair on the training views of all sequences and return the avatar (on ``device``).

    ``mesh_head`` adds seeds where the fitted head has no surface; ``hair`` is where the strands start (of ``schedule.detail``
    channels) and ``dynamics`` how they move along the track at first (``schedule.swing`` off: rigid with the skull, for good).
    Resumes from ``store``; ``journal`` is shown one held-out view whenever the state is saved; ``together`` shares the work among
    processes that all call this. Raises ``Diverged`` when the optimiser leaves the finite numbers for good, ``KeyboardInterrupt``
    with the state saved when ``stop()`` turns true.
    """
    held, views = watched(views, schedule.size), views.subset(views.training_indices())
    mesh = None
    if mesh_head is not None:
        neutral = mesh_head.neutral()
        mesh = neutral.vertices.cpu(), neutral.faces.cpu()
    random = generator(schedule.seed, "seeds")
    head = GaussianHead.from_seeds(seed_head(views, canonical, mesh, gaussians, random), canonical, random, schedule.detail)
    network = None
    if schedule.supres:
        network = SuperResolution(schedule.channels)
        network.reset(generator(schedule.seed, "super-resolution"))
    inside = None if hair is None else canonical.skull_distance()
    dynamics = (dynamics or stiff()) if schedule.swing else None
    trainee = JointTrainee(views, canonical, head, hair, dynamics, inside, schedule, device, network, together=together)
    asked = None if stop is None else lambda: together.agreed(stop())
    looking = watch(held, journal, trainee.drawn)
    run_loop(trainee, schedule.steps, store, report, stop=asked, watch=looking, save_every=save_every)
    return finished(trainee, views, expression_names)


@torch.no_grad()
def finished(trainee: JointTrainee, views: Views, expression_names: Sequence[str]) -> Avatar:
    """The avatar of a trained trainee, with the refined track of the frames it saw."""
    poses = [trainee.pose(frame) for frame in range(views.frames)]
    track = {}
    for number, sequence in enumerate(views.sequences):
        frames = torch.nonzero(views.sequence_of_frame == number)[:, 0]
        parts = {name: torch.stack([getattr(poses[f], name) for f in frames.tolist()]) for name in HeadPose._fields}
        track[sequence] = {**parts, "time": views.time[frames]}
    hair, inside = trainee.hair, trainee.inside
    dynamics = None if trainee.swinging is None else trainee.swinging.learned()
    if hair is not None and inside is not None:
        hair.free_points.copy_(inside.push_out(hair.free_points, CLEARANCE))
    avatar = Avatar(
        trainee.canonical, trainee.head, expression_names, hair, dynamics, inside, track, super_resolution=trainee.network
    )
    return avatar.to(trainee.device)
