"""What a parametric head is to the rest of the package: parameters in, vertices and landmarks out.

A model is linear in identity and expression around a neutral head in its own frame (metres, +x the subject's left, +y up, +z out of
the face, origin near the middle of the skull); a similarity per frame places it in the world. FLAME, BFM, ICT and the embedded
CC0 head (`open`) all fit this protocol (Li et al., FLAME, 2017; Paysan et al., BFM, 2009).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch

from headcast.geometry.rotations import axis_angle_to_matrix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from headcast.heads.surface_points import SurfacePoints

LANDMARKS = 68
DENSE_LANDMARKS = 478
IRISES = slice(468, 478)  # of the dense points: they turn with the eyes
IRIS_CENTRES = (473, 468)  # left eye, right eye
PER_FRAME = ("expression", "head_pose", "neck_pose", "jaw_pose", "eye_pose", "rotation", "translation")


@dataclass(frozen=True)
class HeadParameters:
    """One subject's head over ``F`` frames; floating tensors of one dtype and device.

    ``identity`` I; ``expression`` F E (activations); ``head_pose``, ``neck_pose``, ``jaw_pose`` F 3 and ``eye_pose`` F 6 (left eye,
    then right eye) are joint rotations (axis-angle, rad, model frame). Placement of skull-rigid points, with ``rotation`` F 3
    (axis-angle, rad), ``translation`` F 3 (m) and one ``scale``: ``x_world = scale * R(rotation) @ x_model + translation``.
    """

    identity: Float[Tensor, "I"]
    expression: Float[Tensor, "F E"]
    head_pose: Float[Tensor, "F 3"]
    neck_pose: Float[Tensor, "F 3"]
    jaw_pose: Float[Tensor, "F 3"]
    eye_pose: Float[Tensor, "F 6"]
    rotation: Float[Tensor, "F 3"]
    translation: Float[Tensor, "F 3"]
    scale: Float[Tensor, ""]

    @property
    def frame_count(self) -> int:
        """Number of frames ``F``."""
        return self.expression.shape[0]

    def frames(self, index: int | slice | list[int] | Int[Tensor, "n"]) -> HeadParameters:
        """The parameters of some frames; a single integer keeps a frame axis of length one."""
        rows = slice(index, index + 1 or None) if isinstance(index, int) else index
        return replace(self, **{name: getattr(self, name)[rows] for name in PER_FRAME})

    def placed(self, local: Float[Tensor, "F V 3"]) -> Float[Tensor, "F V 3"]:
        """Points of the model frame in the world (m)."""
        return self.scale * local @ axis_angle_to_matrix(self.rotation).transpose(1, 2) + self.translation[:, None]

    def to(self, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> HeadParameters:
        """The same parameters as another dtype and/or on another device."""
        return replace(self, **{f.name: getattr(self, f.name).to(dtype=dtype, device=device) for f in fields(self)})


def neutral_parameters(model: HeadModel, frames: int, dtype: torch.dtype = torch.float64) -> HeadParameters:
    """The mean head at rest in the model frame, ``frames`` times."""
    sizes = {"expression": model.expression_size, "eye_pose": 6}
    per_frame = {name: torch.zeros(frames, sizes.get(name, 3), dtype=dtype) for name in PER_FRAME}
    return HeadParameters(identity=torch.zeros(model.identity_size, dtype=dtype), scale=torch.ones((), dtype=dtype), **per_frame)


@runtime_checkable
class HeadModel(Protocol):
    """A parametric head; arrays are NumPy and constant, functions take and return torch tensors of the parameters' dtype.

    ``scalp`` V is hair-growing skin in [0, 1] with a soft hairline; ``face`` V is frontal face skin below the hairline with eyes
    and mouth; ``skin`` V is outer skin (no eyes, teeth, cavities); ``head_weight`` V is 1 on the skull, which it follows, and 0 on
    the bust; ``eyes`` are the vertex indices of the left and the right eyeball; ``mirror`` V is the vertex on the other side.
    ``identity_basis`` I V 3 is metres per standard deviation, ``expression_basis`` E V 3 metres at full activation (for units that
    move in no straight line, such as a jaw's rotation, the mean slope). ``expression_bounds`` E 2 and ``expression_spread`` E say
    how far a unit goes and how far it usually goes. ``eyelids`` are the skin around the left and the right eye. ``gaze`` E 6 turns
    the eyeballs (left, right; rad) at full activation. ``redistributable`` when the licence lets the basis travel in an avatar;
    ``sources`` are the user's files that the model came from, path → SHA-256.
    """

    name: str
    licence: str
    redistributable: bool
    sources: Mapping[str, str]
    faces: Int[np.ndarray, "T 3"]
    expression_names: tuple[str, ...]
    scalp: Float[np.ndarray, "V"]
    face: Bool[np.ndarray, "V"]
    skin: Bool[np.ndarray, "V"]
    mouth_interior: Bool[np.ndarray, "V"]
    head_weight: Float[np.ndarray, "V"]
    mirror: Int[np.ndarray, "V"]
    eyes: tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]
    gaze: Float[np.ndarray, "E 6"]
    expression_bounds: Float[np.ndarray, "E 2"]
    expression_spread: Float[np.ndarray, "E"]

    @property
    def eyelids(self) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]: ...

    @property
    def identity_size(self) -> int: ...

    @property
    def expression_size(self) -> int: ...

    @property
    def mean(self) -> Float[np.ndarray, "V 3"]: ...

    @property
    def identity_basis(self) -> Float[np.ndarray, "I V 3"]: ...

    @property
    def expression_basis(self) -> Float[np.ndarray, "E V 3"]: ...

    def tracked_points(self) -> SurfacePoints: ...

    def surface_points(self, embedding: Embedding) -> SurfacePoints: ...

    def neutral(self, identity: Float[Tensor, "I"]) -> Float[Tensor, "V 3"]: ...

    def vertices(self, parameters: HeadParameters) -> Float[Tensor, "F V 3"]: ...

    def landmarks(self, vertices: Float[Tensor, "F V 3"]) -> Float[Tensor, "F 68 3"]: ...

    def dense_landmarks(self, vertices: Float[Tensor, "F V 3"]) -> Float[Tensor, "F 478 3"]: ...


@dataclass(frozen=True)
class Embedding:
    """Points fixed to a surface: ``corners`` L 3 vertex indices and ``weights`` L 3 barycentric (a NaN row has no embedding)."""

    corners: Int[np.ndarray, "L 3"]
    weights: Float[np.ndarray, "L 3"]

    def __call__(self, vertices: Float[Tensor, "*f V 3"]) -> Float[Tensor, "*f L 3"]:
        """The points on moved vertices; rows without an embedding give NaN."""
        corners = torch.as_tensor(self.corners, device=vertices.device)
        weights = torch.as_tensor(self.weights, dtype=vertices.dtype, device=vertices.device)
        return (vertices[..., corners, :] * weights[..., None]).sum(dim=-2)

    def on(self, vertices: Float[np.ndarray, "*f V 3"]) -> Float[np.ndarray, "*f L 3"]:
        """The points on arrays of vertices."""
        return (vertices[..., self.corners, :] * self.weights[..., None]).sum(axis=-2)


def tracked_embedding(landmarks: Embedding, dense: Embedding) -> Embedding:
    """The 68 points, then the dense ones but the irises."""
    still = slice(IRISES.start)
    corners, weights = np.concatenate([landmarks.corners, dense.corners[still]]), [landmarks.weights, dense.weights[still]]
    return Embedding(corners, np.concatenate(weights))
