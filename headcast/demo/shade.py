"""Pictures of the demo subject without a path tracer: deferred shading of the exact z-buffer of `headcast.demo.raster`.

What does not depend on the camera (light and its shadows) is worked out once a frame; a view then costs about two seconds of one
core. Coverage is the ground truth's, colours are averaged in linear light over the samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import warp as wp
from PIL import Image
from scipy import sparse

from headcast.demo import raster
from headcast.demo.shading_kernels import (
    CLOTH,
    COLOUR,
    COLUMNS,
    EYE,
    FIRST,
    LAMP,
    LUT_SIZE,
    LUT_STEP,
    NORMAL,
    PLACE,
    SECOND,
    SKIN,
    TEETH,
    TONGUE,
    Studio,
    shade_samples,
    shade_strands,
)
from headcast.demo.shading_light import LEVELS, LIGHTS, Occlusion, array
from headcast.demo.shading_studio import backdrop
from headcast.demo.strands import BROW_RADII, LASH_RADII, ROOT_RADIUS, TIP_RADIUS
from headcast.demo.surfaces import triangulate, vertex_normals
from headcast.demo.truth import MOVING, cameras_of, surface_of

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8

    from headcast.capture.camera import Camera
    from headcast.demo.bundle import Geometry

BLOCK = 2  # samples: surfaces are lit 4 × 4 times a pixel
HAIR_KNOTS = 11
HAIR_ABSORPTION = 0.85
EXPOSURE = 1.0
MATERIAL = {"skin": SKIN, "teeth": TEETH, "tongue": TONGUE, "eye_l": EYE, "eye_r": EYE, "shirt": CLOTH}
PLAIN = {"teeth": (0.68, 0.62, 0.53), "tongue": (0.42, 0.13, 0.12), "shirt": (0.060, 0.118, 0.124)}
EYE_STOPS_M = (0.0, 0.0018, 0.0021, 0.0034, 0.0050, 0.0057, 0.0063, 0.0100, 0.0150)
EYE_COLOURS = (
    (0.004, 0.004, 0.004),
    (0.004, 0.004, 0.004),
    (0.17, 0.10, 0.035),
    (0.095, 0.115, 0.06),
    (0.05, 0.072, 0.05),
    (0.014, 0.016, 0.014),
    (0.52, 0.46, 0.43),
    (0.58, 0.50, 0.46),
    (0.52, 0.31, 0.27),
)


class View:
    """Triangles and strands with everything that shading needs, ready to be seen by any camera."""

    def __init__(
        self,
        surface: raster.Surface,
        values: Float[np.ndarray, "V 19"],
        material: Int[np.ndarray, "T"],
        strands: Strands | None = None,
    ) -> None:
        self.surface, self.strands = surface, strands
        self._triangles = array(surface.triangles, wp.int32)
        self._world = array(surface.vertices, wp.vec3)
        self._values, self._material = array(values, wp.float32), array(material, wp.int32)

    def render(self, camera: Camera) -> Float[np.ndarray, "H W 4"]:
        """Mean linear RGB of the covered samples, and the covered share."""
        width, height = camera.width * raster.SAMPLES, camera.height * raster.SAMPLES
        depth = wp.full((height, width), raster.EMPTY, dtype=wp.float32, device="cpu")
        owner = wp.zeros((height, width), dtype=wp.int32, device="cpu")
        points = array(raster._to_samples(self.surface.vertices, camera), wp.vec3)
        drawn = [points, self._triangles, width, height, depth, owner]
        wp.launch(raster._draw_triangles, len(self.surface.triangles), drawn, device="cpu")
        studio = studio_of(camera)
        colours = wp.zeros(1, dtype=wp.vec3, device="cpu")
        if self.strands is not None:
            colours = self.strands.draw(camera, studio, depth, owner)
        out = wp.zeros((camera.height, camera.width), dtype=wp.vec4, device="cpu")
        looks = [points, self._world, self._triangles, self._material, self._values, colours, studio, out]
        wp.launch(shade_samples, out.shape, [owner, raster.SAMPLES, BLOCK, *looks], device="cpu")
        return np.array(out.numpy())


class Strands:
    """Segments of hair, brows and lashes with the light that reaches them."""

    def __init__(self, sets: list[tuple[raster.Ribbons, np.ndarray, int]], occlusion: Occlusion) -> None:
        self.ribbons = raster.join([ribbons for ribbons, _, _ in sets])
        levels, rows, shares, along, first = [], [], [], [], 0
        for ribbons, points, knots in sets:
            count, size, _ = points.shape
            chosen = np.linspace(0, size - 1, knots).round().astype(int)
            at = points[:, chosen].reshape(-1, 3)
            levels.append(occlusion.levels(at, np.zeros_like(at), HAIR_ABSORPTION))
            segments = len(ribbons.start) // count
            place = (np.arange(segments) + 0.5) / segments
            row = np.minimum((place * (knots - 1)).astype(int), knots - 2)
            rows.append((first + np.arange(count)[:, None] * knots + row).ravel())
            shares.append(np.tile(place * (knots - 1) - row, count))
            along.append(np.tile(place, count))
            first += count * knots
        self._levels = array(np.concatenate(levels), wp.float32)
        self._fixed = [
            array(self.ribbons.start, wp.vec3),
            array(self.ribbons.end, wp.vec3),
            array(self.ribbons.tone, wp.float32),
            array(self.ribbons.kind, wp.int32),
            array(np.concatenate(along), wp.float32),
            array(np.concatenate(rows), wp.int32),
            array(np.concatenate(shares), wp.float32),
        ]

    def draw(self, camera: Camera, studio: Any, depth: Any, owner: Any) -> Any:
        """Draw into the z-buffer exactly as the ground truth does; the colours of the drawn segments."""
        start, end = raster._to_samples(self.ribbons.start, camera), raster._to_samples(self.ribbons.end, camera)
        order = raster._drawing_order(start, end, depth.numpy())
        start, end = start[order], end[order]
        distance = np.maximum(np.stack([start[:, 2], end[:, 2]], axis=1), raster.NEAR)
        radius = self.ribbons.radius[order] * (camera.K[0, 0] * raster.SAMPLES) / distance
        height, width = owner.shape
        segments = [array(start, wp.vec3), array(end, wp.vec3), array(radius, wp.vec2)]
        wp.launch(raster._draw_ribbons, len(order), [*segments, width, height, depth, owner], device="cpu")
        colours = wp.zeros(max(len(order), 1), dtype=wp.vec3, device="cpu")
        inputs = [array(order, wp.int32), *self._fixed, self._levels, studio, colours]
        wp.launch(shade_strands, len(order), inputs, device="cpu")
        return colours


def studio_of(camera: Camera) -> Any:
    """Lamps and the camera's place, as the kernels read them."""
    studio = Studio()
    studio.position = array(np.array([light[0] for light in LIGHTS]), wp.vec3)
    studio.edge = array(np.array([light[1] for light in LIGHTS]), wp.float32)
    studio.irradiance = array(np.array([light[2] * np.array(light[3]) for light in LIGHTS]), wp.vec3)
    studio.centre = wp.vec3(*(float(x) for x in camera.center))
    away = np.arange(LUT_SIZE) * LUT_STEP
    studio.eye = array(
        np.stack([np.interp(away, EYE_STOPS_M, column) for column in zip(*EYE_COLOURS, strict=True)], axis=1), wp.vec3
    )
    return studio


def posed(geometry: Geometry, frame: dict[str, np.ndarray]) -> View:
    """A frame of the subject with its light."""
    surface = surface_of(geometry, frame)
    hair = geometry.strands(frame)
    sets = [(raster.ribbons(hair, ROOT_RADIUS, TIP_RADIUS, raster.HAIR, geometry.recipe.tone), hair, HAIR_KNOTS)]
    for name, radii in (("brows", BROW_RADII), ("lashes", LASH_RADII)):
        sets.append((raster.ribbons(frame[name], *radii, raster.FACE), frame[name], 2))
    occlusion = Occlusion(surface, sets[0][0])
    values, material = _attributes(geometry, surface)
    levels = occlusion.levels(surface.vertices, values[:, NORMAL : NORMAL + 3])
    values[:, LAMP : LAMP + LEVELS] = _smoothed(levels, surface.triangles)
    return View(surface, values, material, Strands(sets, occlusion))


def _smoothed(levels: Float[np.ndarray, "V 8"], triangles: Int[np.ndarray, "T 3"]) -> Float[np.ndarray, "V 8"]:
    """Blend each vertex with its neighbours: light spreads under the skin, and lamps have no edges."""
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    links = sparse.coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(levels), len(levels))).tocsr()
    links = links + links.T
    mean = sparse.diags(1 / np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1)) @ links
    out = levels
    for _ in range(2):
        out = 0.5 * out + 0.5 * (mean @ out)
    return np.asarray(out, dtype=np.float32)


def _attributes(geometry: Geometry, surface: raster.Surface) -> tuple[np.ndarray, np.ndarray]:
    """Columns of `shading_kernels` without the light, and the triangles' materials."""
    static, values, material, first = geometry.static, [], [], 0
    for name in (*MOVING, "shirt"):
        key = "eye" if name.startswith("eye") else name
        faces = static["shirt_triangles"] if name == "shirt" else triangulate(static[f"{key}_quads"])
        rest = static["shirt_vertices"] if name == "shirt" else static["eye_points" if key == "eye" else f"{name}_rest"]
        block = np.zeros((len(rest), COLUMNS), np.float32)
        block[:, NORMAL : NORMAL + 3] = vertex_normals(surface.vertices[first : first + len(rest)], faces)
        block[:, PLACE : PLACE + 3] = rest
        block[:, COLOUR : COLOUR + 3] = PLAIN.get(name, (0.5, 0.5, 0.5))
        if name == "skin":
            block[:, COLOUR : COLOUR + 3] = static["skin_colour"]
            block[:, [FIRST, SECOND]] = static["skin_regions"][:, :2]
        elif key == "eye":
            around = np.arctan2(rest[:, 1], rest[:, 0])
            block[:, PLACE : PLACE + 3] = np.stack([9 * np.cos(around), 9 * np.sin(around), 4 * static["eye_polar"]], axis=1)
            block[:, FIRST] = static["eye_polar"] * static["eye_radius"][int(name == "eye_r")]
        values.append(block)
        material.append(np.full(len(faces), MATERIAL[name], np.int32))
        first += len(rest)
    return np.concatenate(values), np.concatenate(material)


def empty_studio() -> View:
    """The backdrop alone."""
    made = backdrop()
    return View(raster.Surface(made.vertices, made.triangles, np.zeros(len(made.triangles))), made.values, made.material)


def encode(linear: Float[np.ndarray, "H W 4"]) -> UInt8[np.ndarray, "H W 4"]:
    """Linear light with straight alpha → 8-bit sRGB; highlights above 0.7 are rolled off instead of clipped."""
    light = np.maximum(linear[..., :3] * EXPOSURE, 0)
    light = np.where(light > 0.7, 0.7 + 0.3 * np.tanh((light - 0.7) / 0.3), light)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return raster.to_bytes(np.concatenate([srgb, linear[..., 3:]], axis=-1))


class Shader:
    """The demo capture as `headcast.demo.render` uses a renderer: `pose`, `show`, then `look` through a camera."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry, self.cameras = geometry, cameras_of(geometry)
        self._posed: View | None = None
        self._shown: View | None = None

    def refine(self, samples: int) -> None:
        """Nothing: the samples a pixel are the ground truth's."""

    def pose(self, frame: dict[str, np.ndarray]) -> None:
        """Work out the light of a frame."""
        self._posed = posed(self.geometry, frame)

    def show(self, subject: bool) -> None:
        """Either the subject on a transparent film, or the empty studio."""
        self._shown = self._posed if subject else empty_studio()

    def look(self, serial: str, path: str, seed: int) -> None:
        """Write the view of a camera as a lossless WebP; ``seed`` is unused, nothing here is random."""
        del seed
        if self._shown is not None:
            picture = encode(self._shown.render(self.cameras[serial]))
            Image.fromarray(picture).save(Path(path), "WEBP", lossless=True, quality=50, method=2, exact=False)
