"""train_mesh_head: stage one, a deformable tetrahedral mesh of head, hair volume and bust."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headcast.avatar.canonical import CanonicalHead
from headcast.config import HeldOut, MeshHead
from headcast.formats.doctor_file import require_health
from headcast.formats.journal import Journal
from headcast.formats.mesh_head_file import write_mesh_head
from headcast.formats.state import fingerprint, open_store
from headcast.formats.track import read_head_params
from headcast.heads import load_head_model
from headcast.networks.runtime import best_device
from headcast.process.command import Progress
from headcast.process.signals import should_stop
from headcast.stages.training_views import Sources, gather
from headcast.training.loop import Report
from headcast.training.mesh_head import train_mesh_head


@dataclass(frozen=True)
class Inputs:
    """Products of the avatar's sequence and its extra ones, in the same order; the mesh head to write."""

    images: list[Path]
    cameras: list[Path]
    background: list[Path]
    mattes: list[Path]
    masks: list[Path]
    landmarks: list[Path]
    params: list[Path]
    verdict: list[Path]
    model: Path
    state: Path
    tensorboard: Path
    code: str
    output: Path


def run(inputs: Inputs, mesh_head: MeshHead, held_out: HeldOut, progress: Progress) -> Path:
    """Train the mesh head, resuming from its state when settings, inputs and code are the same."""
    require_health(inputs.verdict)
    sources = Sources.of(inputs)
    mark = fingerprint(code=inputs.code, settings=[mesh_head.model_dump(), held_out.model_dump()], inputs=sources.digests())
    views = gather(sources, held_out, mesh_head.size, "mesh_head")
    with open_store(inputs.state, mark) as store, Journal(inputs.tensorboard) as journal:
        head = train_mesh_head(
            views,
            canonical_head(inputs.params[0], inputs.model),
            steps=mesh_head.steps,
            size=mesh_head.size,
            grid=mesh_head.grid,
            seed=mesh_head.seed,
            device=best_device(),
            store=store,
            report=told(progress, journal),
            journal=journal,
            stop=should_stop,
            save_every=mesh_head.save_every,
        )
        write_mesh_head(inputs.output, head)
        store.clear()
    return inputs.output


def canonical_head(params: Path, model: Path) -> CanonicalHead:
    """The fitted head at rest in the skull's frame."""
    parameters, facts = read_head_params(params)
    return CanonicalHead.from_model(load_head_model(facts["model"], cache=model), parameters)


def told(progress: Progress, journal: Journal) -> Report:
    """A training loop's report as progress lines, and as scalars in the journal."""

    def report(step: int, steps: int, losses: dict[str, float], rate: float) -> None:
        journal.scalars(step, {f"train/{name}": value for name, value in losses.items()} | {"train/steps_per_s": rate})
        held_out = {} if journal.psnr is None else {"held-out psnr": journal.psnr}
        progress(step, steps, " ".join(f"{name} {value:.4f}" for name, value in (held_out | losses).items()))

    return report
