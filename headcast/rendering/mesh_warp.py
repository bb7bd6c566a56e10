"""Primary visibility by warp's bounding volume hierarchy, CPU and CUDA."""

from __future__ import annotations

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from headcast.geometry.warp_runtime import as_array, launch, mesh_of

FAR = 1.0e6


@wp.kernel(enable_backward=False)
def _cast(mesh: wp.uint64, rays: wp.array(dtype=wp.vec3), face: wp.array(dtype=int)) -> None:
    i = wp.tid()
    query = wp.mesh_query_ray(mesh, wp.vec3(0.0, 0.0, 0.0), wp.normalize(rays[i]), FAR)
    if query.result:  # type: ignore[attr-defined]
        face[i] = query.face  # type: ignore[attr-defined]


def first_hit(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"], rays: Float[Tensor, "n 3"]) -> Int[Tensor, "n"]:
    """The first face along each ray from the origin (vertices in the camera's frame, m), -1 where there is none."""
    mesh = mesh_of(vertices, faces)
    face = torch.full((len(rays),), -1, dtype=torch.int32, device=vertices.device)
    launch(_cast, len(rays), [mesh.id, as_array(rays.float(), wp.vec3), as_array(face)], vertices.device)
    return face.long()
