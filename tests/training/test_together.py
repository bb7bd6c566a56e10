"""Two processes with a view each are one process with two views, and they go on and stop together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from headcast.training.loop import MemoryStore, run_loop
from headcast.training.together import ALONE, Together, helped
from tests.training.test_gaussian_head import filmed, trainee_of

STEPS = 6


def learned(together: Together, batch: int) -> dict[str, Tensor]:
    """Parameters after some steps of ``batch`` views."""
    trainee = trainee_of(filmed(32), together.device, batch=batch, together=together)
    store = MemoryStore()
    run_loop(trainee, STEPS, store)
    return {**trainee.head.state_dict(), **trainee.hair.state_dict(prefix="hair."), "twist": trainee.twist.detach()}


def test_two_processes_are_one_with_two_views() -> None:
    one_view = learned(ALONE, 1)
    two_views = learned(ALONE, 2)
    assert (one_view["color"] - two_views["color"]).abs().max() > 1e-3, "the second view counts"
    with helped(2, learned, (2,)) as together:
        assert (together.rank, together.count, list(together.share(2))) == (0, 2, [0])
        shared = learned(together, 2)
    worst = {name: float((shared[name].float() - value.float()).abs().max()) for name, value in two_views.items() if value.numel()}
    assert max(worst.values()) < 1e-5, worst


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_are_one_with_two_views() -> None:
    with helped(2, learned, (2,)) as together:
        shared = learned(together, 2)
    alone = learned(ALONE, 2)
    for name in ("offset", "color", "hair.free_points"):
        assert (shared[name].cpu() - alone[name].cpu()).norm() < 0.02 * alone[name].cpu().norm() + 1e-4, name


def asks(together: Together, folder: Path) -> None:
    """The other process hears of it and is told when to stop."""
    values = torch.tensor([float(together.rank), 5.0])
    together.average([values])
    (folder / f"{together.rank}").write_text(f"{values.tolist()} {together.agreed(together.rank == 0)} {together.agreed(False)}")


def test_means_and_wishes_are_shared(tmp_path: Path) -> None:
    with helped(3, asks, (tmp_path,)) as together:
        asks(together, tmp_path)
    assert [(tmp_path / str(rank)).read_text() for rank in range(3)] == ["[1.0, 5.0] True False"] * 3


def fails(together: Together) -> None:
    raise ValueError("broken")


def test_a_helper_that_fails_does_not_leave_the_others_waiting() -> None:
    with pytest.raises(RuntimeError), helped(2, fails, ()) as together:
        together.average([torch.zeros(1)])


def test_alone_nothing_is_started() -> None:
    with helped(1, fails, ()) as together:
        assert together is ALONE and together.agreed(True) and list(together.share(3)) == [0, 1, 2]
