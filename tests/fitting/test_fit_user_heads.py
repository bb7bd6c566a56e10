"""The fit finds FLAME- and BFM-shaped heads back from landmarks projected from themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from headcast.fitting.fit import fit
from headcast.heads import HeadModel, load_head_model, user_files
from headcast.heads.linear_head import LinearHead
from headcast.heads.model import HeadParameters, neutral_parameters
from tests.fitting.ring import ring, seen
from tests.heads import shaped
from tests.heads.loaded import loaded_head

FRAMES = 3


def subject(head: HeadModel) -> HeadParameters:
    """A head that turns and changes its expression; FLAME's opens the jaw, too."""
    rng, time = np.random.default_rng(5), np.linspace(0, 1, FRAMES)
    identity = np.zeros(head.identity_size)
    identity[:20] = rng.normal(size=20) * 0.8
    expression = np.zeros((FRAMES, head.expression_size))
    expression[:, :12] = time[:, None] * rng.normal(size=12) * 0.7
    if "jawX" in head.expression_names:
        expression[:, head.expression_names.index("jawX")] = 0.3 * time
    turn = Rotation.from_euler("yx", np.stack([20 * time - 10, 5 * time], 1), degrees=True)
    found = {"identity": identity, "expression": expression, "rotation": turn.as_rotvec(), "scale": np.array(1.04)}
    found["translation"] = np.stack([0.02 * time, 0.01 + 0 * time, -0.02 * time], 1)
    return replace(neutral_parameters(head, FRAMES), **{k: torch.from_numpy(np.asarray(v, np.float64)) for k, v in found.items()})


@pytest.mark.parametrize("write", [shaped.flame, shaped.bfm], ids=["flame", "bfm"])
def test_finds_a_head_of_the_model_back(
    write: Callable[[Path], LinearHead], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.setattr(user_files.open_head, "load", loaded_head)
    head = load_head_model(write.__name__, root=tmp_path)
    truth = subject(head)
    vertices, cameras = head.vertices(truth), ring(head.mean[head.face].mean(axis=0))
    landmarks = seen(head.landmarks(vertices).numpy(), head.dense_landmarks(vertices).numpy(), cameras, noise_px=0.3)
    found = fit(landmarks, cameras, head, max_iterations=20)
    face = torch.from_numpy(head.face & head.skin)
    error = (head.vertices(found.parameters) - vertices)[:, face].norm(dim=-1)
    assert error.median() < 1.0e-3 and np.nanmean(found.reprojection_px) < 1.0
    code = found.parameters.expression.numpy()
    assert (code >= head.expression_bounds[:, 0] - 1e-9).all() and (code <= head.expression_bounds[:, 1] + 1e-9).all()
    if "jawX" in head.expression_names:
        assert code[-1, head.expression_names.index("jawX")] == pytest.approx(0.3, abs=0.08)
        assert abs(code[0, head.expression_names.index("jawX")]) < 0.06
