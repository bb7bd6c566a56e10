"""Skin that keeps its looks steadies the motion: on renders of a head whose skin is painted with a pattern."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from headcast.capture.camera import Camera
from headcast.fitting import photometric
from headcast.fitting.fit import Fitted, fit
from headcast.fitting.normal import State, Weights
from headcast.fitting.observations import observe
from headcast.fitting.patches import Grey, choose, look, mean_looks, reduced
from headcast.fitting.photometric import refine, spread
from headcast.heads.model import HeadParameters, neutral_parameters
from headcast.imaging.landmarks import Landmarks
from headcast.rendering.mesh import interpolate, rasterize
from tests.fitting.ring import ring, seen
from tests.heads.loaded import loaded_head

FRAMES, SIZE = 6, 256
WAVES = np.random.default_rng(3).normal(size=(24, 3)) * 260  # 1/m: spots of some millimetres
PHASES = np.random.default_rng(4).uniform(0, 6.28, 24)


@cache
def truth() -> HeadParameters:
    """A head that shakes, nods and opens its mouth."""
    time, head = np.linspace(0, 1, FRAMES), loaded_head()
    expression = np.zeros((FRAMES, head.expression_size))
    expression[:, head.expression_names.index("jawOpen")] = 0.4 * time
    turn = Rotation.from_euler("yx", np.stack([14 * np.sin(6 * time), 5 * np.cos(5 * time)], 1), degrees=True)
    moved = {"expression": expression, "rotation": turn.as_rotvec(), "translation": np.stack([0.01 * time, 0 * time, 0 * time], 1)}
    return replace(neutral_parameters(head, FRAMES), **{name: torch.from_numpy(value) for name, value in moved.items()})


@cache
def cameras() -> dict[str, Camera]:
    return {serial: camera.resize(SIZE, SIZE) for serial, camera in ring(np.array([0.0, 0.0, 0.08])).items()}


@cache
def film() -> list[list[np.ndarray]]:
    """The painted head as the cameras see it: the pattern sticks to the skin, the light to the world."""
    head, shown = loaded_head(), []
    faces, rest = torch.from_numpy(np.asarray(head.faces, np.int64)), torch.from_numpy(head.mean)
    for vertices in head.vertices(truth()):
        shown.append([_view(camera, vertices, rest, faces) for camera in cameras().values()])
    return shown


def _view(camera: Camera, vertices: torch.Tensor, rest: torch.Tensor, faces: torch.Tensor) -> np.ndarray:
    pose, K = torch.from_numpy(camera.world_to_camera.copy()), torch.from_numpy(camera.K.copy())
    drawn = rasterize(vertices, faces, pose, K, SIZE, SIZE)
    places, world = (interpolate(points, faces, drawn).numpy() for points in (rest, vertices))
    pattern = np.sin(places @ WAVES.T + PHASES).sum(axis=-1)
    shade = 120 + 500 * (world @ np.array([0.6, 0.5, 0.3]))
    grey = np.where(drawn.face_id.numpy() >= 0, shade + 8 * pattern, 60)
    return np.repeat(np.rint(grey.clip(0, 255)).astype(np.uint8)[..., None], 3, axis=2)


@cache
def detected() -> Landmarks:
    """Landmarks that lag behind the turning head, as a detector's do, and are noisy."""
    head = loaded_head()
    lagging = replace(truth(), rotation=0.9 * truth().rotation)
    vertices = head.vertices(lagging)
    return seen(head.landmarks(vertices).numpy(), head.dense_landmarks(vertices).numpy(), cameras(), noise_px=0.8)


def turned_wrong_deg(fitted: Fitted) -> float:
    """Mean error of the rotations relative to their mean error."""
    found, true = (Rotation.from_rotvec(p.rotation.numpy()) for p in (fitted.parameters, truth()))
    error = found * true.inv()
    return float(np.degrees((error.mean().inv() * error).magnitude()).mean())


def true_state() -> State:
    head, known = loaded_head(), truth()
    turn = Rotation.from_rotvec(known.rotation.numpy()).as_matrix()
    code = (known.identity.numpy(), known.expression.numpy())
    return State(*code, turn, known.translation.numpy(), 1.0, head.expression_bounds, head.expression_spread)


def greys(state: State) -> list[list[Grey]]:
    places, _ = choose(loaded_head(), state.identity).placed(state)
    views = list(cameras().values())
    return list(reduced(lambda frame, view: film()[frame][view], views, dict(enumerate(places)), range(len(views))).values())


def test_a_frame_that_is_out_of_place_is_told_by_how_much() -> None:
    state = true_state()
    shown, patches = greys(state), choose(loaded_head(), state.identity)
    mean = mean_looks(state, patches, shown)
    shift = np.zeros((FRAMES, 3))
    shift[2] = [0.0007, -0.0005, 0.0]
    skin = look(replace(state, translation=state.translation + shift), patches, shown, mean)
    told = np.linalg.solve(skin.curvature.sum(axis=1), skin.pull.sum(axis=1)[..., None])[..., 0]
    np.testing.assert_allclose(told[2], -shift[2], atol=1.5e-4)
    assert np.abs(told[[0, 1, 3, 4, 5]]).max() < 1.5e-4
    assert (np.trace(skin.curvature, axis1=2, axis2=3) > 0).mean() > 0.5


def test_landmarks_that_lag_are_set_right() -> None:
    head = loaded_head()
    by_landmarks = fit(detected(), cameras(), head, max_iterations=15)
    refined = fit(detected(), cameras(), head, max_iterations=15, pictures=lambda frame, view: film()[frame][view])
    assert turned_wrong_deg(by_landmarks) > 0.6
    assert turned_wrong_deg(refined) < 0.35 * turned_wrong_deg(by_landmarks)
    torch.testing.assert_close(refined.parameters.identity, by_landmarks.parameters.identity)
    jaw = refined.parameters.expression[:, head.expression_names.index("jawOpen")].numpy()
    assert np.corrcoef(jaw, np.linspace(0, 1, FRAMES))[0, 1] > 0.95
    assert refined.parameters.expression.min() >= 0 and refined.parameters.expression.max() <= 1


def test_what_covers_the_skin_does_not_move_it() -> None:
    def covered(frame: int, view: int) -> np.ndarray:
        """From the third frame on something lies over the upper half of the face."""
        shown = film()[frame][view].copy()
        noise = np.random.default_rng(frame).integers(0, 255, (SIZE // 2, SIZE, 3), dtype=np.uint8)
        if frame >= 2:
            shown[: SIZE // 2 - 20] = noise[: SIZE // 2 - 20]
        return shown

    by_landmarks = fit(detected(), cameras(), loaded_head(), max_iterations=15)
    refined = fit(detected(), cameras(), loaded_head(), max_iterations=15, pictures=covered)
    assert turned_wrong_deg(refined) < 0.6 * turned_wrong_deg(by_landmarks)


def test_the_frames_between_follow_by_some_of_the_views(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photometric, "KEY_FRAMES", 4)
    monkeypatch.setattr(photometric, "FOLLOWING_VIEWS", 4)
    asked = set()

    def shown(frame: int, view: int) -> np.ndarray:
        asked.add((frame, view))
        return film()[frame][view]

    refined = fit(detected(), cameras(), loaded_head(), max_iterations=15, pictures=shown)
    assert turned_wrong_deg(refined) < 0.5 * turned_wrong_deg(fit(detected(), cameras(), loaded_head(), max_iterations=15))
    views = {frame: {view for which, view in asked if which == frame} for frame in range(FRAMES)}
    assert sorted(len(seen) for seen in views.values()) == [4, 4, *[len(cameras())] * 4]


def test_few_views_are_spread_about_the_middle_one() -> None:
    views = list(cameras().values())
    chosen = spread(views, np.zeros(3), 3)
    sight = np.stack([camera.center / np.linalg.norm(camera.center) for camera in views])
    assert int((sight @ sight.mean(axis=0)).argmax()) in chosen
    assert (sight[chosen] @ sight[chosen].T - 2 * np.eye(3)).max() < np.median(sight @ sight.T)
    assert spread(views, np.zeros(3), 99) == list(range(len(views)))


def test_few_views_or_pictures_without_a_pattern_leave_the_fit_as_it_is() -> None:
    state, head = true_state(), loaded_head()
    observations, views = observe(detected(), cameras(), head), list(cameras().values())
    assert refine(state, observations, Weights(), lambda frame, view: film()[frame][view], views[:3], head) is state
    plain = np.full((SIZE, SIZE, 3), 90, np.uint8)
    fitted = fit(detected(), cameras(), head, max_iterations=15)
    blank = fit(detected(), cameras(), head, max_iterations=15, pictures=lambda *_: plain)
    assert np.abs(turned_wrong_deg(blank) - turned_wrong_deg(fitted)) < 0.1
