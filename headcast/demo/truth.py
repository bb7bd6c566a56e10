"""Ground-truth images of every view from the bundle, as `capture-synth-1` defines them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headcast.capture.camera import Camera
from headcast.demo import raster
from headcast.demo.strands import BROW_RADII, LASH_RADII, ROOT_RADIUS, TIP_RADIUS
from headcast.demo.surfaces import triangulate

if TYPE_CHECKING:
    from headcast.demo.bundle import Geometry

MOVING = ("skin", "teeth", "tongue", "eye_l", "eye_r")


def cameras_of(geometry: Geometry) -> dict[str, Camera]:
    """The bundle's cameras by serial, sorted."""
    about = geometry.cameras
    return {
        serial: Camera(
            serial,
            np.array(about[serial]["K"]),
            np.array(about[serial]["world_to_camera"]),
            about[serial]["width"],
            about[serial]["height"],
        )
        for serial in sorted(about)
    }


def surface_of(geometry: Geometry, frame: dict[str, np.ndarray]) -> raster.Surface:
    """All triangles of a frame with the share that counts as face: skin as painted, eyes, teeth and tongue whole, shirt none."""
    static = geometry.static
    vertices, triangles, face, count = [], [], [], 0
    for name in (*MOVING, "shirt"):
        points = static["shirt_vertices"] if name == "shirt" else frame[name]
        key = "eye" if name.startswith("eye") else name
        corners = static["shirt_triangles"] if name == "shirt" else triangulate(static[f"{key}_quads"])
        share = np.full(len(corners), 0.0 if name == "shirt" else 1.0)
        if name == "skin":
            share = static["skin_regions"][:, 2][corners].mean(axis=1)
        vertices.append(points)
        triangles.append(corners + count)
        face.append(share)
        count += len(points)
    return raster.Surface(np.concatenate(vertices), np.concatenate(triangles), np.concatenate(face))


def ribbons_of(geometry: Geometry, frame: dict[str, np.ndarray]) -> raster.Ribbons:
    """Hair, brows and lashes of a frame; the last two count as face."""
    hair = raster.ribbons(geometry.strands(frame), ROOT_RADIUS, TIP_RADIUS, raster.HAIR, geometry.recipe.tone)
    return raster.join(
        [
            hair,
            raster.ribbons(frame["brows"], *BROW_RADII, raster.FACE),
            raster.ribbons(frame["lashes"], *LASH_RADII, raster.FACE),
        ]
    )


def views(geometry: Geometry, sequence: str, frame: int) -> dict[str, raster.Truth]:
    """The ground truth of a frame in every camera, by serial."""
    arrays = geometry.frame(sequence, frame)
    surface, strands = surface_of(geometry, arrays), ribbons_of(geometry, arrays)
    return {serial: raster.ground_truth(surface, strands, camera) for serial, camera in cameras_of(geometry).items()}
