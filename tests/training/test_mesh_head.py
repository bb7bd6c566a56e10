"""Training the mesh head on a ball with a hump of hair: it grows the hump, resumes exactly and never looks at held-out views."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from headcast.avatar.canonical import CanonicalHead
from headcast.avatar.mesh_head import MeshHead
from headcast.errors import CaptureError
from headcast.heads.model import HeadParameters
from headcast.rendering.mesh import rasterize
from headcast.training.carving import carve, go_on_below, lattice_distance, reference_frames, seen_box, start_lattice, successors
from headcast.training.loop import MemoryStore
from headcast.training.mesh_head import train_mesh_head
from headcast.training.samples import Views

SIZE, FRAMES, CAMERAS, HELD_CAMERA, HELD_FRAME = 32, 3, 6, 2, 2
RADIUS, HUMP, HUMP_RADIUS = 0.1, (0.0, 0.11, -0.02), 0.07
OPTIONS = {"size": SIZE, "grid": 18, "width": 16, "features": 4, "save_every": 5, "rate": 0.01}


def canonical() -> CanonicalHead:
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=RADIUS)
    vertices, faces = torch.tensor(mesh.vertices, dtype=torch.float32), torch.tensor(mesh.faces, dtype=torch.int64)
    nothing = torch.zeros(len(vertices), dtype=torch.bool)
    front = torch.argsort(-vertices[faces].mean(1)[:, 2])[:68]
    return CanonicalHead(
        vertices=vertices,
        faces=faces,
        expression_basis=torch.zeros(1, len(vertices), 3),
        head_weight=torch.ones(len(vertices)),
        scalp=nothing.float(),
        face=vertices[:, 2] > 0.04,
        mouth_interior=nothing,
        eyes=nothing,
        landmark_face=front,
        landmark_barycentric=torch.full((68, 3), 1 / 3),
        reference_rotation=torch.eye(3),
        reference_translation=torch.zeros(3),
    )


def truth() -> tuple[torch.Tensor, torch.Tensor, int]:
    """Vertices and faces of ball and hump, and how many faces are the ball's."""
    head = canonical()
    hump = trimesh.creation.icosphere(subdivisions=3, radius=HUMP_RADIUS)
    vertices = torch.cat([head.vertices, torch.tensor(hump.vertices, dtype=torch.float32) + torch.tensor(HUMP)])
    return vertices, torch.cat([head.faces, torch.tensor(hump.faces) + len(head.vertices)]), len(head.faces)


def camera(azimuth: float) -> torch.Tensor:
    c, s = np.cos(azimuth), np.sin(azimuth)
    rotation = np.array([[c, 0, -s], [0, -1, 0], [-s, 0, -c]])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, [0, 0, 1.0]
    return torch.tensor(matrix, dtype=torch.float32)


@pytest.fixture(scope="module")
def views() -> Views:
    vertices, faces, own = truth()
    shifts = torch.tensor([[0.0, 0, 0], [0.03, 0, 0], [0, 0.02, 0]])
    K = torch.tensor([[75.0, 0, SIZE / 2], [0, 75, SIZE / 2 + 3], [0, 0, 1]])
    poses = [camera(angle) for angle in np.linspace(-1.2, 1.2, CAMERAS)]
    stacks: dict[str, list] = {name: [] for name in ("images", "mattes", "hair", "labels", "world_to_camera", "camera", "frame")}
    for frame, shift in enumerate(shifts):
        for number, pose in enumerate(poses):
            seen = rasterize(vertices + shift, faces, pose, K, SIZE, SIZE).face_id
            skin, hair = (seen >= 0) & (seen < own), seen >= own
            image = torch.zeros(SIZE, SIZE, 3, dtype=torch.uint8)
            image[skin], image[hair] = (
                torch.tensor([220, 160, 120], dtype=torch.uint8),
                torch.tensor([60, 40, 20], dtype=torch.uint8),
            )
            values = (image, (seen >= 0) * 255, hair * 255, skin * 2 + hair * 3, pose, number, frame)
            for name, value in zip(stacks, values, strict=True):
                stacks[name].append(value)
    n = CAMERAS * FRAMES
    zeros = {"head_pose": 3, "neck_pose": 3, "jaw_pose": 3, "eye_pose": 6, "rotation": 3, "expression": 1}
    parameters = HeadParameters(
        identity=torch.zeros(1),
        scale=torch.tensor(1.0),
        translation=shifts,
        **{name: torch.zeros(FRAMES, size) for name, size in zeros.items()},
    )
    return Views(
        **{name: torch.stack(stack) if torch.is_tensor(stack[0]) else np.array(stack) for name, stack in stacks.items()},
        angle=np.full((n, SIZE, SIZE), np.nan),
        confidence=np.zeros((n, SIZE, SIZE)),
        landmarks=np.full((n, 68, 2), np.nan),
        visible=np.ones((n, SIZE, SIZE), bool),
        K=K.expand(n, 3, 3),
        cameras=tuple("abcdef"),
        sequences=("S",),
        sequence_of_frame=np.zeros(FRAMES, int),
        frame_in_sequence=np.arange(FRAMES),
        time=np.arange(FRAMES) / 10,
        held_out_camera=np.arange(CAMERAS) == HELD_CAMERA,
        held_out_frame=np.arange(FRAMES) == HELD_FRAME,
        parameters=parameters,
    )


@pytest.fixture(scope="module")
def trained(views) -> MeshHead:
    return train_mesh_head(views, canonical(), steps=24, **OPTIONS)


def iou(head: MeshHead, views: Views, index: int) -> float:
    view = views.at(index)
    shift = views.parameters.translation[view.frame]
    _, alpha = head.render(torch.zeros(1), torch.eye(3), shift, view.world_to_camera, view.K, SIZE, SIZE)
    return float(((alpha > 0) & (view.matte > 0.5)).sum() / ((alpha > 0) | (view.matte > 0.5)).sum())


def test_held_out_views_show_the_hump_in_its_colours(trained, views):
    held = torch.nonzero(~views.is_training())[:, 0].tolist()
    assert min(iou(trained, views, index) for index in held) > 0.9
    view = views.at(held[0])
    image, alpha = trained.render(torch.zeros(1), torch.eye(3), torch.zeros(3), view.world_to_camera, view.K, SIZE, SIZE)
    both = (alpha > 0) & (view.matte > 0.5)
    assert (image - view.image)[both].abs().mean().item() < 0.12


def test_half_and_half_equal_whole_bit_for_bit(trained, views):
    store = MemoryStore()
    calls = {"left": 13}

    def stop() -> bool:
        calls["left"] -= 1
        return calls["left"] == 0

    with pytest.raises(KeyboardInterrupt):
        train_mesh_head(views, canonical(), steps=24, store=store, stop=stop, **OPTIONS)
    assert store.load()["index"] == 12
    resumed = train_mesh_head(views, canonical(), steps=24, store=store, **OPTIONS)
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in trained.state_dict().items())


def test_a_held_out_view_is_shown_and_that_changes_nothing(trained, views):
    pictures = {}

    class Shown:
        def picture(self, step, truth, drawn, psnr):
            pictures[step] = truth, drawn, psnr

    watched_over = train_mesh_head(views, canonical(), steps=24, journal=Shown(), **OPTIONS)
    assert all(torch.equal(tensor, trained.state_dict()[name]) for name, tensor in watched_over.state_dict().items())
    assert list(pictures) == [5, 10, 15, 20, 24]
    truth, drawn, psnr = pictures[24]
    assert truth.shape == drawn.shape == (SIZE, SIZE, 3) and psnr > max(pictures[5][2], 15)


def test_held_out_pixels_change_nothing(views):
    held = ~views.is_training()
    poisoned = {name: getattr(views, name).clone() for name in ("images", "mattes", "hair", "labels")}
    for tensor in poisoned.values():
        tensor[held] = 3
    one, two = (train_mesh_head(given, canonical(), steps=6, **OPTIONS) for given in (views, replace(views, **poisoned)))
    assert all(torch.equal(tensor, two.state_dict()[name]) for name, tensor in one.state_dict().items())


def test_carving_keeps_the_hump_and_clears_the_air(views):
    points = torch.tensor([HUMP, (0.0, 0.15, -0.03), (0.0, 0.0, 0.13), (0.15, 0.15, 0.0), (0.0, 0.0, 0.0)])
    occupied, hair, filmed = carve(views.subset(views.training_indices()), canonical(), points, torch.ones(len(points)))
    assert occupied.tolist() == [True, True, False, False, True]
    assert hair[1] > 0.9 and hair[2] < 0.2
    assert (filmed == 1).all()


def test_what_no_view_has_in_the_picture_stands_below_what_stands() -> None:
    standing = torch.tensor([[True, True, True], [True, True, False], [False, True, True]])  # a column a row, from the bottom up
    filmed = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.1, 0.1]])
    below = go_on_below(standing.reshape(-1), filmed.reshape(-1), (3, 3, 1)).reshape(3, 3)
    assert below.tolist() == [[True, True, True], [False, False, False], [False, False, False]]


def test_a_cut_picture_does_not_cut_the_body(views: Views) -> None:
    """Where all pictures end above the lowest point of the ball, the surface reaches further down than any of them shows."""
    cut = replace(views, _orders={}, visible=views.visible & (torch.arange(SIZE) < SIZE / 2 + 3)[:, None])
    whole = canonical()
    upper = replace(whole, vertices=whole.vertices * torch.tensor([1.0, 0.2, 1.0]) + torch.tensor([0, 0.03, 0]))
    lattice, lower = start_lattice(cut, upper, 18), seen_box(cut, upper)[0]
    inside = lattice.points[lattice.distance < 0]
    column = inside[(inside[:, [0, 2]] - torch.tensor([0.0, 0.07])).norm(dim=1) < 0.02]
    assert column[:, 1].amin() < lower[1] + 0.02 < -0.01


def test_carving_without_any_view_of_the_head_is_an_error(views):
    away = replace(views, world_to_camera=views.world_to_camera + torch.tensor([[0, 0, 0, 50.0], [0] * 4, [0] * 4, [0] * 4]))
    with pytest.raises(CaptureError, match="no camera sees"):
        start_lattice(away, canonical(), 12)


def test_reference_frames_are_training_frames_near_the_reference(views):
    assert reference_frames(views, canonical()) == [0]
    assert reference_frames(views, replace(canonical(), reference_translation=torch.tensor([0.03, 0, 0]))) == [1]


def test_lattice_distance_of_a_box():
    shape, cell = (21, 21, 21), 0.5
    grid = torch.stack(torch.meshgrid(*[torch.arange(21.0)] * 3, indexing="ij"), -1)
    box = (grid - 10).abs().amax(-1) <= 5
    distance = lattice_distance(box.reshape(-1), shape, cell).reshape(shape)
    along = distance[:, 10, 10]
    assert along[10].item() < -2 and along[0].item() == pytest.approx(4.5 * cell, abs=0.2)
    assert along[5] < 0 < along[4] and torch.all(along[10:].diff() > 0)
    assert (lattice_distance(torch.zeros(27, dtype=torch.bool), (3, 3, 3), 1.0) > 1).all()


def test_successors_step_along_the_axes():
    table = successors((3, 4, 5))
    assert len(table) == 2 * 3 * 4
    assert (
        (table[:, 1] - table[:, 0] == 20).all()
        and (table[:, 2] - table[:, 0] == 5).all()
        and (table[:, 3] - table[:, 0] == 1).all()
    )
