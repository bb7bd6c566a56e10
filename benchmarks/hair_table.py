"""What each part of the hair's training brings: ``make hair-table``, or ``python -m benchmarks.hair_table --help``. Markdown.

Trains once for every variant on the finished products of a subject's sequences (``make demo`` makes them) and reports what
``evaluate`` would: strands as grown, optimised but rigid with the skull, optimised with learned motion, and the latter without each
of the terms that concern hair.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch

from headcast import layout
from headcast.config import HeldOut, Training
from headcast.evaluation.protocol import score_views
from headcast.evaluation.strand_metrics import inside_ratio
from headcast.evaluation.summary import summarise
from headcast.formats.ground_truth import open_ground_truth
from headcast.formats.hair_file import read_hair
from headcast.formats.mesh_head_file import read_mesh_head
from headcast.formats.track import read_head_params
from headcast.networks.runtime import best_device
from headcast.process.command import Progress
from headcast.stages.evaluate import Reference, evaluated, moving_sequences
from headcast.stages.train_avatar import initial_hair, scheduled
from headcast.stages.train_mesh_head import canonical_head
from headcast.stages.training_views import Sources, gather
from headcast.training.avatar import train_avatar
from headcast.training.schedule import HAIR_RATES

PRODUCTS = {
    "images": layout.images,
    "cameras": layout.cameras,
    "background": layout.background,
    "mattes": layout.mattes,
    "masks": layout.hair_masks,
    "params": layout.driver_params,
    "landmarks": layout.landmarks,
    "orientation": layout.orientation_maps,
}
TERMS = {
    "hair masks": ("hair_missing", "hair_excess"),
    **{name: (name,) for name in ("orientation", "smooth", "length", "anchor", "inside", "lean")},
}
COLUMNS = "hair IoU | hair dB, cameras | hair dB, frames | gain of motion, dB | precision / recall, 4 mm | inside % | s | GB"


def variants(chosen: Training) -> dict[str, tuple[Training, dict[str, float]]]:
    """Settings by name, with rates of the hair's parameters that differ."""

    def without(*terms: str) -> Training:
        return chosen.model_copy(update={"weights": {**chosen.weights, **dict.fromkeys(terms, 0.0)}})

    rigid = chosen.model_copy(update={"hair_motion": "rigid"})
    return {
        "as grown": (rigid, {"free_points": 0.0}),
        "optimised, rigid": (rigid, {}),
        "optimised, moving": (chosen, {}),
        **{f"without {name}": (without(*terms), {}) for name, terms in TERMS.items()},
    }


class Table:
    """The products of one avatar, read once."""

    def __init__(self, results: Path, sequences: list[str], truth: Path, size: int) -> None:
        def place(pattern: str, sequence: str) -> Path:
            return layout.under(results.parent, pattern, results.name, sequence)

        named = {name: [place(pattern, sequence) for sequence in sequences] for name, pattern in PRODUCTS.items()}
        own = sequences[0]
        self.sources = Sources(**named)
        self.views = gather(self.sources, HeldOut(), size, "training")
        self.canonical = canonical_head(named["params"][0], results.parent / "models/open.npz")
        self.names = read_head_params(named["params"][0])[1]["expression_names"]
        self.groom, _ = read_hair(place(layout.hair_strands, own))
        self.mesh_head = read_mesh_head(place(layout.mesh_head, own))
        self.reference = Reference(open_ground_truth(truth), self.sources, self.views)

    def row(self, training: Training, rates: dict[str, float]) -> str:
        """Train and evaluate one variant."""
        began, schedule = time.perf_counter(), scheduled(training)
        hair = initial_hair(self.groom, training, schedule.detail)
        with mock.patch.dict(HAIR_RATES, rates):
            avatar = train_avatar(
                self.views, self.canonical, self.mesh_head, hair, self.names, schedule, gaussians=training.gaussians,
                device=best_device(),
            )  # fmt: skip
        seconds, moving = time.perf_counter() - began, moving_sequences(avatar, self.views)
        scores = list(score_views(evaluated(avatar, self.views, self.reference, moving, Progress("hair table", sys.stderr))))
        strands = self.reference.strands(avatar, moving)
        report = summarise(scores, strands=strands, timing_s={}, protocol={})
        held = report["hair_motion"]["held_out_frames"]
        near = "–" if strands is None else " / ".join(f"{strands[f'{name}_4mm_40deg']:.2f}" for name in ("precision", "recall"))
        assert avatar.hair is not None and avatar.inside is not None
        inside = inside_ratio(avatar.inside(avatar.hair.points).detach().cpu().numpy())
        figures = f"{report['hair']['iou']:.3f} | {report['hair']['psnr']:.2f} | {held['psnr']:.2f} | {held['gain_db']:+.2f}"
        return f"{figures} | {near} | {100 * inside:.2f} | {seconds:.0f} | {memory_gb():.1f}"


def memory_gb() -> float:
    """The most memory that was taken so far: of the GPU, where there is one, since the last variant."""
    if torch.cuda.is_available():
        most = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return most / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(say: Callable[[str], None] = print) -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results/demo"), help="folder of the subject")
    parser.add_argument("--sequences", nargs="+", default=["HAIR", "EXP-1-head"], help="the avatar's own, then its extra ones")
    parser.add_argument("--truth", type=Path, default=Path("assets/demo/ground_truth"))
    parser.add_argument("--size", type=int, default=256, help="px")
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--gaussians", type=int, default=16_000)
    parser.add_argument("--children", type=int, default=0)
    parser.add_argument("--coarse", type=float, default=0.75)
    parser.add_argument("--variants", nargs="*", help="names of rows; all by default")
    given = parser.parse_args()
    chosen = Training(size=given.size, steps=given.steps, gaussians=given.gaussians, coarse=given.coarse, children=given.children)
    table = Table(given.results, given.sequences, given.truth, given.size)
    say(f"| | {COLUMNS} |")
    say("|" + "---|" * (COLUMNS.count("|") + 2))
    for name, (training, rates) in variants(chosen).items():
        if not given.variants or name in given.variants:
            say(f"| {name} | {table.row(training, rates)} |")


if __name__ == "__main__":
    main()
