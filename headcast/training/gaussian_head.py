"""Stage two: Gaussian head and strand hair, splatted in one pass and trained together on the views of all sequences.

Coarse to fine: the first steps see the views at half the size. All frames share one appearance; a small twist per frame takes up
what the fitted pose is off. A fixed budget of Gaussians: the useless move to where the pictures ask for more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headcast.avatar.canonical import CanonicalHead, skull_track
from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.dynamics import StrandDynamics
from headcast.avatar.gaussian_head import GaussianHead, HeadPose, Motion
from headcast.avatar.picture import Rendered, enlarged, splat
from headcast.avatar.strands import StrandHair, skull_to_world
from headcast.avatar.super_resolution import SuperResolution
from headcast.training.hair import HairMotion
from headcast.training.joint import hair_terms, head_terms, image_terms
from headcast.training.losses import masked_mean
from headcast.training.recording import Recording
from headcast.training.samples import View, Views, composited, pick
from headcast.training.schedule import HAIR_RATES, HEAD_RATES, LEAN_RATE, NETWORK_RATE, TWIST_RATE, Schedule
from headcast.training.sharpening import SharpViews, sharp_terms
from headcast.training.together import ALONE, Together

CLEARANCE = 5e-4
"""How far (m) above the head the finished strands are."""
VIEWS_SHARE = 0.3
"""Views are kept on a GPU when they take at most this share of its free memory."""
WARM_UP = 3
"""Views that are tried, at least, before a step is recorded."""


Perceptual = Callable[[Float[Tensor, "S S 3"], Float[Tensor, "S S 3"]], Float[Tensor, ""]]


class JointTrainee:
    """Head and hair under one optimiser; ``headcast.training.loop`` drives it."""

    name = "train_avatar"

    def __init__(
        self,
        views: Views,
        canonical: CanonicalHead,
        head: GaussianHead,
        hair: StrandHair | None,
        dynamics: StrandDynamics | None,
        inside: SignedDistanceGrid | None,
        schedule: Schedule,
        device: torch.device | str = "cpu",
        network: SuperResolution | None = None,
        perceptual: Perceptual | None = None,
        together: Together = ALONE,
    ) -> None:
        """Hair moves along the track as ``dynamics`` has it until more is known; rigidly with the skull without.

        ``network`` enlarges what is splatted; ``perceptual`` is a distance of two pictures that it has to make small besides;
        ``together`` are the processes that share the views of a step.
        """
        self.schedule, self.device, self.together = schedule, torch.device(device), together
        self.network, self.perceptual = None if network is None else network.to(device), perceptual
        self.canonical, self.head = canonical.to(device), head.to(device)
        self.hair = None if hair is None else hair.to(device)
        self.inside = None if inside is None else inside.to(device)
        views = views.to(self.device) if fits(views, self.device) else views
        fine = schedule.splatted
        self.coarse = max(fine // 2, 32) if schedule.coarse > 0 else fine
        on_black = composited(views.resized(min(schedule.size, views.size[0])))
        self.levels = {size: on_black.resized(size) for size in {fine, self.coarse}}
        self.sharp = None if network is None else SharpViews.of(on_black, views.images.device)
        rotations, translations = skull_track(views.parameters)
        self.rotations, self.translations = rotations.to(device), translations.to(device)
        self.expressions = views.parameters.expression.float().to(device)
        self.twist = nn.Parameter(torch.zeros(views.frames, 6, device=device))
        self.seen = torch.zeros(views.frames, 1, device=device).index_fill_(0, views.frame.to(device), 1.0)
        self.demand = torch.zeros(len(head), device=device)
        self.motions = self._all_motions()
        self.swinging: HairMotion | None = None
        if self.hair is not None and dynamics is not None:
            self.swinging = HairMotion(views, self.canonical, self.hair.points.detach(), dynamics, self.inside, schedule.lean)
        self._recordings: dict[int, Recording] = {}
        self._optimiser = torch.optim.Adam(self._groups(), lr=1e-3, eps=1e-15, fused=self.device.type == "cuda")

    def _groups(self) -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = [{"params": [getattr(self.head, name)], "lr": rate} for name, rate in HEAD_RATES.items()]
        for network in (self.head.residual, self.network):
            if network is not None:
                groups.append({"params": list(network.parameters()), "lr": NETWORK_RATE})
        if self.schedule.track:
            groups.append({"params": [self.twist], "lr": TWIST_RATE})
        if self.hair is not None:
            groups += [{"params": [getattr(self.hair, name)], "lr": rate} for name, rate in HAIR_RATES.items()]
        if self.swinging is not None and self.swinging.leaning is not None:
            groups.append({"params": [self.swinging.leaning.slopes], "lr": LEAN_RATE})
        return [{**group, "base": group["lr"]} for group in groups if all(p.numel() for p in group["params"])]

    @property
    def optimisers(self) -> list[torch.optim.Optimizer]:
        """The one Adam of all groups."""
        return [self._optimiser]

    def state_dict(self) -> dict[str, Any]:
        """All layers, the twists and the demand gathered since the last move."""
        layers = {name: layer.state_dict() for name, layer in self._layers().items()}
        return {**layers, "twist": self.twist.detach(), "demand": self.demand}

    def _layers(self) -> dict[str, nn.Module]:
        named = {"head": self.head, "hair": self.hair, "swinging": self.swinging, "network": self.network}
        return {name: layer for name, layer in named.items() if layer is not None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned."""
        for name, layer in self._layers().items():
            layer.load_state_dict(state[name])
        if self.swinging is not None:
            self.swinging.renew()
        with torch.no_grad():
            self.twist.copy_(state["twist"])
            self.demand.copy_(state["demand"])

    def twists(self) -> Float[Tensor, "F 6"]:
        """The trained changes of the frames' poses; their mean is zero, or what frames without training views say would not fit."""
        return (self.twist - (self.twist * self.seen).sum(0) / self.seen.sum()) * self.seen

    def pose(self, frame: int) -> HeadPose:
        """The frame's expression and skull placement, as trained."""
        motion = self.motion(frame)
        return HeadPose(self.expressions[frame], motion.rotation, motion.translation)

    @torch.no_grad()
    def _all_motions(self) -> Motion:
        """What every frame's fitted pose does to the head, stacked."""
        poses = zip(self.expressions, self.rotations, self.translations, strict=True)
        every = [Motion.of(self.canonical, HeadPose(*pose)) for pose in poses]
        return Motion(*(torch.stack(parts) for parts in zip(*every, strict=True)))

    def motion(self, frame: int | Tensor) -> Motion:
        """What the frame's pose does to the head; for a number on the device nothing waits."""
        fitted = Motion(*(pick(parts, frame) for parts in self.motions))
        return fitted.turned(pick(self.twists(), frame)) if self.schedule.track else fitted

    def picture(self, view: View, motion: Motion | None = None, residuals: Float[Tensor, "N 6"] | None = None) -> Rendered:
        """What the avatar looks like from a view, at its size, on black; what is known of its frame is not found again."""
        motion = self.motion(view.frame) if motion is None else motion
        center = -view.world_to_camera[:3, :3].T @ view.world_to_camera[:3, 3]
        layers = [self.head.gaussians(self.canonical, motion, center, residuals)]
        if self.hair is not None:
            points = self.hair.points if self.swinging is None else self.hair.points + self.swinging(view.frame)
            layers.append(self.hair.gaussians(skull_to_world(points, motion.rotation, motion.translation), center))
        height, width = view.matte.shape
        return splat(layers, view.world_to_camera, view.K, width, height, backend="warp")  # the one that can be recorded

    @torch.no_grad()
    def drawn(self, view: Views) -> Float[Tensor, "H W 3"]:
        """The colours from the only one of ``view`` at its size, on black; enlarged where that is trained."""
        if self.network is None:
            return self.picture(view.at(0, self.device)).image
        picture = self.picture(view.resized(self.schedule.splatted).at(0, self.device))
        return enlarged(picture, self.network, *view.size[::-1]).image

    def step(self, index: int) -> Mapping[str, float | Tensor]:
        """The views of a step: render, compare, differentiate; gradients and terms are their means."""
        self._set_rates(index)
        fine = index >= self.schedule.coarse * self.schedule.steps
        views, sharp = self.levels[self.schedule.splatted if fine else self.coarse], self.sharp if fine else None
        count = self.schedule.views
        turns = [index * count + number for number in self.together.share(count)]
        terms = self._summed([self._numbers(views, turn, sharp) for turn in turns], views, sharp)
        if self.together.count > 1:
            gradients = [p.grad for p in self._parameters if p.grad is not None]
            means = torch.stack([torch.as_tensor(value, device=self.device).double() for value in terms.values()])
            self.together.average([*gradients, means])
            terms = dict(zip(terms, means.unbind(), strict=True))
        return terms

    def _summed(self, chosen: Sequence[tuple[int, ...]], views: Views, sharp: SharpViews | None) -> dict[str, float | Tensor]:
        """Mean terms of the ``chosen`` views, mean gradients in the parameters."""
        if len(chosen) == 1:
            return dict(self._one(chosen[0], views, sharp))
        sums: list[Tensor | None] = [None] * len(self._parameters)
        terms: dict[str, float | Tensor] = {}
        for numbers in chosen:
            for parameter in self._parameters:
                parameter.grad = None
            for name, value in self._one(numbers, views, sharp).items():
                terms[name] = terms.get(name, 0.0) + value / len(chosen)
            for place, parameter in enumerate(self._parameters):
                if parameter.grad is not None:
                    part, before = parameter.grad / len(chosen), sums[place]
                    sums[place] = part if before is None else before + part
        for parameter, gradient in zip(self._parameters, sums, strict=True):
            parameter.grad = gradient
        return terms

    @property
    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self._optimiser.param_groups for parameter in group["params"]]

    def _one(self, numbers: tuple[int, ...], views: Views, sharp: SharpViews | None) -> Mapping[str, float | Tensor]:
        work = self._work(views, sharp)
        if views.images.device.type != "cuda":
            return work(*numbers)
        size = views.size[0]
        if size not in self._recordings:
            parameters = self._parameters
            examples = [(number, *numbers[1:]) for number in range(0, len(views), -(-len(views) // WARM_UP))]
            self._recordings[size] = Recording(work, parameters, examples)
        return self._recordings[size](*numbers)

    def _numbers(self, views: Views, turn: int, sharp: SharpViews | None) -> tuple[int, ...]:
        """What is looked at: the view, and where there are full-size pictures the corner of the part."""
        view = int(views.sampler(self.schedule.seed, turn)[0])
        return (view,) if sharp is None else (view, *sharp.corner(view, turn // len(views), self.schedule.seed))

    def _work(self, views: Views, sharp: SharpViews | None) -> Callable[..., dict[str, Tensor]]:
        def work(number: int | Tensor, *corner: int | Tensor) -> dict[str, Tensor]:
            view = views.at(number, self.device)
            motion = self.motion(view.frame)
            residuals = self.head.residuals(motion)
            picture = self.picture(view, motion, residuals)
            return self._compare(
                view, picture, residuals, {} if sharp is None else self._sharp_terms(picture, sharp, number, *corner)
            )

        return work

    def _sharp_terms(
        self, picture: Rendered, sharp: SharpViews, number: int | Tensor, row: int | Tensor, column: int | Tensor
    ) -> dict[str, Tensor]:
        """Super-resolution of a part against the picture at full size."""
        assert self.network is not None
        truth, visible = (part.to(self.device) for part in sharp.part(number, row, column))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.schedule.half and self.device.type == "cuda"):
            drawn = self.network.tile(picture.planes(), row, column, sharp.side).permute(1, 2, 0)
            more = {} if self.perceptual is None else {"perceptual": self.perceptual(drawn, truth)}
        return sharp_terms(drawn, truth, visible, self.schedule.sharp_weights) | more

    def _compare(
        self, view: View, picture: Rendered, residuals: Float[Tensor, "N 6"], more: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        weights = self.schedule.weights
        terms = image_terms(picture, view, weights) | head_terms(self.head, residuals, weights) | more
        if self.hair is not None and self.inside is not None:
            terms |= hair_terms(self.hair, self.inside, weights)
        if self.swinging is not None and self.swinging.leaning is not None:
            terms["lean"] = weights.lean * self.swinging.leaning.steepness()
        if self.schedule.track:
            terms["twist"] = weights.twist * ((self.twist[:, :3] * 0.1).square().mean() + self.twist[:, 3:].square().mean())
        total = torch.stack(list(terms.values())).sum()
        total.backward()
        self.head.hold_unseen()
        error = masked_mean((picture.image.detach() - view.image).square(), view.visible)
        return {
            "total": total.detach(),
            "psnr": -10 * torch.log10(error.clamp_min(1e-10)),
            **{k: v.detach() for k, v in terms.items()},
        }

    def finish(self, index: int) -> None:
        """After the optimiser: bounds, and now and then a move of useless Gaussians to where the demand is."""
        self.head.guard()
        if self.head.offset.grad is not None:
            self.demand += self.head.offset.grad.norm(dim=-1)
        schedule = self.schedule
        share = index / max(schedule.steps, 1)
        if schedule.move_first <= share <= schedule.move_last and (index + 1) % schedule.move_every == 0:
            self._move()
        if index + 1 == round(schedule.learn_swing * schedule.steps):
            self._learn_swing()

    @torch.no_grad()
    def _learn_swing(self) -> None:
        """The dynamics that fit the views best as everything is now, the same in all processes."""
        if self.hair is None or self.swinging is None:
            return
        self.swinging.learn(self.hair.points.detach(), self._misfit)
        self.together.average(self.swinging.dynamics.scalars().values())
        self.swinging.renew()

    @torch.no_grad()
    def _misfit(self) -> float:
        """The sum of the image terms over some training views, evenly chosen, as everything is now."""
        views = self.levels[self.coarse]
        known = views.training_indices()
        some = torch.linspace(0, len(known) - 1, min(self.schedule.swing_views, len(known))).round().long()
        pictures = ((self.picture(view), view) for view in (views.at(index, self.device) for index in known[some].tolist()))
        return sum(float(torch.stack(list(image_terms(*pair, self.schedule.weights).values())).sum()) for pair in pictures)

    @torch.no_grad()
    def _move(self) -> None:
        """Relocate the faint beside the Gaussians with the largest summed positional gradient.

        What no training camera sees stays: it fills the surface for others.
        """
        useless = torch.where(self.demand == 0, 1.0, self.head.logit_opacities.sigmoid())
        most = int(self.schedule.move_most * len(self.head))
        order = torch.argsort(useless, stable=True)[:most]
        gone = order[useless[order] < self.schedule.faint]
        demand = self.demand.clone()
        demand[gone] = -1
        parents = torch.argsort(demand, descending=True, stable=True)[: len(gone)]
        self.head.relocate(gone, parents)
        changed = torch.cat((gone, parents))
        for name in HEAD_RATES:
            moments = self._optimiser.state.get(getattr(self.head, name), {})
            for key in ("exp_avg", "exp_avg_sq"):
                if key in moments:
                    moments[key][changed] = 0
        self.demand.zero_()

    def _set_rates(self, index: int) -> None:
        decay = self.schedule.last_rate ** (index / max(self.schedule.steps, 1))
        for group in self._optimiser.param_groups:
            group["lr"] = group["base"] * decay


def fits(views: Views, device: torch.device) -> bool:
    """Whether the views can lie on a GPU beside what training needs there."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return len(views) * views.bytes_per_view < VIEWS_SHARE * free
