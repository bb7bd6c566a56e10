"""The weights of the objective: documented with their defaults, and what a setting says is what counts."""

from __future__ import annotations

import math
import re
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import pytest
import torch
from pydantic import ValidationError

from headcast.config import Term, Training
from headcast.stages.train_avatar import scheduled
from headcast.training.joint import Weights, head_terms
from tests.ball import canonical_ball, gaussian_ball

DOCS = Path(__file__).parents[2] / "docs/hair.md"


def test_the_documentation_lists_every_weight_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \| .+ \| (.+) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: float(value) for name, value, _ in rows} == asdict(Weights())
    assert set(get_args(Term)) == set(asdict(Weights()))


def test_a_setting_is_what_counts() -> None:
    found = scheduled(Training(weights={"anchor": 0.5}, hair_motion="rigid", steps=7))
    assert (found.weights.anchor, found.weights.smooth) == (0.5, Weights().smooth)
    assert not found.swing and found.steps == 7
    default, leaning = scheduled(Training()), scheduled(Training(hair_motion="lean"))
    assert default.swing and not default.lean and leaning.swing and leaning.lean


def test_a_bust_may_move_as_it_does() -> None:
    head = gaussian_ball(canonical_ball())
    residuals = torch.zeros(len(head), 6)
    head.weight[:10] = 0.0
    residuals[:10] = 5.0
    assert head_terms(head, residuals, Weights())["residual"] == 0
    head.weight[:10] = 0.5
    expected = 0.3 * 0.5 * 25.0 * 10 / len(head)
    assert math.isclose(head_terms(head, residuals, Weights(residual=0.3))["residual"], expected, rel_tol=1e-5)


def test_a_term_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="weights"):
        Training(weights={"ankor": 0.5})
