"""hair_masks: hair, face and body of every view, from its matte, the fitted head and one appearance model of the subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import overload

import numpy as np

from headcast.config import HairMasks
from headcast.formats.frames import copy_view_facts, member_name, read_cameras, read_images
from headcast.formats.manifest import png, write_product
from headcast.formats.maps import matte_bytes, read_mattes
from headcast.formats.track import read_head_params, read_surface
from headcast.heads import load_head_model
from headcast.imaging.parsing import HeadRegions, LabelView, Subject, label_view, learn
from headcast.process.command import Progress
from headcast.stages.views import write_members


@dataclass(frozen=True)
class Inputs:
    """Images, mattes and the fitted surface of a sequence; the labels to write."""

    images: Path
    cameras: Path
    mattes: Path
    surface: Path
    model: Path
    output: Path
    workers: int = 1


class LabelViews(Sequence[LabelView]):
    """The views of a sequence, each read when it is asked for."""

    def __init__(self, images: Path, cameras: Path, mattes: Path, surface: Path) -> None:
        self._images, self._cameras = read_images(images), read_cameras(cameras)
        self._mattes, self._vertices = read_mattes(mattes), read_surface(surface)
        self.names = self._images.views()

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> LabelView: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LabelView]: ...
    def __getitem__(self, index: int | slice) -> LabelView | Sequence[LabelView]:
        """View ``index``, frames outermost."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        frame, serial = self.names[index]
        alpha = self._mattes.alpha(frame, serial).astype(np.float32) / 255
        return LabelView(self._images.image(frame, serial), alpha, self._cameras[serial], self._vertices[frame])


def run(inputs: Inputs, hair_masks: HairMasks, progress: Progress) -> Path:
    """Learn the subject's appearance from some views, then label all of them."""
    sources = (inputs.images, inputs.cameras, inputs.mattes, inputs.surface)
    views, head = LabelViews(*sources), head_regions(inputs.surface, inputs.model)
    subject = learn(views, head)
    jobs = [(sources, index, head, subject) for index in range(len(views))]
    with write_product(inputs.output, "masks") as writer:
        copy_view_facts(writer, read_images(inputs.images))
        writer.facts["backend"] = hair_masks.backend
        write_members(writer, label, jobs, inputs.workers, progress)
    return inputs.output


def head_regions(surface: Path, model: Path) -> HeadRegions:
    """Topology and vertex masks of the fitted head."""
    head = load_head_model(read_head_params(surface)[1]["model"], cache=model)
    return HeadRegions(head.faces, head.scalp, head.face, head.skin, head.head_weight)


def label(sources: tuple[Path, Path, Path, Path], index: int, head: HeadRegions, subject: Subject) -> dict[str, bytes]:
    """Labels and soft hair matte of one view by member name."""
    views = _open(*sources)
    found = label_view(views[index], head, subject)
    frame, serial = views.names[index]
    return {member_name("labels", frame, serial): png(found.labels), member_name("hair", frame, serial): matte_bytes(found.hair)}


@cache
def _open(images: Path, cameras: Path, mattes: Path, surface: Path) -> LabelViews:
    return LabelViews(images, cameras, mattes, surface)
