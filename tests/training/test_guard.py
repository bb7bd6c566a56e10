"""Numbers that are not finite, wherever they can come from, and Gaussians out of bounds: training goes on and stays sound."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from headcast.avatar.gaussian_head import FARTHEST, LARGEST, SMALLEST
from headcast.errors import Diverged
from headcast.training.gaussian_head import JointTrainee
from headcast.training.loop import MemoryStore, run_loop
from headcast.training.samples import Views
from tests.training.test_gaussian_head import filmed, trainee_of

BAD_STEP, STEPS = 5, 9
Place = Callable[[JointTrainee], Tensor]


@pytest.fixture(scope="module")
def views() -> Views:
    return filmed(64)


def gradient_of(layer: str, name: str) -> Place:
    return lambda trainee: getattr(trainee, layer).get_parameter(name).grad


HEAD = ("offset", "log_scales", "quats", "logit_opacities", "color", "color_sh", "latent", "detail")
RESIDUAL = ("residual.point.weight", "residual.code.weight", "residual.hidden.bias", "residual.output.weight")
HAIR = ("free_points", "log_width", "color", "color_gradient", "color_sh", "logit_opacities", "logit_taper", "detail")
NETWORK = ("low.0.weight", "low.2.bias", "middle.weight", "high.weight")
GRADIENTS = {
    f"{layer}.{name}": gradient_of(layer, name)
    for layer, names in {"head": HEAD + RESIDUAL, "hair": HAIR, "network": NETWORK}.items()
    for name in names
} | {"twist": lambda trainee: trainee.twist.grad}


def moment(name: str) -> Place:
    return lambda trainee: trainee.optimisers[0].state[trainee.head.color][name]


MOMENTS = {"Adam's mean": moment("exp_avg"), "Adam's square": moment("exp_avg_sq")}


class Spoiled:
    """A trainee in which one number becomes ``value`` in the middle, once or at every attempt."""

    def __init__(self, trainee: JointTrainee, place: Place | str, value: float, times: int = 1) -> None:
        self.trainee, self.place, self.value, self.times = trainee, place, value, times
        self.steps: list[int] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.trainee, name)

    def step(self, index: int) -> dict[str, float | Tensor]:
        self.steps.append(index)
        terms = dict(self.trainee.step(index))
        if index == BAD_STEP and self.times:
            self.times -= 1
            if isinstance(self.place, str):
                terms[self.place] = torch.tensor(self.value)
            else:
                self.place(self.trainee).view(-1)[-1] = self.value
        return terms


def sound(trainee: JointTrainee) -> bool:
    parameters = [parameter for group in trainee.optimisers[0].param_groups for parameter in group["params"]]
    return all(bool(parameter.isfinite().all()) for parameter in parameters)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", [*GRADIENTS, *MOMENTS, "l1", "dssim", "matte", "orientation", "sharp_l1"])
def test_one_bad_number_anywhere_costs_a_few_steps_and_nothing_else(views: Views, name: str, value: float) -> None:
    spoiled = Spoiled(trainee_of(views, supres=True), {**GRADIENTS, **MOMENTS}.get(name, name), value)
    losses = run_loop(spoiled, STEPS, MemoryStore(), save_every=3)
    assert spoiled.steps == [*range(BAD_STEP + 1), *range(3, STEPS)], "back to the last good state, then on"
    assert sound(spoiled.trainee) and all(math.isfinite(value) for value in losses.values())


def test_what_stays_bad_ends_with_its_name_and_the_last_good_step(views: Views) -> None:
    store = MemoryStore()
    spoiled = Spoiled(trainee_of(views, supres=True), "dssim", math.nan, times=3)
    with pytest.raises(Diverged, match=f"train_avatar step {BAD_STEP}: non-finite dssim .* step 3"):
        run_loop(spoiled, STEPS, store, save_every=3)
    assert store.load()["index"] == 3 and sound(spoiled.trainee)


def needles(trainee: JointTrainee) -> None:
    trainee.head.log_scales[:, 0], trainee.head.log_scales[:, 1:] = math.log(0.5), math.log(1e-7)


def collapsed(trainee: JointTrainee) -> None:
    trainee.head.logit_opacities.fill_(-60.0)


def flown_away(trainee: JointTrainee) -> None:
    trainee.head.offset.add_(torch.tensor([5.0, 0.0, 0.0]))


@pytest.mark.parametrize("harm", [needles, collapsed, flown_away])
def test_gaussians_out_of_bounds_come_back(views: Views, harm: Callable[[JointTrainee], None]) -> None:
    trainee = trainee_of(views)
    with torch.no_grad():
        harm(trainee)
    run_loop(trainee, 1)
    scales = trainee.head.log_scales.exp()
    assert SMALLEST * 0.999 <= scales.min() <= scales.max() <= LARGEST * 1.001
    assert trainee.head.offset.norm(dim=-1).max() <= FARTHEST * 1.001 and trainee.head.logit_opacities.abs().max() <= 6
    assert trainee.head.logit_opacities.sigmoid().min() > 1 / 255, "what is not drawn does not learn"
    first = float(dict(trainee.step(1))["psnr"])
    run_loop(trainee, 25)
    assert float(dict(trainee.step(1))["psnr"]) > first + 0.15, "and learn again"
