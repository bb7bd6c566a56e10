"""hair_masks: hair, face and body of every view, from its matte and the fitted head with one appearance model, or by a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Protocol, overload

import numpy as np
from jaxtyping import Float, UInt8

from headcast.assets import digests, verify
from headcast.config import HairMasks
from headcast.errors import ConfigError
from headcast.formats.frames import Images, copy_view_facts, member_name, read_cameras, read_images
from headcast.formats.manifest import ProductWriter, png, write_product
from headcast.formats.maps import Mattes, matte_bytes, read_mattes
from headcast.formats.track import read_head_params, read_surface
from headcast.heads import load_head_model
from headcast.imaging.labels import Labels
from headcast.imaging.parsing import HeadRegions, LabelView, Subject, label_view, learn
from headcast.networks.runtime import batches
from headcast.process.command import Progress
from headcast.stages.views import write_members

NETWORKS = {
    "cdgnet": "headcast.networks.lip_labels",
    "matte_anything": "headcast.networks.matte_anything",
}


class Parser(Protocol):
    """A network that labels some images of one size at a time, each inside its matte."""

    def labels(self, images: Sequence[UInt8[np.ndarray, "H W 3"]], alphas: Sequence[Float[np.ndarray, "H W"]]) -> list[Labels]: ...


@dataclass(frozen=True)
class Inputs:
    """Images and mattes of a sequence, its fitted surface and the head model unless a network labels; the labels to write."""

    images: Path
    cameras: Path
    mattes: Path
    output: Path
    surface: Path | None = None
    model: Path | None = None
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
        alpha = share_of(self._mattes, frame, serial)
        return LabelView(self._images.image(frame, serial), alpha, self._cameras[serial], self._vertices[frame])


def run(inputs: Inputs, hair_masks: HairMasks, progress: Progress) -> Path:
    """Learn the subject's appearance from some views, then label all of them; or label them by a network."""
    weights = verify("hair_masks", hair_masks.backend)
    images = read_images(inputs.images)
    with write_product(inputs.output, "masks") as writer:
        copy_view_facts(writer, images)
        writer.facts |= {"backend": hair_masks.backend, "weights": digests(weights)}
        if hair_masks.backend in NETWORKS:
            parser = import_module(NETWORKS[hair_masks.backend]).load(*weights)
            work = partial(label_views, parser, images, read_mattes(inputs.mattes))
            write_members(writer, work, batches(images.views(), hair_masks.batch, inputs.workers), 1, progress)
        else:
            _label_by_appearance(writer, inputs, progress)
    return inputs.output


def label_views(parser: Parser, images: Images, mattes: Mattes, views: Sequence[tuple[int, str]]) -> dict[str, bytes]:
    """Labels and soft hair mattes of some views by member name, from one pass of a network."""
    found = parser.labels([images.image(*view) for view in views], [share_of(mattes, *view) for view in views])
    return {name: data for view, labels in zip(views, found, strict=True) for name, data in members(labels, *view).items()}


def share_of(mattes: Mattes, frame: int, serial: str) -> Float[np.ndarray, "H W"]:
    """The matte of a view in [0, 1]."""
    return mattes.alpha(frame, serial).astype(np.float32) / 255


def members(labels: Labels, frame: int, serial: str) -> dict[str, bytes]:
    """What is written of a view, by member name."""
    return {member_name("labels", frame, serial): png(labels.labels), member_name("hair", frame, serial): matte_bytes(labels.hair)}


def _label_by_appearance(writer: ProductWriter, inputs: Inputs, progress: Progress) -> None:
    if inputs.surface is None or inputs.model is None:
        raise ConfigError("hair_masks.backend", "embedded labels on the fitted head", "give --surface and --model")
    sources = (inputs.images, inputs.cameras, inputs.mattes, inputs.surface)
    views, head = LabelViews(*sources), head_regions(inputs.surface, inputs.model)
    subject = learn(views, head)
    write_members(writer, label, [(sources, index, head, subject) for index in range(len(views))], inputs.workers, progress)


def head_regions(surface: Path, model: Path) -> HeadRegions:
    """Topology and vertex masks of the fitted head."""
    head = load_head_model(read_head_params(surface)[1]["model"], cache=model)
    return HeadRegions(head.faces, head.scalp, head.face, head.skin, head.head_weight)


def label(sources: tuple[Path, Path, Path, Path], index: int, head: HeadRegions, subject: Subject) -> dict[str, bytes]:
    """Labels and soft hair matte of one view by member name."""
    views = _open(*sources)
    return members(label_view(views[index], head, subject), *views.names[index])


@cache
def _open(images: Path, cameras: Path, mattes: Path, surface: Path) -> LabelViews:
    return LabelViews(images, cameras, mattes, surface)
