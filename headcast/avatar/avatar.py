"""A whole avatar: canonical head, Gaussian head, strand hair as a layer of its own, and what it takes to pose and film them.

``Avatar.render`` is the five-line interface; ``Avatar.animate`` films a track with hair dynamics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headcast.avatar.canonical import CanonicalHead
from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.dynamics import StrandDynamics, simulate
from headcast.avatar.filming import Filming, placed
from headcast.avatar.gaussian_head import GaussianHead, HeadPose
from headcast.avatar.picture import Rendered, enlarged, splat
from headcast.avatar.strands import StrandHair, constant, skull_to_world
from headcast.avatar.super_resolution import FACTOR, SuperResolution
from headcast.capture.camera import Camera
from headcast.errors import HeadcastError
from headcast.geometry.rotations import axis_angle_to_matrix

FRONTAL_DISTANCE = 1.0
FRONTAL_SIZE = 512
FRONTAL_FIELD = 0.42
"""The default camera shows a square of this width (m) about the skull, from this distance (m)."""

Expression = Float[Tensor, "E"] | Mapping[str, float] | Sequence[float] | None


class Avatar:
    """What ``avatar.pth`` holds. ``hair``, ``dynamics`` (its motion) and ``inside`` (what it must not enter) may be absent.

    With ``super_resolution`` its Gaussians are splatted at a quarter of a picture's size and the network draws the rest.

    ``track`` keeps the refined frames it was trained on, by sequence: ``expression`` F E, ``rotation`` F 3 3, ``translation`` F 3,
    ``time`` F.
    """

    def __init__(
        self,
        canonical: CanonicalHead,
        head: GaussianHead,
        expression_names: Sequence[str],
        hair: StrandHair | None = None,
        dynamics: StrandDynamics | None = None,
        inside: SignedDistanceGrid | None = None,
        track: Mapping[str, Mapping[str, Tensor]] | None = None,
        metadata: dict[str, Any] | None = None,
        super_resolution: SuperResolution | None = None,
    ) -> None:
        """``HeadcastError`` unless there is one name for each unit of the canonical head."""
        if len(expression_names) != canonical.expressions:
            raise HeadcastError("avatar", f"{len(expression_names)} expression names for {canonical.expressions} units")
        self.canonical, self.head, self.hair = canonical, head, hair
        self.dynamics, self.inside, self.super_resolution = dynamics, inside, super_resolution
        self.expression_names = tuple(expression_names)
        self.track = {name: dict(parts) for name, parts in (track or {}).items()}
        self.metadata = metadata or {}

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.canonical.vertices.device

    def to(self, device: torch.device | str) -> Avatar:
        """The same avatar with all layers moved to ``device``."""
        self.canonical = self.canonical.to(device)
        for layer in (self.head, self.hair, self.dynamics, self.inside, self.super_resolution):
            if layer is not None:
                layer.to(device)
        self.track = {name: {key: value.to(device) for key, value in parts.items()} for name, parts in self.track.items()}
        return self

    def expression(self, values: Expression) -> Float[Tensor, "E"]:
        """The code of ``values``: a vector, weights by unit name, or None for neutral. ``HeadcastError`` names an unknown unit."""
        code = torch.zeros(self.canonical.expressions, device=self.device)
        if values is None:
            return code
        if isinstance(values, Mapping):
            unknown = sorted(set(values) - set(self.expression_names))
            if unknown:
                raise HeadcastError(
                    f"expression {unknown[0]}", "is no unit of this avatar", f"it has {', '.join(self.expression_names)}"
                )
            for name, value in values.items():
                code[self.expression_names.index(name)] = float(value)
            return code
        given = torch.as_tensor(values, dtype=torch.float32, device=self.device)
        if given.shape != code.shape:
            raise HeadcastError("expression", f"has shape {tuple(given.shape)}, expected ({len(code)},)")
        return given

    def pose(self, expression: Expression = None, head_pose: Tensor | Sequence[float] | None = None) -> HeadPose:
        """A state relative to the reference: ``head_pose`` is axis-angle (rad, skull axes) and translation (m, world)."""
        change = torch.zeros(6, device=self.device)
        if head_pose is not None:
            change = torch.as_tensor(head_pose, dtype=torch.float32, device=self.device)
            if change.shape != (6,):
                raise HeadcastError("head_pose", f"has shape {tuple(change.shape)}, expected (6,)")
        rotation = self.canonical.reference_rotation @ axis_angle_to_matrix(change[:3])
        return HeadPose(self.expression(expression), rotation, self.canonical.reference_translation + change[3:])

    @torch.no_grad()
    def render(
        self,
        expression: Expression = None,
        head_pose: Tensor | Sequence[float] | None = None,
        camera: Camera | None = None,
        *,
        hair: bool = True,
        background: float = 0.0,
    ) -> Rendered:
        """One picture with the hair at rest, from the front by default; ``head_pose`` as in ``pose``, grey ``background``."""
        return self.film(self.pose(expression, head_pose), camera or self.frontal_camera(), hair=hair, background=background)

    @torch.no_grad()
    def animate(
        self,
        expressions: Float[Tensor, "F E"],
        rotations: Float[Tensor, "F 3 3"],
        translations: Float[Tensor, "F 3"],
        times: Float[Tensor, "F"],
        cameras: Camera | Sequence[Camera] | None = None,
        *,
        hair: bool = True,
        background: float = 0.0,
    ) -> Iterator[Rendered]:
        """Pictures of a track (x_world = R x + t, m; times in s, ascending) with moving hair; one camera, or one per frame."""
        swinging = self.swing(rotations, translations, times) if hair else None
        film = Filming(self, background)
        for frame, (code, rotation, translation) in enumerate(zip(expressions, rotations, translations, strict=True)):
            camera = cameras if isinstance(cameras, Camera) else cameras[frame] if cameras else self.frontal_camera()
            pose = HeadPose(code.to(self.device), rotation.to(self.device), translation.to(self.device))
            yield film(pose, camera, None if swinging is None else swinging[frame])

    @torch.no_grad()
    def swing(
        self, rotations: Float[Tensor, "F 3 3"], translations: Float[Tensor, "F 3"], times: Float[Tensor, "F"]
    ) -> Float[Tensor, "F S P 3"] | None:
        """World points (m) of the hair along a track; None without hair."""
        if self.hair is None:
            return None
        track = rotations.to(self.device), translations.to(self.device), times.to(self.device)
        return simulate(self.hair.points, *track, self.dynamics, self.inside)

    def film(
        self,
        pose: HeadPose,
        camera: Camera,
        hair_points: Float[Tensor, "S P 3"] | None = None,
        *,
        hair: bool = True,
        background: float = 0.0,
        backend: str = "auto",
    ) -> Rendered:
        """One picture of a placed skull; ``hair_points`` (world, m) default to hair at rest in the skull's frame."""
        if hair and self.hair is not None and hair_points is None:
            hair_points = skull_to_world(self.hair.points, pose.rotation, pose.translation)
        points = hair_points if hair and self.hair is not None else None
        return self.drawn(pose, points, *placed(camera, self.device), camera.width, camera.height, background, backend)

    def drawn(
        self,
        pose: HeadPose,
        hair_points: Float[Tensor, "S P 3"] | None,
        world_to_camera: Float[Tensor, "4 4"],
        K: Float[Tensor, "3 3"],
        width: int,
        height: int,
        background: float,
        backend: str,
    ) -> Rendered:
        """``film`` of tensors alone; without ``hair_points`` (world, m) there is no hair."""
        center = -world_to_camera[:3, :3].T @ world_to_camera[:3, 3]
        layers = [self.head.gaussians(self.canonical, pose, center)]
        if hair_points is not None and self.hair is not None:
            layers.append(self.hair.gaussians(hair_points, center))
        if self.super_resolution is None:
            picture = splat(layers, world_to_camera, K, width, height, backend=backend)
        else:
            K = K * constant(((1 / FACTOR,) * 2 + (1.0,)), K)[:, None]
            small = splat(layers, world_to_camera, K, -(-width // FACTOR), -(-height // FACTOR), backend=backend)
            picture = enlarged(small, self.super_resolution, width, height)
        behind = background * (1 - picture.alpha[..., None])
        return replace(picture, image=(picture.image + behind).clamp(0, 1))

    def frontal_camera(self, size: int = FRONTAL_SIZE) -> Camera:
        """A square camera 1 m in front of the face at its reference placement."""
        axes = self.canonical.reference_rotation.detach().cpu().double().numpy()
        origin = self.canonical.reference_translation.detach().cpu().double().numpy()
        pose = np.eye(4)
        pose[:3, :3] = np.stack((axes[:, 0], -axes[:, 1], -axes[:, 2]))
        pose[:3, 3] = -pose[:3, :3] @ (origin + FRONTAL_DISTANCE * axes[:, 2])
        focal = size * FRONTAL_DISTANCE / FRONTAL_FIELD
        return Camera("frontal", np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1.0]]), pose, size, size)

    def pack(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """A JSON-ready description and all tensors by dotted name; ``unpack`` is the inverse."""
        parts: dict[str, Mapping[str, Tensor]] = {"canonical": self.canonical.state(), "head": self.head.state_dict()}
        for name in ("hair", "dynamics", "inside", "super_resolution"):
            if getattr(self, name) is not None:
                parts[name] = getattr(self, name).state_dict()
        parts |= {f"track.{sequence}": values for sequence, values in self.track.items()}
        tensors = {f"{name}/{key}": tensor.detach() for name, values in parts.items() for key, tensor in values.items()}
        return {"parts": sorted(parts), "expression_names": list(self.expression_names)}, tensors

    @classmethod
    def unpack(cls, structure: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Avatar:
        """Rebuild an avatar from what ``pack`` returned; ``KeyError`` or ``HeadcastError`` when parts are missing or disagree."""
        parts: dict[str, dict[str, Tensor]] = {name: {} for name in structure["parts"]}
        for name, tensor in tensors.items():
            part, key = name.split("/", 1)
            parts[part][key] = tensor
        return cls(
            CanonicalHead.from_state(parts["canonical"]),
            GaussianHead.from_state(parts["head"]),
            structure["expression_names"],
            StrandHair.from_state(parts["hair"]) if "hair" in parts else None,
            StrandDynamics.from_state(parts["dynamics"]) if "dynamics" in parts else None,
            SignedDistanceGrid(parts["inside"]["values"], parts["inside"]["lower"], float(parts["inside"]["spacing"]))
            if "inside" in parts
            else None,
            {name.removeprefix("track."): values for name, values in parts.items() if name.startswith("track.")},
            super_resolution=SuperResolution.from_state(parts["super_resolution"]) if "super_resolution" in parts else None,
        )
