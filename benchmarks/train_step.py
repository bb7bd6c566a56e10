"""Time a training step with super-resolution, part by part, beside the published recipe: ``python -m benchmarks.train_step``.

Pictures of 2048², Gaussians at 512² with 32 channels, L1, D-SSIM and a VGG-16 perceptual distance, forward with all gradients
and Adam. Ours sees a part of 512² a step, every part equally often, and is recorded as a CUDA graph. The floor of a part is what
its arithmetic takes at 720 bf16 TFLOP/s, or its inputs, outputs and gradients once at 4.2 TB/s, the longer of both. Needs a GPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.published_recipe import Perceptual, PublishedStep
from benchmarks.splatting import median_ms, replayed
from headcast.avatar.strands import StrandHair
from headcast.avatar.super_resolution import SuperResolution
from headcast.heads.model import HeadParameters
from headcast.rendering.splat import render
from headcast.rendering.splat_cuda import fixed_room
from headcast.training.gaussian_head import JointTrainee
from headcast.training.loop import MemoryStore, run_loop
from headcast.training.losses import dssim
from headcast.training.samples import Views
from headcast.training.schedule import Schedule
from headcast.training.sharpening import SharpWeights, sharp_terms
from tests.ball import camera, canonical_ball, gaussian_ball

COUNTS = (100_000, 300_000)
VIEWS = 8
FLOPS, BANDWIDTH = 720e12, 4.2e12


def filmed(size: int) -> Views:
    """Noise from all sides: what it shows does not change the time."""
    generator = torch.Generator().manual_seed(0)
    cameras = [camera(0.7 * number, size, str(number)) for number in range(VIEWS)]
    zeros = {"head_pose": 3, "neck_pose": 3, "jaw_pose": 3, "eye_pose": 6, "translation": 3, "expression": 1, "rotation": 3}
    plane = (VIEWS, size, size)
    return Views(
        images=torch.randint(0, 256, (*plane, 3), generator=generator, dtype=torch.uint8),
        mattes=torch.full(plane, 255),
        hair=torch.zeros(plane),
        labels=torch.zeros(plane),
        angle=torch.full(plane, torch.nan),
        confidence=torch.zeros(plane),
        landmarks=torch.full((VIEWS, 68, 2), torch.nan),
        visible=torch.ones(plane, dtype=torch.bool),
        K=torch.stack([torch.tensor(each.K) for each in cameras]),
        world_to_camera=torch.stack([torch.tensor(each.world_to_camera) for each in cameras]),
        camera=torch.arange(VIEWS),
        frame=torch.zeros(VIEWS),
        cameras=tuple(each.serial for each in cameras),
        sequences=("S",),
        sequence_of_frame=torch.zeros(1),
        frame_in_sequence=torch.zeros(1),
        time=torch.zeros(1),
        held_out_camera=torch.zeros(VIEWS),
        held_out_frame=torch.zeros(1),
        parameters=HeadParameters(
            identity=torch.zeros(1), scale=torch.tensor(1.0), **{name: torch.zeros(1, width) for name, width in zeros.items()}
        ),
    )


def hair_of(strands: int, points: int, detail: int) -> StrandHair:
    """Straight strands of 15 cm all over the upper half of the ball."""
    directions = torch.nn.functional.normalize(torch.randn(strands, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    directions[:, 1] = directions[:, 1].abs()
    reach = 0.1 + 0.15 * torch.linspace(0, 1, points)
    return StrandHair(directions[:, None] * reach[None, :, None], torch.tensor([0.2, 0.1, 0.05]), detail=detail)


def ours(count: int, views: Views, strands: int = 0) -> JointTrainee:
    """Our trainee on the ball, with the published supervision."""
    schedule = Schedule(
        steps=10**6, size=views.size[0], coarse=0.0, supres=True, move_first=1.0, sharp_weights=SharpWeights(gradient=0.0)
    )
    canonical, network = canonical_ball(), SuperResolution(schedule.channels)
    network.reset(torch.Generator().manual_seed(0))
    head = gaussian_ball(canonical, count)
    head.detail = nn.Parameter(torch.zeros(count, schedule.detail))
    hair, inside = (hair_of(strands, 32, schedule.detail), canonical.skull_distance()) if strands else (None, None)
    return JointTrainee(views, canonical, head, hair, None, inside, schedule, "cuda", network, Perceptual().to("cuda"))


def whole_ms(trainee: JointTrainee, steps: int = 60) -> float:
    """Mean time of a step of the training loop, all checks included, after a warm-up (ms)."""
    run_loop(trainee, 10, MemoryStore(), save_every=10**6)
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    marks: dict[int, torch.cuda.Event] = {20: first, 20 + steps: last}
    original = trainee.step

    def step(index: int) -> Any:
        if index in marks:
            marks[index].record()
        return original(index)

    trainee.step = step  # type: ignore[method-assign]
    run_loop(trainee, 21 + steps, MemoryStore(), save_every=10**6)
    torch.cuda.synchronize()
    return first.elapsed_time(last) / steps


def gradients(work: Callable[[], Tensor], inputs: Sequence[Tensor]) -> Callable[[], None]:
    """``work`` forward and backward, gradients of ``inputs`` made afresh."""

    def both() -> None:
        for tensor in inputs:
            tensor.grad = None
        work().backward()

    return both


def part_ms(work: Callable[[], Tensor], inputs: Sequence[Tensor], outputs: int) -> tuple[float, float]:
    """Time of a recorded part, forward and backward, and its floor (ms); ``outputs`` are the bytes it hands on."""
    both = gradients(work, inputs)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side), fixed_room(0) as room:
        for _ in range(3):
            both()
    torch.cuda.current_stream().wait_stream(side)
    with FlopCounterMode(display=False) as counter:
        both()
    moved = 3 * sum(tensor.nbytes for tensor in inputs) + 2 * outputs
    floor = max(counter.get_total_flops() / FLOPS, moved / BANDWIDTH) * 1000
    for tensor in inputs:
        tensor.grad = None
    return median_ms(replayed(both, 2 * int(room.needed) if room.needed is not None else 0), "cuda"), floor


def our_parts(trainee: JointTrainee) -> dict[str, tuple[float, float]]:
    """Every part of our step by itself: (ms, floor)."""
    views = trainee.levels[trainee.schedule.splatted]
    sharp, network, perceptual, side = trainee.sharp, trainee.network, trainee.perceptual, views.size[0]
    assert sharp is not None and network is not None and perceptual is not None
    with torch.no_grad():
        motion = trainee.motion(0)
    center = torch.tensor([0.0, 0.0, 1.0], device="cuda")
    own = [p for p in trainee.head.parameters() if p.numel()]
    with torch.no_grad():
        attributes = [tensor.clone() for tensor in trainee.head.gaussians(trainee.canonical, motion, center)]
    attributes[4] = torch.rand(len(attributes[0]), trainee.schedule.channels, device="cuda")
    for tensor in attributes:
        tensor.requires_grad_()
    view = views.at(torch.tensor(0, device="cuda"))
    planes = torch.rand(trainee.schedule.channels, side, side, device="cuda", requires_grad=True)
    truth, visible = sharp.part(0, 0, 0)
    drawn = torch.rand_like(truth).requires_grad_()

    def heads() -> Tensor:
        return torch.stack([tensor.sum() for tensor in trainee.head.gaussians(trainee.canonical, motion, center)]).sum()

    def splatted() -> Tensor:
        return render(*attributes, view.world_to_camera, view.K, side, side, backend="warp").image.sum()

    def enlarged() -> Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            return network.tile(planes, 0, 0, sharp.side).sum()

    def judged() -> Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            return perceptual(drawn, truth)

    def compared() -> Tensor:
        return torch.stack(list(sharp_terms(drawn, truth, visible, trainee.schedule.sharp_weights).values())).sum()

    weights = list(network.parameters())
    return {
        "networks of the points": part_ms(heads, own, sum(tensor.nbytes for tensor in attributes)),
        "splat, 32 channels": part_ms(splatted, attributes, planes.nbytes),
        "super-resolution": part_ms(enlarged, [planes, *weights], drawn.nbytes),
        "perceptual distance": part_ms(judged, [drawn], 0),
        "L1 and D-SSIM": part_ms(compared, [drawn], 0),
        "Adam": adam_ms([*own, *weights]),
    }


def adam_ms(parameters: Sequence[Tensor], fused: bool = True) -> tuple[float, float]:
    """Time of the optimiser and its floor (ms)."""
    copies = [nn.Parameter(p.detach().clone()) for p in parameters]
    for copy in copies:
        copy.grad = torch.ones_like(copy)
    optimiser = torch.optim.Adam(copies, lr=1e-6, fused=fused)
    return median_ms(optimiser.step, "cuda"), 7 * sum(copy.nbytes for copy in copies) / BANDWIDTH * 1000


def published_parts(step: PublishedStep) -> dict[str, float]:
    """Every part of the published step by itself (ms)."""
    attributes = [tensor.detach().requires_grad_() for tensor in step.attributes()]
    planes = step.drawn(attributes).detach().requires_grad_()
    picture = step.upsampler(planes).detach().requires_grad_()
    image, part = picture.detach().permute(1, 2, 0), slice(0, min(512, step.size))
    crop = image[part, part].contiguous().requires_grad_()
    whole = image.contiguous().requires_grad_()
    works: dict[str, tuple[Callable[[], Tensor], Sequence[Tensor]]] = {
        "networks of the points": (lambda: torch.stack([t.sum() for t in step.attributes()]).sum(), step.parameters),
        "splat, 32 channels": (lambda: step.drawn(attributes).sum(), attributes),
        "super-resolution": (lambda: step.upsampler(planes).sum(), [planes, *step.upsampler.parameters()]),
        "perceptual distance": (lambda: step.perceptual(crop, step.truth[part, part]), [crop]),
        "L1 and D-SSIM": (lambda: (whole - step.truth).abs().mean() + dssim(whole, step.truth), [whole]),
    }
    times = {name: median_ms(gradients(*work), "cuda") for name, work in works.items()}
    return {**times, "Adam": adam_ms(step.parameters, fused=False)[0]}


def main() -> None:
    """Print one table for each number of Gaussians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2048, help="pictures, px; Gaussians are drawn at a quarter of it")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--strands", type=int, default=0, help="also time our step with so many strands of 32 points")
    options = parser.parse_args()
    print(torch.cuda.get_device_name(), f"pictures of {options.size} px", flush=True)
    views = filmed(options.size)
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    for count in options.counts:
        tables: dict[str, dict[str, float]] = {}
        for name, tf32 in (("published, fp32", False), ("published, tf32", True)):
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
            torch.cuda.reset_peak_memory_stats()
            step = PublishedStep(count, options.size, "cuda", "warp")
            tables[name] = published_parts(step) | {"step": median_ms(step, "cuda")}
            tables[name]["memory (GiB)"] = torch.cuda.max_memory_allocated() / 2**30
            del step
            torch.cuda.empty_cache()
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
        torch.cuda.reset_peak_memory_stats()
        trainee = ours(count, views)
        total = whole_ms(trainee)
        memory = torch.cuda.max_memory_allocated() / 2**30
        parts = our_parts(trainee)
        tables["ours"] = {name: value for name, (value, _) in parts.items()} | {"step": total, "memory (GiB)": memory}
        floors = {name: floor for name, (_, floor) in parts.items()}
        tables["floor"] = {**floors, "step": sum(floors.values())}
        print(f"\n{count} Gaussians (ms)\n{'':24}" + "".join(f"{name:>18}" for name in tables))
        for row in tables["ours"]:
            print(
                f"{row:24}" + "".join(f"{table[row]:18.2f}" if row in table else f"{'':18}" for table in tables.values()),
                flush=True,
            )
        del trainee
        torch.cuda.empty_cache()
        if options.strands:
            print(
                f"with {options.strands} strands of 32 points: {whole_ms(ours(count, views, options.strands)):.2f} ms", flush=True
            )


if __name__ == "__main__":
    main()
