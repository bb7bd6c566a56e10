"""The expression basis of a head model whose licence does not let it travel: an avatar names it, its user's own files supply it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from headcast import layout
from headcast.errors import AssetMissing, BadFile
from headcast.heads import load_head_model

TENSOR = "canonical/expression_basis"


def reference(name: str, scale: float, sources: Mapping[str, str]) -> dict[str, Any]:
    """What an avatar's metadata say under ``withheld_basis``: the model, the person's scale, SHA-256 of the model's files."""
    return {"model": name, "scale": scale, "sources": dict(sources)}


def supply(avatar: Path, about: Mapping[str, Any]) -> Float[Tensor, "E V 3"]:
    """The basis (m, scaled) for ``avatar`` from the built model beside its results or in the working folder.

    ``AssetMissing`` when no model is there, ``BadFile`` when it is made of other files than the avatar's.
    """
    wanted = Path(layout.head_model.format(model=about["model"]))
    beside = avatar.resolve().parents[2:3]
    places = [folder / Path(*wanted.parts[1:]) for folder in beside] + [wanted]
    cache = next((place for place in places if place.is_file()), None)
    if cache is None:
        raise AssetMissing(
            wanted,
            f"{avatar.name} was made with the head model {about['model']}, whose licence does not let its basis travel",
            f"build it from your own files: snakemake {wanted}",
        )
    model = load_head_model(about["model"], cache)
    if dict(model.sources) != dict(about["sources"]):
        raise BadFile(cache, f"is made of other files than the head model of {avatar}", "obtain the version that the avatar names")
    return (about["scale"] * torch.as_tensor(model.expression_basis).double()).float()
