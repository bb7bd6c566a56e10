"""Where points lie relative to a mesh: closest surface point, signed distance, winding number (warp's BVH, CPU and CUDA)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from headcast.errors import HeadcastError
from headcast.geometry.warp_runtime import as_array, launch, mesh_of


class Closest(NamedTuple):
    """For each query point: the nearest face, the barycentric coordinates of the nearest point on it and the distance (m)."""

    face: Int[Tensor, "P"]
    barycentric: Float[Tensor, "P 3"]
    distance: Float[Tensor, "P"]


@wp.kernel(enable_backward=False)
def _closest(mesh: wp.uint64, points: wp.array(dtype=wp.vec3), face: wp.array(dtype=int), weight: wp.array(dtype=wp.vec3)) -> None:
    i = wp.tid()
    query = wp.mesh_query_point_no_sign(mesh, points[i], 1.0e20)
    face[i] = query.face  # type: ignore[attr-defined]
    weight[i] = wp.vec3(query.u, query.v, 1.0 - query.u - query.v)  # type: ignore[attr-defined]


@wp.kernel(enable_backward=False)
def _inside(mesh: wp.uint64, points: wp.array(dtype=wp.vec3), threshold: float, sign: wp.array(dtype=float)) -> None:
    i = wp.tid()
    sign[i] = wp.mesh_query_point_sign_winding_number(mesh, points[i], 1.0e20, 2.0, threshold).sign  # type: ignore[attr-defined]


def at_barycentric(
    attributes: Float[Tensor, "V D"], faces: Int[Tensor, "T 3"], face: Int[Tensor, "*n"], barycentric: Float[Tensor, "*n 3"]
) -> Float[Tensor, "*n D"]:
    """Attributes interpolated within faces by barycentric coordinates."""
    return (attributes[faces[face]] * barycentric[..., None]).sum(-2)


def _check(points: Tensor, vertices: Tensor, faces: Tensor) -> None:
    if not len(faces):
        raise HeadcastError("mesh query", "the mesh has no faces")
    for name, tensor in (("points", points), ("vertices", vertices)):
        if not torch.isfinite(tensor.detach().sum()):
            raise HeadcastError("mesh query", f"{name} are not finite")


def closest_point(points: Float[Tensor, "P 3"], vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"]) -> Closest:
    """The nearest point of the mesh to each point; the distance is differentiable in ``points`` and ``vertices``.

    The search runs in float32. Raises ``HeadcastError`` for an empty mesh or coordinates that are not finite.
    """
    _check(points, vertices, faces)
    mesh = mesh_of(vertices, faces)
    face = torch.empty(len(points), dtype=torch.int32, device=points.device)
    weight = torch.empty(len(points), 3, dtype=torch.float32, device=points.device)
    inputs = [mesh.id, as_array(points.detach().float(), wp.vec3), as_array(face), as_array(weight, wp.vec3)]
    launch(_closest, len(points), inputs, points.device)
    found, barycentric = face.long(), weight.to(points.dtype)
    offset = points - at_barycentric(vertices.to(points.dtype), faces, found, barycentric)
    return Closest(found, barycentric, _norm(offset))


def _norm(vectors: Float[Tensor, "P 3"]) -> Float[Tensor, "P"]:
    """Euclidean length whose gradient is zero, not NaN, at zero."""
    squared = vectors.square().sum(-1)
    safe = torch.where(squared > 0, squared, torch.ones_like(squared))
    return torch.where(squared > 0, safe.sqrt(), torch.zeros_like(squared))


def signed_distance(
    points: Float[Tensor, "P 3"], vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"], threshold: float = 0.5
) -> Float[Tensor, "P"]:
    """Distance to the mesh (m), negative inside; differentiable like ``closest_point``.

    Inside means a generalised winding number above ``threshold`` (Barill et al., SIGGRAPH 2018),
    which also works for meshes with holes.
    """
    distance = closest_point(points, vertices, faces).distance
    mesh = mesh_of(vertices, faces, winding=True)
    sign = torch.ones(len(points), dtype=torch.float32, device=points.device)
    launch(_inside, len(points), [mesh.id, as_array(points.detach().float(), wp.vec3), threshold, as_array(sign)], points.device)
    return distance * sign.to(distance.dtype)
