"""A ball as the smallest head: one expression unit, a skull above a bust, a scalp on top, a ring of cameras in front."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import trimesh
from torch import Tensor

from headcast.avatar.avatar import Avatar
from headcast.avatar.canonical import CanonicalHead
from headcast.avatar.dynamics import StrandDynamics
from headcast.avatar.gaussian_head import GaussianHead, Seeds
from headcast.avatar.strands import StrandHair
from headcast.capture.camera import Camera

RADIUS = 0.1
UNITS = ("jawOpen",)


def canonical_ball() -> CanonicalHead:
    """A sphere of 10 cm whose unit pushes the front 1 cm along z; below y = −5 cm it is bust."""
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=RADIUS)
    vertices, faces = torch.tensor(np.array(mesh.vertices), dtype=torch.float32), torch.tensor(np.array(mesh.faces)).long()
    basis = torch.zeros(1, len(vertices), 3)
    basis[0, :, 2] = 0.01 * (vertices[:, 2] / RADIUS).clamp_min(0)
    return CanonicalHead(
        vertices=vertices,
        faces=faces,
        expression_basis=basis,
        head_weight=(vertices[:, 1] > -0.05).float(),
        scalp=(vertices[:, 1] > 0.08).float(),
        face=vertices[:, 2] > 0.06,
        mouth_interior=torch.zeros(len(vertices), dtype=torch.bool),
        eyes=torch.zeros(len(vertices), dtype=torch.bool),
        landmark_face=torch.arange(68),
        landmark_barycentric=torch.full((68, 3), 1 / 3),
        reference_rotation=torch.eye(3),
        reference_translation=torch.zeros(3),
    )


def gaussian_ball(canonical: CanonicalHead, count: int = 400, color: tuple[float, float, float] = (0.8, 0.5, 0.3)) -> GaussianHead:
    """Discs of one colour all over the sphere."""
    generator = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    spacing = torch.full((count,), RADIUS * (4 * np.pi / count) ** 0.5 * 0.6)
    seeds = Seeds(RADIUS * normals, normals, spacing, torch.tensor(color).expand(count, 3).clone(), torch.ones(count).bool())
    return GaussianHead.from_seeds(seeds, canonical, generator)


def tuft(color: tuple[float, float, float] = (0.1, 0.6, 0.2), detail: int = 0) -> StrandHair:
    """Strands of 8 cm that stand on top."""
    places = torch.stack(
        torch.meshgrid(torch.linspace(-0.04, 0.04, 9), torch.linspace(-0.04, 0.04, 9), indexing="xy"), dim=-1
    ).reshape(-1, 2)
    roots = torch.stack((places[:, 0], (RADIUS**2 - places.square().sum(-1)).sqrt(), places[:, 1]), dim=-1)
    rise = torch.linspace(0, 0.08, 8)[None, :, None] * torch.tensor([0.0, 1.0, 0.0])
    return StrandHair(roots[:, None] + rise, torch.tensor(color), width=0.003, detail=detail)


def ball_avatar(hair: bool = True) -> Avatar:
    """The ball with its tuft as an avatar."""
    canonical = canonical_ball()
    layers = (tuft(), StrandDynamics()) if hair else (None, None)
    return Avatar(canonical, gaussian_ball(canonical), UNITS, *layers, metadata={"subject": "ball"})


def camera(azimuth: float = 0.0, size: int = 48, serial: str = "0") -> Camera:
    """A camera 1 m away at an azimuth (rad) about y, that sees 36 cm."""
    sine, cosine = np.sin(azimuth), np.cos(azimuth)
    center = np.array([sine, 0.0, cosine])
    rotation = np.stack((np.array([cosine, 0, -sine]), np.array([0.0, -1.0, 0.0]), -center))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ center
    return Camera(serial, np.array([[size / 0.36, 0, size / 2], [0, size / 0.36, size / 2], [0, 0, 1.0]]), pose, size, size)


def moved(head: GaussianHead, **values: Tensor) -> GaussianHead:
    """A copy with some parameters replaced."""
    state = {**head.state_dict(), **values}
    return GaussianHead.from_state(state)


def at_rest(canonical: CanonicalHead, rotation: Tensor) -> CanonicalHead:
    """The same head with another reference rotation."""
    return replace(canonical, reference_rotation=rotation)
