"""Everything a trainer sees, decoded once: images, mattes, labels, orientation, cameras and the head's track.

The only way to a training view is ``training_indices`` or the ``sampler`` built on it: neither ever names a held-out camera or
a held-out frame.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from headcast.errors import CaptureError
from headcast.imaging.orientation_maps import resize_orientation
from headcast.imaging.resample import area_weights

if TYPE_CHECKING:
    from headcast.heads.model import HeadParameters

LABELS = {"background": 0, "body": 1, "face": 2, "hair": 3}

SHAPES: dict[str, tuple[str, torch.dtype]] = {
    "images": ("n H W 3", torch.uint8),
    "mattes": ("n H W", torch.uint8),
    "hair": ("n H W", torch.uint8),
    "labels": ("n H W", torch.uint8),
    "angle": ("n H W", torch.float16),
    "confidence": ("n H W", torch.float16),
    "landmarks": ("n 68 2", torch.float32),
    "visible": ("n H W", torch.bool),
    "K": ("n 3 3", torch.float32),
    "world_to_camera": ("n 4 4", torch.float32),
    "camera": ("n", torch.int64),
    "frame": ("n", torch.int64),
    "sequence_of_frame": ("F", torch.int64),
    "frame_in_sequence": ("F", torch.int64),
    "time": ("F", torch.float32),
    "held_out_camera": ("C", torch.bool),
    "held_out_frame": ("F", torch.bool),
}

PER_VIEW = tuple(name for name, (shape, _) in SHAPES.items() if shape.startswith("n"))


@dataclass(frozen=True)
class View:
    """One image as float tensors in [0, 1] (sRGB), with its camera and frame; ``angle`` is NaN where nothing was measured."""

    index: int | Int64[Tensor, ""]
    image: Float[Tensor, "H W 3"]
    matte: Float[Tensor, "H W"]
    hair: Float[Tensor, "H W"]
    labels: UInt8[Tensor, "H W"]
    angle: Float[Tensor, "H W"]
    confidence: Float[Tensor, "H W"]
    landmarks: Float[Tensor, "68 2"]
    visible: Bool[Tensor, "H W"]
    K: Float[Tensor, "3 3"]
    world_to_camera: Float[Tensor, "4 4"]
    camera: int | Int64[Tensor, ""]
    frame: int | Int64[Tensor, ""]


@dataclass(frozen=True)
class Views:
    """The n views of all cameras and global frames of all sequences, checked on construction (``CaptureError``).

    Images are square crops, RGB, sRGB uint8; masks uint8 0 … 255; ``angle`` in rad [0, π) with NaN and ``confidence`` 0 where
    there is none; ``landmarks`` px with NaN where absent; ``K`` px, ``world_to_camera`` m; ``time`` s within the sequence.
    NumPy arrays are accepted and kept as tensors.
    """

    images: UInt8[Tensor, "n H W 3"]
    mattes: UInt8[Tensor, "n H W"]
    hair: UInt8[Tensor, "n H W"]
    labels: UInt8[Tensor, "n H W"]
    angle: Float[Tensor, "n H W"]
    confidence: Float[Tensor, "n H W"]
    landmarks: Float[Tensor, "n 68 2"]
    visible: Bool[Tensor, "n H W"]
    K: Float[Tensor, "n 3 3"]
    world_to_camera: Float[Tensor, "n 4 4"]
    camera: Int64[Tensor, "n"]
    frame: Int64[Tensor, "n"]
    cameras: tuple[str, ...]
    sequences: tuple[str, ...]
    sequence_of_frame: Int64[Tensor, "F"]
    frame_in_sequence: Int64[Tensor, "F"]
    time: Float[Tensor, "F"]
    held_out_camera: Bool[Tensor, "C"]
    held_out_frame: Bool[Tensor, "F"]
    parameters: HeadParameters
    _orders: dict[tuple[int, int, int], Tensor] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, (_, dtype) in SHAPES.items():
            object.__setattr__(self, name, torch.as_tensor(getattr(self, name)).to(dtype))
        self._check_shapes()
        self._check_values()

    def _check_shapes(self) -> None:
        sizes: dict[str, int] = {"C": len(self.cameras)}
        for name, (shape, _) in SHAPES.items():
            tensor, axes = getattr(self, name), shape.split()
            agree = tensor.ndim == len(axes) and all(
                int(axis) == size if axis.isdigit() else sizes.setdefault(axis, size) == size
                for axis, size in zip(axes, tensor.shape, strict=False)
            )
            if not agree:
                raise CaptureError(f"views.{name}", f"has shape {tuple(tensor.shape)}, expected {shape} with {sizes}")
        if self.parameters.expression.shape[0] != sizes["F"]:
            raise CaptureError("views.parameters", f"hold {self.parameters.expression.shape[0]} frames, not {sizes['F']}")

    def _check_values(self) -> None:
        limits = {"camera": len(self.cameras), "frame": len(self.time), "sequence_of_frame": len(self.sequences)}
        for name, limit in limits.items():
            tensor = getattr(self, name)
            if tensor.numel() and not 0 <= int(tensor.min()) <= int(tensor.max()) < limit:
                raise CaptureError(f"views.{name}", f"indices must lie in 0 … {limit - 1}")
        for name in ("K", "world_to_camera", "time", "confidence"):
            if not bool(torch.isfinite(getattr(self, name)).all()):
                raise CaptureError(f"views.{name}", "has entries that are not finite")
        if list(self.cameras) != sorted(set(self.cameras)):
            raise CaptureError("views.cameras", "serials must be unique and sorted")
        if self.labels.numel() and int(self.labels.max()) > max(LABELS.values()):
            raise CaptureError("views.labels", f"must lie in 0 … {max(LABELS.values())}")

    def __len__(self) -> int:
        return len(self.camera)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images (px)."""
        return int(self.images.shape[1]), int(self.images.shape[2])

    @property
    def frames(self) -> int:
        """How many global frames there are."""
        return len(self.time)

    def is_training(self) -> Bool[Tensor, "n"]:
        """Which views have neither a held-out camera nor a held-out frame (on the CPU)."""
        return ~(self.held_out_camera[self.camera.cpu()] | self.held_out_frame[self.frame.cpu()])

    def training_indices(self) -> Int64[Tensor, "m"]:
        """The views that training may see; ``CaptureError`` when none is left."""
        indices = torch.nonzero(self.is_training())[:, 0]
        if not len(indices):
            raise CaptureError("held_out", "leaves no view to train on", "hold out fewer cameras or frames")
        return indices

    def sampler(self, seed: int, step: int, batch: int = 1) -> Int64[Tensor, "batch"]:
        """The training views of ``step``: consecutive slices of a shuffle per epoch, a function of ``seed`` and ``step`` only."""
        indices = self.training_indices()
        position = step * batch + np.arange(batch)
        epochs, places = position // len(indices), position % len(indices)
        return torch.stack([indices[self._order(seed, int(e), len(indices))[p]] for e, p in zip(epochs, places, strict=True)])

    def frame_sampler(self, seed: int, step: int, batch: int = 1) -> Int64[Tensor, "batch"]:
        """Training views of ``step`` that share one frame (frames shuffled per epoch); repeats views where a frame has fewer.

        Deformation and extraction then cost once a step, whatever the batch.
        """
        indices = self.training_indices()
        frames = torch.unique(self.frame[indices])
        epoch, place = divmod(step, len(frames))
        frame = frames[self._order(seed, epoch, len(frames))[place]]
        mine = indices[self.frame[indices] == frame]
        turns = [epoch * batch + k for k in range(batch)]
        orders = [self._order(seed + 1 + int(frame), turn // len(mine), len(mine)) for turn in turns]
        return torch.stack([mine[order[turn % len(mine)]] for order, turn in zip(orders, turns, strict=True)])

    def _order(self, seed: int, epoch: int, count: int) -> Tensor:
        """The shuffle of an epoch, remembered."""
        key = (seed, epoch, count)
        if key not in self._orders:
            if len(self._orders) > 4096:
                self._orders.clear()
            self._orders[key] = torch.from_numpy(np.random.Generator(np.random.Philox([seed, epoch])).permutation(count))
        return self._orders[key]

    def at(self, index: int | Int64[Tensor, ""], device: torch.device | str = "cpu") -> View:
        """View ``index`` as float tensors on ``device``; for a tensor, its numbers are tensors too and nothing waits for them."""
        apart = isinstance(index, Tensor)

        def one(values: Tensor) -> Tensor:
            return pick(values, index) if apart else pick(values, index).to(device)

        def share(values: Tensor) -> Tensor:
            return one(values).to(torch.float32) / 255

        return View(
            index=index,
            image=share(self.images),
            matte=share(self.mattes),
            hair=share(self.hair),
            labels=one(self.labels),
            angle=one(self.angle).float(),
            confidence=one(self.confidence).float(),
            landmarks=one(self.landmarks),
            visible=one(self.visible),
            K=one(self.K),
            world_to_camera=one(self.world_to_camera),
            camera=one(self.camera) if apart else int(self.camera[index]),
            frame=one(self.frame) if apart else int(self.frame[index]),
        )

    def to(self, device: torch.device | str) -> Views:
        """The same views with all that there is of each on ``device``; what belongs to cameras and frames stays where it is."""
        return replace(self, **{name: getattr(self, name).to(device) for name in PER_VIEW})

    @property
    def bytes_per_view(self) -> int:
        """How much memory one view takes."""
        return sum(getattr(self, name)[0].nbytes for name in PER_VIEW)

    def subset(self, indices: Int64[Tensor, "m"]) -> Views:
        """The same capture with only some of its views (all cameras and frames keep their numbers)."""
        return replace(self, _orders={}, **{name: getattr(self, name)[indices.to(getattr(self, name).device)] for name in PER_VIEW})

    def resized(self, size: int) -> Views:
        """The views area-filtered to ``size`` × ``size`` with their intrinsics and landmarks; angles average doubled."""
        height, width = self.size
        if (height, width) == (size, size):
            return self
        rows, columns = (torch.from_numpy(area_weights(side, size)).to(self.images.device) for side in (height, width))
        resample = _Resampler(rows, columns)
        scale = torch.tensor([size / width, size / height]).to(self.K)
        K = self.K.clone()
        K[:, :2] *= scale[None, :, None]
        angle, confidence = _resized_orientation(self.angle, self.confidence, size)
        return replace(
            self,
            _orders={},
            images=resample.byte(self.images),
            mattes=resample.byte(self.mattes),
            hair=resample.byte(self.hair),
            labels=resample.majority(self.labels),
            angle=angle,
            confidence=confidence,
            landmarks=self.landmarks * scale,
            visible=resample.all(self.visible),
            K=K,
        )


class _Resampler(NamedTuple):
    """Area filter of image stacks, one image at a time to bound memory."""

    rows: Float[Tensor, "h H"]
    columns: Float[Tensor, "w W"]

    def __call__(self, plane: Float[Tensor, "H W *c"]) -> Float[Tensor, "h w *c"]:
        height, width = plane.shape[:2]
        across = (self.rows @ plane.float().reshape(height, -1)).reshape(len(self.rows), width, -1)
        return (self.columns @ across).reshape(len(self.rows), len(self.columns), *plane.shape[2:])

    def byte(self, stack: UInt8[Tensor, "n H W *c"]) -> UInt8[Tensor, "n h w *c"]:
        return torch.stack([self(plane).round().clamp(0, 255).to(torch.uint8) for plane in stack])

    def all(self, stack: Bool[Tensor, "n H W"]) -> Bool[Tensor, "n h w"]:
        return torch.stack([self(plane) > 0.999 for plane in stack])

    def majority(self, stack: UInt8[Tensor, "n H W"]) -> UInt8[Tensor, "n h w"]:
        classes = torch.arange(len(LABELS), device=stack.device)
        return torch.stack([self(plane[..., None] == classes).argmax(-1).to(torch.uint8) for plane in stack])


def _resized_orientation(angle: Float[Tensor, "n H W"], confidence: Float[Tensor, "n H W"], size: int) -> tuple[Tensor, Tensor]:
    stacks = [stack.float().cpu().numpy() for stack in (angle, confidence)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        pairs = pool.map(lambda a, c: resize_orientation(a, c, size, size), *stacks)
        angles, confidences = zip(*pairs, strict=True)
    first, second = (torch.from_numpy(np.stack(stack)).half().to(angle.device) for stack in (angles, confidences))
    return first, second


def composited(views: Views) -> Views:
    """The same views with their images on black: image × matte, rounded once."""
    images = [
        (image.float() * matte.float()[..., None] / 255).round().to(torch.uint8)
        for image, matte in zip(views.images, views.mattes, strict=True)
    ]
    return replace(views, _orders={}, images=torch.stack(images))


def pick(values: Tensor, index: int | Int64[Tensor, ""]) -> Tensor:
    """``values[index]``, without asking a GPU for an index that lies there."""
    return values.index_select(0, index.view(1))[0] if isinstance(index, Tensor) else values[index]


def field_names() -> tuple[str, ...]:
    """The tensor fields of ``Views`` in order (for whoever stores them)."""
    return tuple(f.name for f in fields(Views) if f.name in SHAPES)
