"""Many pictures of one avatar: on a GPU the drawing of each size is recorded once and replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from headcast.avatar.gaussian_head import HeadPose
from headcast.avatar.picture import Rendered
from headcast.capture.camera import Camera
from headcast.rendering.replay import Replay

if TYPE_CHECKING:
    from headcast.avatar.avatar import Avatar


class Filming:
    """Films one picture after another; what is recorded is drawn by warp, whatever else is installed."""

    def __init__(self, avatar: Avatar, background: float = 0.0) -> None:
        """Pictures of ``avatar`` on grey ``background``."""
        self.avatar, self.background = avatar, background
        self._recorded: dict[tuple[int, int, bool], Replay] = {}

    @torch.no_grad()
    def __call__(self, pose: HeadPose, camera: Camera, hair_points: Float[Tensor, "S P 3"] | None) -> Rendered:
        """``Avatar.film`` of hair at ``hair_points`` (world, m), or without hair."""
        avatar = self.avatar
        tensors = (*pose, *placed(camera, avatar.device), *([] if hair_points is None else [hair_points]))
        size = camera.width, camera.height
        if avatar.device.type != "cuda":
            return self._drawn(size, "auto", *tensors)
        key = (*size, hair_points is None)
        if key not in self._recorded:

            def work(*inputs: Tensor) -> list[Tensor]:
                return list(vars(self._drawn(size, "warp", *inputs)).values())

            self._recorded[key] = Replay(work, [tensors])
        return Rendered(*(plane.clone() for plane in self._recorded[key](*tensors)))

    def _drawn(self, size: tuple[int, int], backend: str, *tensors: Tensor) -> Rendered:
        pose, (world_to_camera, K), hair = HeadPose(*tensors[:3]), tensors[3:5], tensors[5:]
        return self.avatar.drawn(pose, hair[0] if hair else None, world_to_camera, K, *size, self.background, backend)


def placed(camera: Camera, device: torch.device) -> tuple[Float[Tensor, "4 4"], Float[Tensor, "3 3"]]:
    """World-to-camera and K of a camera as tensors."""
    pose, K = (torch.tensor(matrix, dtype=torch.float32, device=device) for matrix in (camera.world_to_camera, camera.K))
    return pose, K
