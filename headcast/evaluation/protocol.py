"""What is compared with what: one evaluated view in, its row of figures out.

The truth is composited on black with a matte, as the avatar is rendered on black. Subject figures are means over matte pixels,
hair figures over the pixels of the true hair mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from headcast.errors import CaptureError
from headcast.evaluation.flip import flip_map
from headcast.evaluation.metrics import change_iou, interior_mean, iou, masked_mean, ms_ssim, psnr, ssim_map, temporal_iou

NAN = float("nan")
Perceptual = Callable[[Tensor, Tensor], float]


@dataclass(frozen=True)
class EvaluatedView:
    """A rendered view beside what was filmed.

    ``image`` and ``truth`` are sRGB-encoded in [0, 1], the image on black, the truth as filmed; ``matte`` is the subject's share.
    ``hair`` is the avatar's hair layer, ``hair_truth`` the hair mask it is held against; ``None`` where one does not exist.
    ``seconds`` is the time the rendering took; NaN when it was not measured. ``rigid`` is the same picture with hair that does not
    move against the skull, where there is one to compare with.
    """

    camera: str
    sequence: str
    frame: int
    image: Float[Tensor, "H W 3"]
    truth: Float[Tensor, "H W 3"]
    matte: Float[Tensor, "H W"]
    hair: Float[Tensor, "H W"] | None
    hair_truth: Float[Tensor, "H W"] | None
    held_out_camera: bool
    held_out_frame: bool
    seconds: float = NAN
    rigid: Float[Tensor, "H W 3"] | None = None

    def __post_init__(self) -> None:
        size = self.image.shape[:2]
        others = (self.truth, self.matte, *(given for given in (self.hair, self.hair_truth, self.rigid) if given is not None))
        if any(other.shape[:2] != size for other in others):
            raise CaptureError(f"camera {self.camera} frame {self.frame}", "image, truth and masks differ in size")
        if not all(bool(torch.isfinite(values).all()) for values in (self.image, *others)):
            raise CaptureError(f"camera {self.camera} frame {self.frame}", "image, truth or a mask is not finite")


@dataclass(frozen=True)
class ViewScore:
    """The figures of one view: dB, similarities in [0, 1], errors in [0, 1], seconds; NaN where a figure does not exist."""

    camera: str
    sequence: str
    frame: int
    held_out_camera: bool
    held_out_frame: bool
    psnr: float
    psnr_subject: float
    ssim: float
    ms_ssim: float
    flip: float
    lpips: float
    hair_psnr: float
    hair_ssim: float
    hair_flip: float
    hair_iou: float
    hair_temporal_iou: float
    hair_change_iou: float
    seconds: float
    hair_psnr_rigid: float = NAN

    @property
    def group(self) -> str:
        """Which part of the protocol the view belongs to."""
        if self.held_out_camera:
            return "held_out_both" if self.held_out_frame else "held_out_cameras"
        return "held_out_frames" if self.held_out_frame else "training"


def composite_on_black(truth: Float[Tensor, "H W 3"], matte: Float[Tensor, "H W"]) -> Float[Tensor, "H W 3"]:
    """The subject on black: the encoded colours times the matte, as the avatar is trained and rendered."""
    return truth * matte[..., None]


Masks = tuple[Tensor, Tensor]


def score_views(views: Iterable[EvaluatedView], lpips: Perceptual | None = None) -> Iterator[ViewScore]:
    """Score views one by one, in any order of cameras.

    Temporal figures need a camera's frames t − 1 and t to come in this order; only the latest masks of each camera are kept.
    """
    latest: dict[tuple[str, str], tuple[int, Masks]] = {}
    for view in views:
        key, previous = (view.sequence, view.camera), None
        if view.hair is not None and view.hair_truth is not None:
            frame, masks = latest.get(key, (view.frame, None))
            previous = masks if frame == view.frame - 1 else None
            latest[key] = (view.frame, (view.hair, view.hair_truth))
        yield score_view(view, previous, lpips)


@torch.no_grad()
def score_view(view: EvaluatedView, previous: Masks | None = None, lpips: Perceptual | None = None) -> ViewScore:
    """All figures of one view; ``previous`` are the predicted and the true hair mask of the frame before."""
    truth = composite_on_black(view.truth, view.matte)
    image = view.image.clamp(0.0, 1.0)
    similarity, difference = ssim_map(image, truth), flip_map(image, truth)
    hair = view.hair_truth
    return ViewScore(
        camera=view.camera,
        sequence=view.sequence,
        frame=view.frame,
        held_out_camera=view.held_out_camera,
        held_out_frame=view.held_out_frame,
        psnr=psnr(image, truth),
        psnr_subject=psnr(image, truth, view.matte),
        ssim=interior_mean(similarity),
        ms_ssim=ms_ssim(image, truth),
        flip=masked_mean(difference),
        lpips=NAN if lpips is None else lpips(image, truth),
        hair_psnr=NAN if hair is None else psnr(image, truth, hair),
        hair_ssim=NAN if hair is None else masked_mean(similarity, hair),
        hair_flip=NAN if hair is None else masked_mean(difference, hair),
        seconds=view.seconds,
        hair_psnr_rigid=NAN if hair is None or view.rigid is None else psnr(view.rigid.clamp(0.0, 1.0), truth, hair),
        **_mask_figures(view, previous),
    )


def _mask_figures(view: EvaluatedView, previous: Masks | None) -> dict[str, float]:
    names = ("hair_iou", "hair_temporal_iou", "hair_change_iou")
    if view.hair is None or view.hair_truth is None:
        return dict.fromkeys(names, NAN)
    now = iou(view.hair, view.hair_truth)
    if previous is None:
        return dict(zip(names, (now, NAN, NAN), strict=True))
    predicted, truth = (previous[0], view.hair), (previous[1], view.hair_truth)
    return dict(zip(names, (now, temporal_iou(predicted, truth), change_iou(predicted, truth)), strict=True))
