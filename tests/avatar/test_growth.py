"""Hair grown on a sphere whose strands hang down its meridians, seen by a ring of cameras: a scene with an analytic truth."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.groom import resample, strand_lengths
from headcast.avatar.growth import (
    GrowthSettings,
    grow_strands,
    stratified,
    thickness_slope,
    trace,
)
from headcast.avatar.hair_volume import HairView, hair_occupancy, in_skull_frame, pool_view, spread_thickness
from headcast.avatar.orientation_field import (
    OrientationField,
    apply,
    diffuse,
    layers,
    outer_border,
    outer_surface,
    pack,
    principal,
    unpack,
)
from headcast.avatar.voxel_grid import VoxelGrid
from headcast.capture.camera import Camera
from headcast.errors import CaptureError
from headcast.geometry.neighbours import farthest_order
from headcast.geometry.rotations import axis_angle_to_matrix

HEAD, HAIR = 0.1, 0.115
SIZE = 128
LOWEST = -0.03
SETTINGS = GrowthSettings(strands=60, points=12, voxel=0.006, step=0.004)


def octasphere(rounds: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """A subdivided octahedron; winding outwards."""
    vertices = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    faces = torch.tensor([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
    for _ in range(rounds):
        corners = vertices[faces]
        middles = torch.nn.functional.normalize(corners + corners.roll(-1, 1), dim=-1)
        count = len(vertices)
        a, b, c = faces.T
        ab, bc, ca = (count + torch.arange(3 * len(faces)).reshape(-1, 3)).T
        vertices = torch.cat((vertices, middles.flatten(0, 1)))
        faces = torch.cat([torch.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return HEAD * vertices, faces


def camera(azimuth: float, elevation: float) -> Camera:
    """A camera 1 m from the origin that looks at it, y up."""
    back = np.array([math.sin(azimuth) * math.cos(elevation), math.sin(elevation), math.cos(azimuth) * math.cos(elevation)])
    right = np.cross([0.0, 1.0, 0.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack((right, np.cross(right, back) * 1.0, -back))
    pose[:3, 3] = -pose[:3, :3] @ back
    K = np.array([[400.0, 0, SIZE / 2], [0, 400.0, SIZE / 2], [0, 0, 1]])
    return Camera(f"{azimuth:.2f}{elevation:+.2f}", K, pose, SIZE, SIZE)


def picture(view: Camera) -> HairView:
    """Ray-traced hair cap (sphere of radius HAIR above y = LOWEST) with the image angle of the meridian tangents."""
    rows, columns = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5, indexing="ij")
    local = np.stack((columns, rows, np.ones_like(rows)), axis=-1) @ np.linalg.inv(view.K).T
    rays = local @ view.world_to_camera[:3, :3]
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    along = rays @ view.center
    discriminant = along**2 - view.center @ view.center + HAIR**2
    points = view.center + (-along - np.sqrt(np.maximum(discriminant, 0)))[..., None] * rays
    hair = (discriminant > 0) & (points[..., 1] > LOWEST)
    normal = points / np.linalg.norm(points, axis=-1, keepdims=True)
    ends = [view.project(points + sign * 1e-4 * tangents(normal)) for sign in (1, -1)]
    u, v = np.moveaxis(ends[0] - ends[1], -1, 0)
    angle = np.mod(np.arctan2(u, v), math.pi)
    return HairView(view, hair.astype(np.float32), np.where(hair, angle, np.nan), np.where(hair, 1.0, np.nan))


def tangents(normal: np.ndarray) -> np.ndarray:
    down = np.array([0.0, -1.0, 0.0]) - (normal @ [0.0, -1.0, 0.0])[..., None] * normal
    return down / np.maximum(np.linalg.norm(down, axis=-1, keepdims=True), 1e-9)


@pytest.fixture(scope="module")
def scene() -> tuple[list[HairView], torch.Tensor, torch.Tensor, torch.Tensor]:
    views = [picture(camera(azimuth, elevation)) for azimuth in (-0.8, -0.3, 0.3, 0.8) for elevation in (-0.25, 0.3)]
    vertices, faces = octasphere(3)
    return views, vertices, faces, (vertices[:, 1] > 0.04).float()


@pytest.fixture(scope="module")
def grown(scene: tuple) -> tuple[torch.Tensor, OrientationField, SignedDistanceGrid]:
    views, vertices, faces, scalp = scene
    head = SignedDistanceGrid.from_mesh(vertices, faces, spacing=0.006)
    strands, field = grow_strands(views, vertices, faces, scalp, SETTINGS, head)
    return strands, field, head


def test_the_volume_is_the_shell_even_where_no_camera_looks(grown: tuple) -> None:
    _, field, _ = grown
    points = field.grid.centers()
    radius = points.norm(dim=-1)
    shell = (radius > HEAD + 0.003) & (radius < HAIR - 0.003) & (points[:, 1] > LOWEST + 0.01)
    assert float(field.occupancy.flatten()[shell].float().mean()) > 0.95
    far = (radius > HAIR + 0.012) | (points[:, 1] < LOWEST - 0.015) | (radius < HEAD - 0.003)
    assert int((field.occupancy.flatten() & far).sum()) == 0


def test_the_lifted_field_follows_the_meridians(grown: tuple) -> None:
    _, field, _ = grown
    points = field.grid.centers()
    seen = (field.confidence.flatten() > 0.05) & (points[:, [0, 2]].norm(dim=-1) > 0.04)
    truth = torch.as_tensor(tangents(torch.nn.functional.normalize(points[seen], dim=-1).numpy()), dtype=torch.float32)
    lines = principal(field.tensors.reshape(-1, 6)[seen])
    angles = torch.rad2deg(torch.arccos((lines * truth).sum(-1).abs().clamp_max(1)))
    assert int(seen.sum()) > 100
    assert float(angles.median()) < 6 and float(angles.quantile(0.9)) < 15


def test_strands_are_rooted_outside_the_head_and_run_down(grown: tuple) -> None:
    strands, _, head = grown
    assert strands.shape == (60, 12, 3)
    assert float((strands[:, 0].norm(dim=-1) - HEAD).abs().max()) < 1.5e-3
    assert float(head(strands[:, 1:]).min()) > -5e-4
    low = strands[strands[:, 0, 1] < 0.09]
    assert float((low[:, -1, 1] - low[:, 0, 1]).max()) < 0
    assert float((low[:, -1, 1] - LOWEST).abs().median()) < 0.015
    assert float(strands.norm(dim=-1).max()) < HAIR + 0.008
    steps = (strands[:, 1:] - strands[:, :-1]).norm(dim=-1)
    assert torch.allclose(steps, steps.mean(1, keepdim=True).expand_as(steps), rtol=0.2)


def test_the_same_pictures_give_the_same_strands(scene: tuple, grown: tuple) -> None:
    views, vertices, faces, scalp = scene
    again, _ = grow_strands(views, vertices, faces, scalp, SETTINGS, grown[2])
    assert torch.equal(again, grown[0])


def test_frames_of_a_moving_head_are_views_of_a_still_one() -> None:
    rotation, translation = axis_angle_to_matrix(torch.tensor([0.1, 0.5, 0.0])).double().numpy(), np.array([0.02, 0.0, -0.1])
    view, point = camera(0.3, 0.1), np.array([0.03, -0.02, 0.08])
    placed = in_skull_frame(view, rotation, translation)
    assert np.allclose(placed.project(point), view.project(rotation @ point + translation))


def test_a_view_with_wrong_maps_is_refused() -> None:
    with pytest.raises(CaptureError, match="hair, angle, confidence and surface"):
        HairView(camera(0, 0), np.zeros((4, 4)), np.zeros((SIZE, SIZE)), np.zeros((SIZE, SIZE)))


def test_empty_masks_are_an_error(grown: tuple) -> None:
    blank = np.zeros((SIZE, SIZE))
    head = grown[2]
    views = [pool_view(HairView(camera(a, 0), blank, blank, blank), head, 0.006) for a in (0.0, 0.5)]
    with pytest.raises(CaptureError, match="hair masks"):
        hair_occupancy(grown[1].grid, views, head)


def test_a_head_without_scalp_is_an_error(scene: tuple, grown: tuple) -> None:
    views, vertices, faces, scalp = scene
    with pytest.raises(CaptureError, match="no scalp"):
        grow_strands(views, vertices, faces, 0 * scalp, SETTINGS, grown[2])


def test_thickness_spreads_from_rims() -> None:
    places = torch.tensor([[0.0, 0, 0], [1.0, 0, 0]])
    values = spread_thickness(torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [0.5, 0, 0]]), places, torch.tensor([0.01, 0.03]))
    assert values.numpy() == pytest.approx([0.01, 0.03, 0.02], rel=1e-3)
    assert bool(torch.isinf(spread_thickness(places, places[:0], torch.zeros(0))).all())


def test_packed_tensors_are_symmetric_matrices() -> None:
    directions = torch.nn.functional.normalize(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    tensors = pack(directions)
    assert torch.allclose(unpack(tensors), directions[:, :, None] * directions[:, None, :], atol=1e-6)
    assert torch.allclose(apply(tensors, directions), directions, atol=1e-5)
    assert torch.allclose((principal(tensors) * directions).sum(-1).abs(), torch.ones(20), atol=1e-4)


def test_diffusion_keeps_trusted_data_and_fills_the_rest() -> None:
    """Between two walls of orthogonal directions the field turns over, half way it is undecided."""
    shape = (9, 5, 5)
    tensors, confidence = torch.zeros(*shape, 6), torch.zeros(shape)
    tensors[0], tensors[-1] = pack(torch.tensor([0.0, 1.0, 0.0])), pack(torch.tensor([0.0, 0.0, 1.0]))
    confidence[0], confidence[-1] = 1.0, 1.0
    field = diffuse(tensors, confidence, torch.zeros(*shape, 6), torch.ones(shape, dtype=torch.bool))
    assert torch.allclose(field[..., :3].sum(-1), torch.ones(shape), atol=1e-5)
    profile = field[:, 2, 2, 1]
    assert bool((profile.diff() < 0).all()) and float(profile[0]) > 0.9 and float(profile[4]) == pytest.approx(0.5, abs=0.02)


def test_layers_run_from_head_to_air(grown: tuple) -> None:
    _, field, head = grown
    level = layers(field.grid, head, field.border)
    points = torch.tensor([[0.0, 0.1015, 0.0], [0.0, 0.107, 0.0], [0.0, 0.118, 0.0]])
    inner, middle, outer = field.grid.sample(level[..., None], points)[:, 0].tolist()
    assert inner < middle < outer and outer > 0.8 and inner < 0.4
    assert bool((outer_surface(field.occupancy) <= field.occupancy).all())


def test_the_border_is_where_hair_ends_and_not_where_the_head_does(grown: tuple) -> None:
    _, field, _ = grown
    points = torch.tensor([[0.0, HEAD - 0.01, 0.0], [0.0, HEAD + 0.002, 0.0], [0.0, HAIR, 0.0], [0.0, HAIR + 0.012, 0.0]])
    deep, inner, rim, air = field.border(points).tolist()
    assert deep < inner < -0.006 and abs(rim) < 0.006 and air > 0.006
    assert float(field.border(field.border.pull_in(points[2:], 0.003)).max()) < -0.001


def test_a_surface_in_front_of_hair_keeps_a_view_from_objecting(scene: tuple, grown: tuple) -> None:
    """A board hides the lower half of the hair from half of the views, which see no hair there."""
    rows = np.arange(SIZE)[:, None] * np.ones(SIZE)
    board = np.where(rows > SIZE / 2, 0.8, np.inf)
    blind = [replace(view, hair=np.where(rows > SIZE / 2, 0, view.hair)) for view in scene[0][::2]]

    def volume(surface: np.ndarray | None) -> int:
        views = [*(replace(view, surface=surface) for view in blind), *scene[0][1::2]]
        pooled = [pool_view(view, grown[2], SETTINGS.voxel) for view in views]
        return int(hair_occupancy(grown[1].grid, pooled, grown[2]).sum())

    whole = int(grown[1].occupancy.sum())
    assert volume(board) > 0.95 * whole
    assert volume(board + 0.4) == volume(None) < 0.92 * whole


def test_hair_ends_at_its_tips_and_slides_along_its_sides() -> None:
    """A slab of hair under a ceiling; its lines sink out of it at twenty degrees: strands go on inside to the far end."""
    grid = VoxelGrid.around(torch.zeros(3), torch.tensor([0.12, 0.06, 0.06]), 0.003)
    points = grid.centers()
    ceiling = SignedDistanceGrid((0.048 - points[:, 1]).reshape(grid.shape), grid.lower, grid.spacing)
    slab = ((points[:, 1] < 0.048) & (points[:, 1] > 0.03) & (points[:, 0] < 0.1)).reshape(grid.shape)
    sinking = pack(torch.tensor([math.cos(math.radians(20)), -math.sin(math.radians(20)), 0.0])).expand(*grid.shape, 6)
    border = outer_border(slab, grid, ceiling)
    field = OrientationField(grid, slab, sinking, torch.ones(grid.shape), layers(grid, ceiling, border), border)
    roots = torch.tensor([[0.02, 0.048, 0.02], [0.03, 0.048, 0.03], [0.02, 0.048, 0.04], [0.04, 0.048, 0.03]])
    settings = GrowthSettings(strands=4, voxel=0.003)
    paths, counts = trace(field, ceiling, roots, torch.zeros(4), settings)
    assert float((paths[:, -1, 0] - 0.1).abs().max()) < 0.008
    assert float(border(paths.flatten(0, 1)).max()) < 0.0
    assert int(counts.max()) < 0.12 / settings.step


def test_farthest_order_spreads_every_prefix() -> None:
    points = torch.rand(400, 3, generator=torch.Generator().manual_seed(0))
    order = farthest_order(points, 50)
    assert len(set(order.tolist())) == 50
    gap = torch.cdist(points[order], points[order]) + 10 * torch.eye(50)
    random_gap = torch.cdist(points[:50], points[:50]) + 10 * torch.eye(50)
    assert float(gap.min()) > 3 * float(random_gap.min())
    assert torch.equal(farthest_order(points, 20), order[:20])
    assert len(farthest_order(points[:5], 50)) == 5


def test_resampling_is_even_in_arc_length() -> None:
    path = torch.tensor([[[0.0, 0, 0], [0.01, 0, 0], [0.01, 0.03, 0], [0.01, 0.03, 0], [0.01, 0.03, 0]]])
    points = resample(path, 5)
    assert torch.allclose(points[0, 1], torch.tensor([0.01, 0.0, 0.0]), atol=1e-6)
    assert torch.allclose(points[0, -1], path[0, -1])
    assert float(strand_lengths(points)) == pytest.approx(0.04, rel=1e-5)


def test_layers_are_stratified() -> None:
    values = stratified(100, 0.2, 3)
    assert float(values.min()) > 0.2 and float(values.max()) < 1
    assert torch.allclose(values.sort()[0].diff(), torch.full((99,), 0.008), atol=0.008)
    assert torch.equal(values, stratified(100, 0.2, 3))


def test_thickness_slope_points_to_thicker_hair() -> None:
    """A wedge of hair over a plane gains half a millimetre of thickness per millimetre of x."""
    grid = VoxelGrid.around(torch.zeros(3), torch.tensor([0.06, 0.04, 0.06]), 0.002)
    points = grid.centers()
    wedge = (points[:, 1] <= 0.5 * points[:, 0]).reshape(grid.shape)
    empty = torch.zeros(*grid.shape, 6)
    border = outer_border(wedge, grid, SignedDistanceGrid(points[:, 1].reshape(grid.shape), grid.lower, grid.spacing))
    field = OrientationField(grid, wedge, empty, empty[..., 0], empty[..., 0], border)
    roots = torch.rand(300, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.04, 0.0, 0.04]) + 0.01 * torch.tensor(
        [1.0, 0, 1.0]
    )
    slope = thickness_slope(field, roots, torch.tensor([0.0, 1.0, 0.0]).expand(300, 3))
    assert float(slope[:, 0].median()) == pytest.approx(0.5, abs=0.15)
    assert float(slope[:, 1:].abs().median()) < 0.05
