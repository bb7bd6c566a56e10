"""Shading without a path tracer: shadows, depth in hair, coverage, and the same bits twice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from headcast.capture.camera import Camera
from headcast.demo import raster
from headcast.demo.bundle import open_bundle
from headcast.demo.cameras import rig
from headcast.demo.curves import unit
from headcast.demo.shade import Shader, Strands, View, empty_studio, encode
from headcast.demo.shade import posed as view_of
from headcast.demo.shading_kernels import CLOTH, COLOUR, COLUMNS, LAMP, NORMAL, PLACE
from headcast.demo.shading_light import LEVELS, LIGHTS, Occlusion, directions, hair_grid
from headcast.demo.shading_light_kernels import VOXEL

if TYPE_CHECKING:
    from pathlib import Path

    from headcast.demo.assemble import Sources

RADIUS = 0.08


def looking(azimuth: float, width: int = 48, height: int = 48) -> Camera:
    """A camera 1 m from the origin, ``azimuth`` rad towards +x, that looks at it."""
    back = np.array([np.sin(azimuth), 0.0, np.cos(azimuth)])
    right = np.cross([0, 1, 0], back)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(-back, right), -back])
    pose[:3, 3] = [0, 0, 1]
    return Camera("x", np.array([[200.0, 0, width / 2], [0, 200.0, height / 2], [0, 0, 1]]), pose, width, height)


def sphere(count: int = 24) -> raster.Surface:
    """A closed sphere of `RADIUS` about the origin."""
    polar, around = np.meshgrid(np.linspace(1e-3, np.pi - 1e-3, count), np.linspace(0, 2 * np.pi, 2 * count), indexing="ij")
    points = RADIUS * np.stack([np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)], axis=-1)
    index = np.arange(points[..., 0].size).reshape(polar.shape)
    a, b, c, d = (x.ravel() for x in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    triangles = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    return raster.Surface(points.reshape(-1, 3), triangles, np.zeros(len(triangles)))


def fur(layers: tuple[float, ...], count: int = 500) -> np.ndarray:
    """Strands along meridians, in shells at ``layers`` × the sphere's radius: S 8 3, shell after shell."""
    around = np.linspace(0, 2 * np.pi, count, endpoint=False)[:, None]
    polar = np.linspace(0.15, 2.4, 8)[None]
    ball = np.stack([np.sin(polar) * np.sin(around), np.cos(polar) + 0 * around, np.sin(polar) * np.cos(around)], axis=-1)
    return np.concatenate([layer * RADIUS * ball for layer in layers]).astype(np.float32)


@pytest.fixture(scope="module")
def furry() -> View:
    surface, hair = sphere(), fur((1.06, 1.14, 1.22))
    ribbons = raster.ribbons(hair, 2e-4, 1e-4, raster.HAIR)
    occlusion = Occlusion(surface, ribbons)
    values = np.zeros((len(surface.vertices), COLUMNS), np.float32)
    values[:, NORMAL : NORMAL + 3], values[:, PLACE : PLACE + 3] = unit(surface.vertices), surface.vertices
    values[:, COLOUR : COLOUR + 3] = 0.5
    values[:, LAMP : LAMP + LEVELS] = occlusion.levels(surface.vertices, unit(surface.vertices))
    material = np.full(len(surface.triangles), CLOTH)
    return View(surface, values, material, Strands([(ribbons, hair, 4)], occlusion))


def bald_levels() -> tuple[np.ndarray, np.ndarray]:
    normals = unit(sphere().vertices)
    return normals, Occlusion(sphere(), raster.ribbons(fur((3.0,), 2), 1e-6, 1e-6, raster.HAIR)).levels(sphere().vertices, normals)


def test_the_ball_stands_in_the_lamps_way() -> None:
    """Free points in front of the ball see the whole key lamp, points close behind it nothing of it."""
    outwards = unit(sphere().vertices)
    occlusion = Occlusion(sphere(), raster.ribbons(fur((3.0,), 2), 1e-6, 1e-6, raster.HAIR))
    levels = occlusion.levels(1.05 * RADIUS * outwards, np.zeros_like(outwards))
    facing = outwards @ unit(np.array(LIGHTS[0][0])[None])[0]
    assert levels[facing > 0.4, 0].min() == 1
    assert levels[facing < -0.6, 0].max() == 0


def test_the_open_sky_lights_what_looks_up_more() -> None:
    normals, levels = bald_levels()
    assert levels[normals[:, 1] > 0.8, 5:].min() > levels[normals[:, 1] < -0.8, 5:].max()


def test_the_side_in_shadow_is_darker(furry: View) -> None:
    """A bald ball seen from the front: the key lamp's side outshines the other by half and more."""
    normals, levels = bald_levels()
    values = np.zeros((len(normals), COLUMNS), np.float32)
    values[:, NORMAL : NORMAL + 3], values[:, COLOUR : COLOUR + 3], values[:, LAMP : LAMP + LEVELS] = normals, 0.5, levels
    seen = View(furry.surface, values, np.full(len(furry.surface.triangles), CLOTH)).render(looking(0.0))
    lit, shadowed = seen[20:24, 30:34, :3].mean(), seen[26:30, 14:18, :3].mean()
    assert lit > 1.5 * shadowed > 0


def test_hair_is_darker_inside_than_outside() -> None:
    layers, count = (1.06, 1.14, 1.22), 500
    hair = fur(layers, count)
    occlusion = Occlusion(sphere(), raster.ribbons(hair, 2e-4, 1e-4, raster.HAIR))
    points = hair[:, 3]
    levels = occlusion.levels(points, np.zeros_like(points)).reshape(len(layers), count, LEVELS)
    assert (np.diff(levels[..., 5:].mean(axis=(1, 2))) > 0).all()
    assert (np.diff(levels[..., 0].mean(axis=1)) > 0).all()


def test_hair_shades_the_skin_beneath(furry: View) -> None:
    normals, bald = bald_levels()
    ribbons = raster.ribbons(fur((1.06, 1.14, 1.22)), 2e-4, 1e-4, raster.HAIR)
    covered = Occlusion(sphere(), ribbons).levels(sphere().vertices, normals)
    top = normals[:, 1] > 0.5
    assert covered[top, 5:].mean() < 0.8 * bald[top, 5:].mean()


@pytest.mark.parametrize("azimuth", [0.0, 0.7])
def test_alpha_is_the_ground_truths_coverage(furry: View, azimuth: float) -> None:
    assert furry.strands is not None
    camera = looking(azimuth)
    expected = raster.draw(furry.surface, furry.strands.ribbons, camera)[..., 0]
    np.testing.assert_allclose(furry.render(camera)[..., 3], expected, atol=1e-6)
    assert 0.1 < expected.mean() < 0.9


def test_the_same_picture_twice(furry: View) -> None:
    first, again = encode(furry.render(looking(0.3))), encode(furry.render(looking(0.3)))
    assert first.dtype == np.uint8 and first.shape == (48, 48, 4)
    np.testing.assert_array_equal(first, again)


def test_grid_holds_the_strands_cross_section() -> None:
    ribbons = raster.ribbons(fur((1.2,), 50), 1e-4, 1e-4, raster.HAIR)
    length = np.linalg.norm(ribbons.end - ribbons.start, axis=1).sum()
    assert hair_grid(ribbons).density.sum() * VOXEL**3 == pytest.approx(2e-4 * length, rel=1e-3)


def test_directions_are_unit_and_even() -> None:
    rays = directions()
    np.testing.assert_allclose(np.linalg.norm(rays.towards, axis=1), 1, atol=1e-9)
    assert np.abs(rays.towards[rays.lamp < 0].mean(axis=0)).max() < 0.05


def test_the_plate_is_full_and_differs_between_cameras() -> None:
    studio = empty_studio()
    front, side = (encode(studio.render(looking(azimuth))) for azimuth in (0.0, 0.6))
    assert front[..., 3].min() == side[..., 3].min() == 255
    assert np.abs(front[..., :3].astype(int) - side[..., :3]).mean() > 5
    assert front[..., :3].std() > 3


def test_a_bundle_becomes_pictures(toy: Sources, tmp_path: Path) -> None:
    """Written as lossless WebP with straight alpha: covered exactly where the raster is covered, the plate everywhere."""
    geometry = open_bundle(toy.bundle)
    ball = geometry.static["skin_rest"]
    extra = {f"{name}_rest": ball for name in ("teeth", "tongue")} | {"eye_points": ball / 0.08, "eye_radius": np.full(2, 0.01)}
    extra |= {"skin_colour": np.full_like(ball, 0.4), "eye_polar": np.linspace(0, 1.5, len(ball))}
    shader = Shader(replace(geometry, static=geometry.static | extra))
    shader.pose(geometry.frame("HAIR", 1))
    seen = {}
    for subject in (True, False):
        shader.show(subject)
        shader.look("222200040", str(tmp_path / "picture.webp"), seed=1)
        with Image.open(tmp_path / "picture.webp") as picture:
            assert picture.format == "WEBP" and picture.mode in ("RGBA", "RGB")
            seen[subject] = np.array(picture.convert("RGBA"))
    posed = view_of(shader.geometry, geometry.frame("HAIR", 1))
    assert posed.strands is not None
    expected = raster.draw(posed.surface, posed.strands.ribbons, shader.cameras["222200040"])[..., 0]
    np.testing.assert_array_equal(seen[True][..., 3], raster.to_bytes(expected))
    assert 0 < expected.mean() < 1 and seen[False][..., 3].min() == 255


def test_the_wall_fills_every_camera_of_the_rig() -> None:
    studio = empty_studio()
    for camera in rig().values():
        assert studio.render(camera.resize(44, 64))[..., 3].min() == 1
