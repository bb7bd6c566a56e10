"""A film of an avatar driven by a performance: retargeted, filmed along a camera path, one frame after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from headcast.avatar.avatar import Avatar
from headcast.capture.camera import Camera
from headcast.delivery.retarget import Track, retarget
from headcast.errors import HeadcastError
from headcast.evaluation.pictures import to_bytes
from headcast.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle


def drive(avatar: Avatar, source: Track, *, reference: int = 0, smoothing: float = 0.0, size_ratio: float = 1.0) -> Track:
    """``source`` performed by the avatar: expressions relative to the source's rest, motion relative to its frame ``reference``.

    In that frame the avatar's head is where it was in its own reference frame. ``smoothing``, ``size_ratio``: see ``retarget``.
    """
    return retarget(
        source,
        avatar.expression_names,
        torch.zeros(len(avatar.expression_names)),
        matrix_to_axis_angle(avatar.canonical.reference_rotation.detach().cpu().double()),
        avatar.canonical.reference_translation.detach().cpu().double(),
        reference=reference,
        smoothing=smoothing,
        size_ratio=size_ratio,
    )


def head_center(avatar: Avatar) -> Float[np.ndarray, " 3"]:
    """The middle of the skull at its reference placement (m, world): what a camera path turns about."""
    return avatar.canonical.reference_translation.detach().cpu().double().numpy()


def film(
    avatar: Avatar,
    performance: Track,
    cameras: Camera | Sequence[Camera],
    times: Float[Tensor, " F"],
    *,
    hair: bool = True,
    background: float = 0.0,
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Frames of the avatar giving ``performance`` (see ``drive``), rendered when they are asked for.

    ``cameras`` is one for all frames or one a frame, ``times`` the seconds of the frames, ascending: hair swings by them.
    ``HeadcastError`` when the counts disagree or the performance is another model's.
    """
    frames = performance.frame_count
    if performance.names != avatar.expression_names:
        raise HeadcastError("performance", "has other expression units than the avatar", "retarget it first")
    if len(times) != frames or (not isinstance(cameras, Camera) and len(cameras) != frames):
        raise HeadcastError("film", f"needs a time and a camera for each of its {frames} frames")
    if bool((times[1:] <= times[:-1]).any()):
        raise HeadcastError("film", "times do not ascend")
    rendered = avatar.animate(
        performance.expression.float(),
        axis_angle_to_matrix(performance.rotation.double()).float(),
        performance.translation.float(),
        times.float(),
        cameras,
        hair=hair,
        background=background,
    )
    return (to_bytes(picture.image.cpu().numpy()) for picture in rendered)


def beside(*frames: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H w 3"]:
    """Pictures of one height beside each other (driver and avatar); lower ones are padded with black below."""
    height = max(frame.shape[0] for frame in frames)
    return np.concatenate([np.pad(frame, ((0, height - frame.shape[0]), (0, 0), (0, 0))) for frame in frames], axis=1)
