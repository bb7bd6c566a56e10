"""One optimiser loop for every trainer: finite guard with roll-back, exact resume, saving, reporting.

A trainee draws everything random from ``(seed, step)`` (``generator``), so that a state is tensors and a step number only and
N steps, a stop and N more equal 2 N steps bit for bit on a CPU.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from headcast.errors import Diverged

logger = logging.getLogger(__name__)

HALVINGS = 2

Report = Callable[[int, int, dict[str, float], float], None]
Watch = Callable[[int], None]


class Trainee(Protocol):
    """What the loop drives. ``step`` runs forward and backward and returns its loss terms; the loop steps the optimisers.

    ``load_state_dict`` restores everything but the optimisers' moments; it may rebuild ``optimisers`` (the loop asks for them
    afterwards). Learning-rate schedules are functions of the step, set inside ``step``. A trainee with a method ``finish(step)``
    has it called after the optimisers moved (densify, prune, clamp).
    """

    name: str

    @property
    def optimisers(self) -> Sequence[torch.optim.Optimizer]:
        """The optimisers whose gradients ``step`` fills."""
        ...

    def step(self, index: int) -> Mapping[str, float | Tensor]:
        """Forward and backward of step ``index`` (0 …); returns named loss terms."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain numbers that determine all later steps, the optimisers aside."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned."""
        ...


class StateStore(Protocol):
    """Where the state survives a kill (files: ``headcast.formats.state``)."""

    def load(self) -> dict[str, Any] | None:
        """The last saved state, or None."""
        ...

    def save(self, state: dict[str, Any]) -> None:
        """Keep ``state`` atomically."""
        ...


class MemoryStore:
    """A ``StateStore`` in memory, for tests and for callers that do not resume."""

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None

    def load(self) -> dict[str, Any] | None:
        """The last saved state, or None."""
        return copy.deepcopy(self.state)

    def save(self, state: dict[str, Any]) -> None:
        """Keep a copy of ``state``."""
        self.state = copy.deepcopy(state)


def generator(seed: int, *path: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator determined by ``seed`` and a path such as ``(step, "noise")`` alone."""
    digest = hashlib.sha256(repr((seed, *path)).encode()).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest[:7], "big"))


def run_loop(
    trainee: Trainee,
    steps: int,
    store: StateStore | None = None,
    report: Report | None = None,
    *,
    stop: Callable[[], bool] | None = None,
    watch: Watch | None = None,
    save_every: int = 200,
    report_every: int = 10,
) -> dict[str, float]:
    """Drive ``trainee`` to step ``steps`` and return the last loss terms.

    Resumes from ``store``; saves every ``save_every`` steps, at the end and when ``stop()`` turns true (then raises
    ``KeyboardInterrupt``). Before it saves on its way ``watch(step)`` may look at the trainee, and change nothing. On a non-finite
    loss, gradient, parameter or moment the last good state comes back at half the rate, at most twice; then ``Diverged`` names the
    stage, the step, the first bad term and the last good step.
    """
    loop = _Loop(trainee, steps, store or MemoryStore(), save_every)
    with _repeatable(trainee):
        return _drive(loop, report, stop, watch, save_every, report_every)


def _drive(
    loop: _Loop,
    report: Report | None,
    stop: Callable[[], bool] | None,
    watch: Watch | None,
    save_every: int,
    report_every: int,
) -> dict[str, float]:
    loop.restore()
    steps = loop.steps
    began, first, losses = time.perf_counter(), loop.index, {}
    while loop.index < steps:
        if stop is not None and stop():
            loop.save()
            raise KeyboardInterrupt
        outcome = loop.advance()
        if outcome is None:
            continue
        losses = outcome
        if report is not None and (loop.index % report_every == 0 or loop.index == steps):
            report(loop.index, steps, losses, (loop.index - first) / max(time.perf_counter() - began, 1e-9))
        if loop.index % save_every == 0 or loop.index == steps:
            if watch is not None:
                watch(loop.index)
            loop.save()
    return losses


@contextmanager
def _repeatable(trainee: Trainee) -> Iterator[None]:
    """On a CPU let torch sum in a fixed order whatever its threads do; its scatter kernels race otherwise."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    on_cpu = all(parameter.device.type == "cpu" for parameter in _parameters(trainee.optimisers))
    torch.use_deterministic_algorithms(on_cpu or before[0], warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


class _Loop:
    """The position in a run: next step, rate scale, last good state."""

    def __init__(self, trainee: Trainee, steps: int, store: StateStore, save_every: int) -> None:
        if steps < 0 or save_every < 1:
            raise ValueError("steps must be at least 0 and save_every at least 1")
        self.trainee, self.steps, self.store = trainee, steps, store
        self.index, self.halvings = 0, 0
        self.good: dict[str, Any] | None = None

    def restore(self) -> None:
        """Continue from the store, or remember the fresh state as the first good one."""
        saved = self.store.load()
        if saved is not None:
            self._load(saved)
            logger.info("%s: resumed at step %d of %d", self.trainee.name, self.index, self.steps)
        self.good = copy.deepcopy(self.state())

    def state(self) -> dict[str, Any]:
        """Everything that determines the remaining steps."""
        return {
            "index": self.index,
            "halvings": self.halvings,
            "trainee": self.trainee.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.trainee.optimisers],
        }

    def save(self) -> None:
        """Store the state and make it the one to roll back to; if it is not sound, roll back instead.

        A moment of the optimiser that overflowed would stop its parameter for good without spoiling any number that a step shows.
        """
        if not _finite(_moments(self.trainee.optimisers)):
            self._roll_back("moment of the optimiser")
            return
        self.good = copy.deepcopy(self.state())
        self.store.save(self.good)

    def _load(self, state: dict[str, Any]) -> None:
        """Take over a copy of ``state``."""
        state = copy.deepcopy(state)
        self.index, self.halvings = int(state["index"]), int(state["halvings"])
        self.trainee.load_state_dict(state["trainee"])
        for optimiser, saved in zip(self.trainee.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)

    def advance(self) -> dict[str, float] | None:
        """One guarded step; None after a roll-back."""
        optimisers = self.trainee.optimisers
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        losses = _numbers(self.trainee.step(self.index))
        wrong = next((name for name, value in losses.items() if not math.isfinite(value)), None)
        if wrong is None and not _finite(p.grad for p in _parameters(optimisers) if p.grad is not None):
            wrong = "gradient"
        if wrong is None:
            self._move(optimisers)
            if not _finite(_parameters(self.trainee.optimisers)):
                wrong = "parameter"
        if wrong is not None:
            self._roll_back(wrong)
            return None
        self.index += 1
        return losses

    def _move(self, optimisers: Sequence[torch.optim.Optimizer]) -> None:
        """Step the optimisers at the halved rate, then let the trainee finish the step."""
        scale = 0.5**self.halvings
        for optimiser in optimisers:
            rates = [group["lr"] for group in optimiser.param_groups]
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * scale
            optimiser.step()
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate
        finish = getattr(self.trainee, "finish", None)
        if finish is not None:
            finish(self.index)

    def _roll_back(self, wrong: str) -> None:
        """Return to the last good state with half the rate, or give up."""
        step, halvings = self.index, self.halvings + 1
        assert self.good is not None
        if halvings > HALVINGS:
            raise Diverged(
                f"{self.trainee.name} step {step}",
                f"non-finite {wrong} after {HALVINGS} roll-backs; last good state is step {self.good['index']}",
                "lower the learning rate or check the input of this stage",
            )
        self._load(self.good)
        self.halvings = halvings
        self.good["halvings"] = halvings
        logger.warning("%s: non-finite %s at step %d; back to step %d at half the rate", self.trainee.name, wrong, step, self.index)


def _parameters(optimisers: Iterable[torch.optim.Optimizer]) -> list[Tensor]:
    return [parameter for optimiser in optimisers for group in optimiser.param_groups for parameter in group["params"]]


def _moments(optimisers: Iterable[torch.optim.Optimizer]) -> list[Tensor]:
    kept = [value for optimiser in optimisers for state in optimiser.state.values() for value in state.values()]
    return [value for value in kept if isinstance(value, Tensor)]


def _numbers(losses: Mapping[str, float | Tensor]) -> dict[str, float]:
    """Loss terms as numbers, with one look at the device."""
    tensors = {name: value.detach().double() for name, value in losses.items() if isinstance(value, Tensor)}
    known = dict(zip(tensors, torch.stack(list(tensors.values())).tolist(), strict=True)) if tensors else {}
    return {name: known[name] if name in known else float(value) for name, value in losses.items()}


def _finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all entries are finite, with one look at the device per call."""
    some = [tensor.detach() for tensor in tensors if tensor.numel()]
    return not some or bool(torch.isfinite(get_total_norm(some, norm_type=1.0)))
