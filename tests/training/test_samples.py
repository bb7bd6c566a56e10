"""Views: what they refuse, what they never sample, how they resize."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from headcast.errors import CaptureError
from headcast.heads.model import HeadParameters
from headcast.training.samples import Views

CAMERAS, FRAMES = 5, 8


def parameters(frames: int) -> HeadParameters:
    sizes = {"expression": 4, "head_pose": 3, "neck_pose": 3, "jaw_pose": 3, "eye_pose": 6, "rotation": 3, "translation": 3}
    return HeadParameters(
        identity=torch.zeros(2), scale=torch.tensor(1.0), **{name: torch.zeros(frames, size) for name, size in sizes.items()}
    )


def arrays(size: int = 8) -> dict:
    """A complete grid of views whose pixels name their camera and frame."""
    n = CAMERAS * FRAMES
    camera, frame = np.divmod(np.arange(n), FRAMES)
    images = np.zeros((n, size, size, 3), np.uint8)
    images[..., 0], images[..., 1] = camera[:, None, None], frame[:, None, None]
    plane = np.zeros((n, size, size), np.uint8)
    K = np.tile(np.array([[20.0, 0, size / 2], [0, 20, size / 2], [0, 0, 1]]), (n, 1, 1))
    sequence = np.array([0] * 4 + [1] * 4)
    return {
        "images": images,
        "mattes": plane + 255,
        "hair": plane,
        "labels": plane + 1,
        "angle": np.full((n, size, size), np.nan),
        "confidence": plane.astype(np.float16),
        "landmarks": np.full((n, 68, 2), 3.0),
        "visible": np.ones((n, size, size), bool),
        "K": K,
        "world_to_camera": np.tile(np.eye(4), (n, 1, 1)),
        "camera": camera,
        "frame": frame,
        "cameras": tuple("abcde"),
        "sequences": ("EXP", "HAIR"),
        "sequence_of_frame": sequence,
        "frame_in_sequence": np.arange(FRAMES) % 4,
        "time": np.arange(FRAMES) % 4 / 24,
        "held_out_camera": np.array([False, True, False, False, True]),
        "held_out_frame": np.arange(FRAMES) % 4 == 3,
        "parameters": parameters(FRAMES),
    }


@pytest.mark.parametrize("sampler", ["sampler", "frame_sampler"])
def test_held_out_cameras_and_frames_are_never_sampled(monkeypatch, sampler):
    views = Views(**arrays())
    touched: list[tuple[int, int]] = []
    original = Views.at

    def instrumented(self, index, device="cpu"):
        view = original(self, index, device)
        touched.append((int(view.image[0, 0, 0] * 255 + 0.5), int(view.image[0, 0, 1] * 255 + 0.5)))
        return view

    monkeypatch.setattr(Views, "at", instrumented)
    for step in range(300):
        for index in getattr(views, sampler)(5, step, 3):
            views.at(index)
    assert {camera for camera, _ in touched} == {0, 2, 3}
    assert {frame for _, frame in touched} == {0, 1, 2, 4, 5, 6}
    assert len(set(touched)) == 18


def test_the_sampler_is_a_function_of_seed_and_step():
    one, two = Views(**arrays()), Views(**arrays())
    backwards = [one.sampler(1, step, 4).tolist() for step in reversed(range(20))]
    forwards = [two.sampler(1, step, 4).tolist() for step in range(20)]
    assert backwards[::-1] == forwards
    assert forwards != [two.sampler(2, step, 4).tolist() for step in range(20)]


def test_each_epoch_visits_every_training_view_once():
    views = Views(**arrays())
    flat = torch.cat([views.sampler(3, step, 4) for step in range(9)])
    for epoch in flat.reshape(2, 18):
        assert sorted(epoch.tolist()) == views.training_indices().tolist()


def test_frame_sampler_shares_a_frame_and_reaches_all_views():
    views = Views(**arrays())
    batches = [views.frame_sampler(0, step, 2) for step in range(60)]
    assert all(len(torch.unique(views.frame[batch])) == 1 for batch in batches)
    assert sorted(set(torch.cat(batches).tolist())) == views.training_indices().tolist()


def test_nothing_left_to_train_on_is_an_error():
    views = Views(**(arrays() | {"held_out_camera": np.ones(CAMERAS, bool)}))
    with pytest.raises(CaptureError, match="no view"):
        views.sampler(0, 0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mattes", np.zeros((40, 8, 9)), "views.mattes"),
        ("K", np.full((40, 3, 3), np.nan), "not finite"),
        ("camera", np.full(40, 5), "0 … 4"),
        ("cameras", tuple("abced"), "sorted"),
        ("parameters", parameters(3), "3 frames"),
        ("labels", np.full((40, 8, 8), 4), "0 … 3"),
    ],
)
def test_inconsistent_views_are_refused(name, value, message):
    with pytest.raises(CaptureError, match=message):
        Views(**(arrays() | {name: value}))


def test_at_gives_floats_between_zero_and_one():
    view = Views(**arrays()).at(9)
    assert view.image.dtype == torch.float32 and view.matte.max().item() == 1
    assert (view.camera, view.frame) == (1, 1)
    assert torch.isnan(view.angle).all()


def test_resized_views_project_to_the_same_relative_place():
    values = arrays()
    rng = np.random.default_rng(0)
    values["images"] = rng.integers(0, 256, values["images"].shape, dtype=np.uint8)
    small = Views(**values).resized(4)
    assert small.size == (4, 4)
    assert torch.allclose(small.K[0, :2], torch.tensor([[10.0, 0, 2], [0, 10, 2]]))
    assert torch.allclose(small.landmarks, torch.full((40, 68, 2), 1.5))
    block = values["images"][0].reshape(4, 2, 4, 2, 3).mean((1, 3))
    assert np.abs(small.images[0].numpy() - block).max() <= 0.51


def test_resized_angles_average_as_undirected_lines():
    values = arrays()
    values["angle"][:] = np.where(np.arange(8) % 2, 0.1, math.pi - 0.1)
    values["angle"][:, :2] = np.nan
    values["confidence"] = np.ones((40, 8, 8), np.float16)
    small = Views(**values).resized(4)
    folded = torch.minimum(small.angle[:, 1:].float(), math.pi - small.angle[:, 1:].float())
    assert folded.max().item() < 0.01
    assert torch.allclose(small.confidence[:, 1:].float(), torch.full((40, 3, 4), math.cos(0.2)), atol=2e-3)
    assert torch.isnan(small.angle[:, 0]).all() and (small.confidence[:, 0] == 0).all()


def test_subset_keeps_numbers():
    views = Views(**arrays())
    part = views.subset(torch.tensor([3, 20]))
    assert part.camera.tolist() == [0, 2] and part.frame.tolist() == [3, 4] and len(part) == 2
