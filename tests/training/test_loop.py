"""The loop: exact resume, roll-back, divergence, stopping, reporting."""

from __future__ import annotations

import pytest
import torch

from headcast.errors import Diverged
from headcast.training.loop import MemoryStore, generator, run_loop


class Line:
    """Fit a line to noisy points drawn from (seed, step); optionally spoil some steps."""

    name = "line"

    def __init__(self, spoil: dict[int, int] | None = None, where: str = "loss") -> None:
        self.weight = torch.nn.Parameter(torch.tensor([0.0, 0.0]))
        self.optimisers = [torch.optim.Adam([self.weight], lr=0.05)]
        self.spoil, self.where, self.seen, self.finished = dict(spoil or {}), where, [], []

    def step(self, index: int) -> dict[str, float]:
        self.seen.append(index)
        x = torch.rand(16, generator=generator(7, index))
        loss = ((self.weight[0] * x + self.weight[1]) - (2 * x - 1)).square().mean()
        loss.backward()
        spoiled = self.spoil.get(index, 0) > 0
        if spoiled:
            self.spoil[index] -= 1
            if self.where == "gradient":
                self.weight.grad[0] = torch.nan
        return {"fit": torch.nan if spoiled and self.where == "loss" else loss.item()}

    def finish(self, index: int) -> None:
        self.finished.append(index)

    def state_dict(self) -> dict:
        return {"weight": self.weight.detach()}

    def load_state_dict(self, state: dict) -> None:
        with torch.no_grad():
            self.weight.copy_(state["weight"])


def test_two_halves_equal_one_whole_bit_for_bit():
    whole, store, first, second = Line(), MemoryStore(), Line(), Line()
    run_loop(whole, 40, save_every=7)
    run_loop(first, 20, store, save_every=7)
    run_loop(second, 40, store, save_every=7)
    assert second.seen == list(range(20, 40))
    assert torch.equal(whole.weight, second.weight)
    assert not torch.equal(first.weight, second.weight)


def test_a_stop_saves_and_the_rest_follows():
    whole, store, first, second = Line(), MemoryStore(), Line(), Line()
    run_loop(whole, 30)
    with pytest.raises(KeyboardInterrupt):
        run_loop(first, 30, store, stop=lambda: len(first.seen) == 13, save_every=10)
    assert store.load()["index"] == 13
    run_loop(second, 30, store)
    assert torch.equal(whole.weight, second.weight)


def test_a_finished_run_does_nothing_more():
    store, trainee = MemoryStore(), Line()
    run_loop(Line(), 10, store)
    run_loop(trainee, 10, store)
    assert trainee.seen == []


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_one_bad_step_rolls_back_with_half_the_rate(where):
    store, trainee = MemoryStore(), Line({12: 1}, where)
    run_loop(trainee, 20, store, save_every=5)
    assert trainee.seen == [*range(13), *range(10, 20)]
    assert store.load()["halvings"] == 1
    assert trainee.optimisers[0].param_groups[0]["lr"] == 0.05
    assert torch.isfinite(trainee.weight).all()


def test_the_halved_rate_is_what_moves_the_parameters():
    halved, plain = Line({0: 1}), Line()
    run_loop(halved, 1)
    run_loop(plain, 1)
    assert torch.allclose(halved.weight, plain.weight / 2, rtol=1e-3)


def test_three_bad_steps_diverge_with_the_last_good_step_named():
    store = MemoryStore()
    with pytest.raises(Diverged, match=r"line step 12: non-finite fit after 2 roll-backs; last good state is step 10"):
        run_loop(Line({12: 3}), 20, store, save_every=5)
    assert torch.isfinite(store.load()["trainee"]["weight"]).all()


def test_reports_come_regularly_and_at_the_end():
    calls = []
    run_loop(Line(), 25, report=lambda *values: calls.append(values))
    assert [call[0] for call in calls] == [10, 20, 25]
    assert all(call[1] == 25 and set(call[2]) == {"fit"} and call[3] > 0 for call in calls)


def test_finish_follows_each_step():
    trainee = Line()
    run_loop(trainee, 4)
    assert trainee.finished == [0, 1, 2, 3]


def test_generators_depend_on_the_whole_path():
    draws = {float(torch.rand(1, generator=generator(*path))) for path in [(1, 2), (1, 3), (2, 2), (1, 2, "noise")]}
    assert len(draws) == 4
    assert torch.equal(torch.rand(3, generator=generator(1, 2)), torch.rand(3, generator=generator(1, 2)))
