"""Frames a second of a moving avatar: ``python -m benchmarks.filming [avatar.pth]``; by default of a ball with hair.

Expression, pose and camera change with every frame and pictures stay on the device. Beside it the simulation of the strands alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import nn

from benchmarks.train_step import hair_of
from headcast.avatar.avatar import Avatar
from headcast.avatar.dynamics import StrandDynamics
from headcast.avatar.super_resolution import SuperResolution
from headcast.formats.avatar_file import read_avatar
from headcast.geometry.rotations import axis_angle_to_matrix
from tests.ball import UNITS, canonical_ball, gaussian_ball

SIZES = (512, 1024, 2048)
FRAMES = 120


def ball(channels: int, device: str, count: int = 100_000, strands: int = 10_000) -> Avatar:
    """A ball with hair; with ``channels`` above 7 its pictures are enlarged by an untrained network."""
    canonical = canonical_ball()
    head, hair = gaussian_ball(canonical, count), hair_of(strands, 32, max(channels - 7, 0))
    head.detail = nn.Parameter(torch.zeros(count, max(channels - 7, 0)))
    network = SuperResolution(channels) if channels > 7 else None
    avatar = Avatar(canonical, head, UNITS, hair, StrandDynamics(), canonical.skull_distance(), super_resolution=network)
    return avatar.to(device)


@torch.no_grad()
def frames_per_second(avatar: Avatar, size: int, frames: int) -> tuple[float, float]:
    """Pictures a second, then hair simulations of a frame at 24 Hz a second."""
    device, camera = avatar.device, avatar.frontal_camera(size)
    phase = torch.linspace(0, 6.28, frames, device=device)
    turns = torch.stack((0.1 * phase.sin(), 0.3 * phase.cos(), 0 * phase), dim=-1)
    rotations = avatar.canonical.reference_rotation @ axis_angle_to_matrix(turns)
    places = avatar.canonical.reference_translation.expand(frames, 3)
    codes = 0.5 * (1 + phase.sin())[:, None].expand(frames, avatar.canonical.expressions)
    times = torch.arange(frames, device=device) / 24
    began = time.perf_counter()
    moved = avatar.swing(rotations, places, times)
    done(device)
    simulated = frames / (time.perf_counter() - began)
    hair, avatar.swing = avatar.hair is not None, lambda *_: moved  # type: ignore[method-assign, assignment]
    pictures = avatar.animate(codes, rotations, places, times, camera, hair=hair)
    for _ in range(10):
        next(pictures)
    done(device)
    began = time.perf_counter()
    shown = sum(1 for _ in pictures)
    done(device)
    del avatar.swing
    return shown / (time.perf_counter() - began), simulated


def done(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("avatar", type=Path, nargs="?")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    avatars = {"ball": ball(7, device), "ball, enlarged": ball(32, device)}
    if options.avatar is not None:
        avatars = {options.avatar.name: read_avatar(options.avatar, device)}
    print(torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads")
    print(f"{'':>16}{'px':>8}{'pictures/s':>12}{'hair/s':>10}")
    for name, avatar in avatars.items():
        for size in options.sizes:
            pictures, hair = frames_per_second(avatar, size, options.frames)
            print(f"{name:>16}{size:>8}{pictures:>12.1f}{hair:>10.1f}", flush=True)


if __name__ == "__main__":
    main()
