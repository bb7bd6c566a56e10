"""The journal of a training: scalars for TensorBoard and, beside them, pictures of a held-out view and its truth.

``tensorboard/{stage}/events.out.tfevents.*`` · ``tensorboard/{stage}/{step:06d}.jpg``: truth left, drawn right. Nothing reads it
again; it lies outside every rule's output and may be deleted at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float
from PIL import Image
from tensorboardX import SummaryWriter

from headcast.formats.atomic import atomic_path

QUALITY = 88


class Journal:
    """Writes below ``folder``; what an earlier, longer run told of later steps no longer counts once this one has begun."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.psnr: float | None = None
        """Of the held-out view that was drawn last (dB)."""
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step by name."""
        writer = self._open(step)
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    def picture(self, step: int, truth: Float[np.ndarray, "H W 3"], drawn: Float[np.ndarray, "H W 3"], psnr: float) -> None:
        """A held-out view (sRGB in [0, 1]) as it looks after ``step`` steps, and how near it is (dB)."""
        self.psnr = psnr
        self.scalars(step, {"held_out/psnr": psnr})
        pair = np.concatenate((truth, drawn), axis=1).clip(0, 1)
        with atomic_path(self.folder / f"{step:06d}.jpg") as temporary:
            Image.fromarray((255 * pair).round().astype(np.uint8)).save(temporary, quality=QUALITY)

    def _open(self, step: int) -> SummaryWriter:
        if self._writer is None:
            for later in self.folder.glob("*.jpg"):
                if int(later.stem) >= step:
                    later.unlink()
            self._writer = SummaryWriter(str(self.folder), purge_step=step, filename_suffix=f".{step:06d}")
        return self._writer
