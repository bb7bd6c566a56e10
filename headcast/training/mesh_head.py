"""Training of the mesh head (stage one): colour, silhouette, landmarks and a surface that stays near the fitted head."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from headcast.avatar.canonical import CanonicalHead, skull_track
from headcast.avatar.mesh_head import MeshHead, Posed, Shape
from headcast.rendering.mesh import rasterize, soft_silhouette, to_camera
from headcast.training.carving import start_lattice
from headcast.training.loop import Report, StateStore, run_loop
from headcast.training.losses import landmark_loss, laplacian_loss, matte_loss
from headcast.training.samples import View, Views
from headcast.training.watching import Journal, watch, watched

logger = logging.getLogger(__name__)

COLOUR_RATE, PLANE_RATE = 1.5, 8.0  # learning rates of texture network and planes relative to the geometry's
ATTENTION_M, ATTENTION = (
    0.004,
    5.0,
)  # where the expression moves the skin, pixels weigh up to so much more: mouth and lids are small
OPAQUE = 0.9  # matte above which a pixel's colour is the subject's


@dataclass(frozen=True)
class Weights:
    """Weights of the loss terms; lengths enter in cells of the lattice or shares of the image side."""

    colour: float = 1.0
    silhouette: float = 4.0
    landmarks: float = 2.0
    laplacian: float = 0.3
    eikonal: float = 0.05
    anchor: float = 0.02
    trusted: float = 0.5
    offset: float = 0.01
    residual: float = 0.02


class MeshTrainee:
    """What the loop drives: several views of one training frame a step."""

    name = "train_mesh_head"

    def __init__(self, head: MeshHead, views: Views, *, steps: int, batch: int, seed: int, rate: float, weights: Weights) -> None:
        self.head, self.views, self.weights = head, views, weights
        self.steps, self.batch, self.seed, self.rate = steps, batch, seed, rate
        self.device = head.center.device
        self.rotations, self.translations = (tensor.to(self.device) for tensor in skull_track(views.parameters))
        self.expression = views.parameters.expression.float().to(self.device)
        geometry = [*head.shape_network.parameters(), *head.motion_network.parameters()]
        groups = [(geometry, 1.0), (list(head.colour_network.parameters()), COLOUR_RATE), ([head.planes], PLANE_RATE)]
        self._factors = [factor for _, factor in groups]
        self._optimisers = [torch.optim.Adam([{"params": parameters, "lr": rate} for parameters, _ in groups], betas=(0.9, 0.99))]

    @property
    def optimisers(self) -> Sequence[torch.optim.Optimizer]:
        """One Adam over all networks."""
        return self._optimisers

    def state_dict(self) -> dict[str, Any]:
        """The networks (the lattice follows from the inputs)."""
        return {name: parameter.detach() for name, parameter in self.head.named_parameters()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the networks."""
        with torch.no_grad():
            for name, parameter in self.head.named_parameters():
                parameter.copy_(state[name])

    def step(self, index: int) -> dict[str, Tensor]:
        """Forward and backward of one step."""
        decay = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * index / self.steps))
        for group, factor in zip(self._optimisers[0].param_groups, self._factors, strict=True):
            group["lr"] = self.rate * factor * decay
        chosen = self.views.frame_sampler(self.seed, index, self.batch)
        batch = [self.views.at(int(number), self.device) for number in chosen]
        frame = batch[0].frame
        expression, rotation, translation = self.expression[frame], self.rotations[frame], self.translations[frame]
        shape = self.head.shape()
        posed = self.head.posed(expression, rotation, translation, shape=shape, colours=False)
        terms = self.surface_terms(shape, posed)
        world = self.head.landmarks(expression, rotation, translation)
        for view in batch:
            for name, value in self.view_terms(view, posed, expression, world).items():
                terms[name] = terms.get(name, 0) + value / len(batch)
        total = sum(
            (getattr(self.weights, name) * value for name, value in terms.items()), start=torch.zeros((), device=self.device)
        )
        total.backward()
        return {"total": total.detach(), **{name: value.detach() for name, value in terms.items()}}

    def drawn(self, view: Views) -> Float[Tensor, "H W 3"]:
        """The colours from the only one of ``view`` on black."""
        one = view.at(0, self.device)
        placed = self.expression[one.frame], self.rotations[one.frame], self.translations[one.frame]
        return self.head.render(*placed, one.world_to_camera, one.K, *view.size[::-1])[0]

    def surface_terms(self, shape: Shape, posed: Posed) -> dict[str, Tensor]:
        """What keeps the surface smooth, a distance, and near its start."""
        lattice = self.head.lattice
        origin, *ends = lattice.neighbours.unbind(1)
        gradient = torch.stack([(shape.distance[end] - shape.distance[origin]) / lattice.cell for end in ends], dim=1)
        change = (shape.change / lattice.cell).square()
        return {
            "laplacian": laplacian_loss(posed.canonical, posed.faces) / lattice.cell**2,
            "eikonal": (gradient.square().sum(1).add(1e-8).sqrt() - 1).square().mean(),
            "anchor": change.mean(),
            "trusted": (change * lattice.trust).sum() / lattice.trust.sum().clamp_min(1),
            "offset": (shape.offset / lattice.cell).square().sum(-1).mean(),
            "residual": (posed.residual / lattice.cell).square().sum(-1).mean(),
        }

    def view_terms(
        self, view: View, posed: Posed, expression: Float[Tensor, "E"], landmarks: Float[Tensor, "68 3"]
    ) -> dict[str, Float[Tensor, ""]]:
        """What one picture says: colour where the mesh and the subject are, coverage, landmarks."""
        height, width = view.matte.shape
        fragments = rasterize(posed.vertices, posed.faces, view.world_to_camera, view.K, width, height)
        covered = (fragments.face_id >= 0) & view.visible & (view.matte > OPAQUE)
        colour, motion = self.head.shade(posed, fragments, expression, covered)
        attention = 1 + (motion.detach().norm(dim=1) / ATTENTION_M).clamp_max(ATTENTION)
        truth = view.image[covered]
        alpha = soft_silhouette(
            posed.vertices, posed.faces, view.world_to_camera, view.K, width, height, sigma=width / 128, fragments=fragments
        )
        local = to_camera(landmarks, view.world_to_camera)
        projected = (local @ view.K.T)[:, :2] / local[:, 2:]
        return {
            "colour": ((colour - truth).abs().mean(1) * attention).sum() / attention.sum().clamp_min(1),
            "silhouette": matte_loss(alpha, view.matte, view.visible),
            "landmarks": landmark_loss(projected, view.landmarks, width),
        }


def train_mesh_head(
    views: Views,
    canonical: CanonicalHead,
    *,
    steps: int = 300,
    size: int = 128,
    batch: int = 2,
    grid: int = 40,
    seed: int = 0,
    width: int = 64,
    features: int = 16,
    rate: float = 3e-3,
    weights: Weights | None = None,
    device: torch.device | str = "cpu",
    store: StateStore | None = None,
    report: Report | None = None,
    journal: Journal | None = None,
    stop: Callable[[], bool] | None = None,
    save_every: int = 100,
) -> MeshHead:
    """Train a mesh head on the training views at ``size`` px with a lattice of ``grid`` cells along its longest side.

    Resumes from ``store``; ``journal`` is shown one held-out view whenever the state is saved. Raises ``Diverged`` when the
    optimiser leaves the finite numbers for good and ``KeyboardInterrupt``, with the state saved, when ``stop()`` turns true.
    """
    held, views = watched(views, size), views.subset(views.training_indices()).resized(size)
    lattice = start_lattice(views, canonical, grid)
    logger.info(
        "lattice: %d points, %d tetrahedra, cell %.1f mm", len(lattice.points), len(lattice.tets), 1000 * float(lattice.cell)
    )
    head = MeshHead(canonical, lattice, width=width, features=features, seed=seed).to(device)
    trainee = MeshTrainee(head, views, steps=steps, batch=batch, seed=seed, rate=rate, weights=weights or Weights())
    run_loop(trainee, steps, store, report, stop=stop, watch=watch(held, journal, trainee.drawn), save_every=save_every)
    return head
