"""One held-out view that is drawn now and then while a head is trained: reported, never learned from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headcast.training.losses import masked_mean
from headcast.training.samples import Views, composited


class Journal(Protocol):
    """Where it is written (files: ``headcast.formats.journal``)."""

    def picture(self, step: int, truth: Float[np.ndarray, "H W 3"], drawn: Float[np.ndarray, "H W 3"], psnr: float) -> None:
        """A view after ``step`` steps, sRGB in [0, 1], and how near it is (dB)."""
        ...


def watched(views: Views, size: int) -> Views | None:
    """The held-out view in the middle: of a held-out camera and a frame that is trained, where there are both. On black."""
    outside = views.held_out_camera[views.camera.cpu()]
    for wanted in (outside & ~views.held_out_frame[views.frame.cpu()], ~views.is_training()):
        indices = torch.nonzero(wanted)[:, 0]
        if len(indices):
            middle = len(indices) // 2
            return composited(views.subset(indices[middle : middle + 1]).resized(min(size, views.size[0])))
    return None


def watch(view: Views | None, journal: Journal | None, draw: Callable[[Views], Float[Tensor, "H W 3"]]) -> Callable[[int], None]:
    """What the loop calls after so many steps: draw the view and write it down; nothing without a view or a journal."""

    @torch.no_grad()
    def look(step: int) -> None:
        if view is None or journal is None:
            return
        seen, drawn = view.at(0), draw(view).float().cpu()
        error = float(masked_mean((drawn - seen.image).square(), seen.visible))
        journal.picture(step, seen.image.numpy(), drawn.numpy(), -10 * float(np.log10(max(error, 1e-10))))

    return look
