"""train_avatar: stage two, Gaussian head and strand hair trained together on the training views."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headcast.assets import made_with, used_by
from headcast.avatar.children import between
from headcast.avatar.groom import Groom
from headcast.avatar.strands import StrandHair
from headcast.config import HeldOut, Training
from headcast.delivery.licences import bill, identify
from headcast.formats.avatar_file import write_avatar
from headcast.formats.hair_file import KIND, read_hair
from headcast.formats.journal import Journal
from headcast.formats.manifest import read_product
from headcast.formats.mesh_head_file import mesh_head_digest, read_mesh_head
from headcast.formats.raw_list import read_raw
from headcast.formats.state import FileStore, ReadStore, fingerprint, open_store
from headcast.formats.track import read_head_params
from headcast.formats.withheld_basis import reference
from headcast.process.command import Progress
from headcast.process.signals import should_stop
from headcast.stages.train_mesh_head import canonical_head, told
from headcast.stages.training_views import Sources, gather
from headcast.training.avatar import train_avatar
from headcast.training.joint import Weights
from headcast.training.loop import Report, generator
from headcast.training.schedule import Schedule
from headcast.training.together import Together, helped


@dataclass(frozen=True)
class Inputs:
    """Raw lists and products of the avatar's sequence and its extra ones, in the same order; the avatar to write.

    ``config`` is JSON: the sections that shaped the products. It is kept with the avatar and changes nothing.
    """

    raw: list[Path]
    images: list[Path]
    cameras: list[Path]
    background: list[Path]
    mattes: list[Path]
    masks: list[Path]
    landmarks: list[Path]
    orientation: list[Path]
    params: list[Path]
    model: Path
    mesh_head: Path
    hair: Path
    state: Path
    tensorboard: Path
    code: str
    config: str
    output: Path


def run(inputs: Inputs, training: Training, held_out: HeldOut, progress: Progress) -> Path:
    """Train head and hair together, resuming when settings, inputs and code are the same."""
    depends = {
        **Sources.of(inputs).digests(),
        "mesh_head": mesh_head_digest(inputs.mesh_head),
        "hair": read_product(inputs.hair, KIND).digest,
    }
    settings = {"training": training.model_dump(mode="json"), "held_out": held_out.model_dump(mode="json")}
    parameters, facts = read_head_params(inputs.params[0])
    mark = fingerprint(code=inputs.code, settings=settings, inputs=depends)
    with open_store(inputs.state, mark, training.resume_training) as store:
        shared = inputs, training, held_out, mark
        with helped(training.processes, help_train, shared) as together, Journal(inputs.tensorboard) as journal:
            avatar = trained(together, inputs, training, held_out, store, journal, told(progress, journal))
        notes = provenance(inputs, {**json.loads(inputs.config), **settings}, depends, facts)
        write_avatar(inputs.output, avatar, notes | withheld(facts, float(parameters.scale)))
        store.clear()
    return inputs.output


def trained(
    together: Together,
    inputs: Inputs,
    training: Training,
    held_out: HeldOut,
    store: FileStore,
    journal: Journal | None = None,
    report: Report | None = None,
) -> Avatar:
    """Read everything and train, in each of the processes that work together."""
    schedule = scheduled(training)
    groom, _ = read_hair(inputs.hair)
    return train_avatar(
        gather(Sources.of(inputs), held_out, training.size, "training"),
        canonical_head(inputs.params[0], inputs.model),
        read_mesh_head(inputs.mesh_head),
        initial_hair(groom, training, schedule.detail),
        read_head_params(inputs.params[0])[1]["expression_names"],
        schedule,
        gaussians=training.gaussians,
        device=together.device,
        store=store,
        report=report,
        journal=journal,
        stop=should_stop,
        save_every=training.save_every,
        together=together,
    )


def help_train(together: Together, inputs: Inputs, training: Training, held_out: HeldOut, mark: str) -> None:
    """What the other processes do: the same, from the same state, without writing anything."""
    trained(together, inputs, training, held_out, ReadStore(inputs.state, mark))


def initial_hair(groom: Groom, training: Training, detail: int) -> StrandHair:
    """The strands that training starts with, thinner where children fill the gaps between them."""
    children = between(groom.points, training.children, generator(training.seed, "children"))
    return StrandHair(groom.points, groom.color, groom.width / (1 + training.children), detail=detail, children=children)


def scheduled(training: Training) -> Schedule:
    """What the settings say about the optimisation."""
    return Schedule(
        steps=training.steps,
        size=training.size,
        views=training.processes,
        seed=training.seed,
        coarse=training.coarse,
        swing=training.hair_motion != "rigid",
        lean=training.hair_motion == "lean",
        supres=training.use_supres,
        channels=training.num_channels,
        half=training.half,
        weights=Weights(**training.weights),
    )


def provenance(inputs: Inputs, config: dict[str, Any], depends: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """What the avatar was made of and with: configuration, code, hashes of all inputs, versions, and the bill of licences."""
    raw = [read_raw(path) for path in inputs.raw]
    subject = inputs.images[0].parent.parent.parent.name
    products = [*Sources.of(inputs).products(), (inputs.hair, KIND)]
    versions = [read_product(path, kind).made_with for path, kind in products]
    listed = joined([*versions, made_with()])
    entries = bill(identify(subject, raw[0]), used_by(config), listed)
    return {
        "sequences": [path.parent.parent.name for path in inputs.images],
        "subject": subject,
        "config": config,
        "inputs": {**depends, "raw": [fingerprint(files=content["files"]) for content in raw]},
        "code": inputs.code,
        "versions": listed,
        "bill": entries,
        "licences": {f"head model {facts['model']}": facts["licence"]},
        "assets": facts["sources"],
    }


def joined(versions: list[dict[str, str]]) -> dict[str, str]:
    """Versions of several environments in one table; a package that differs between them lists all."""
    names = sorted({name for table in versions for name in table})
    return {name: ", ".join(sorted({table[name] for table in versions if name in table})) for name in names}


def withheld(facts: dict[str, Any], scale: float) -> dict[str, Any]:
    """The note that keeps the head model's basis out of the avatar, where its licence asks for that."""
    return {} if facts["redistributable"] else {"withheld_basis": reference(facts["model"], scale, facts["sources"])}
