"""The canonical space of an avatar: the skull's frame in metres, with the person's scale absorbed.

A canonical point x with head weight w and the frame's skull pose (R, t), reference placement (R₀, t₀):

    x_world = w (R x + t) + (1 − w) (R₀ x + t₀)

so the skull (w = 1) follows the head, the bust (w = 0) stays at the reference placement and the neck blends. ``bind`` carries the
head model's blend shapes and weights to arbitrary points; mesh and Gaussian heads start from this prior and learn residuals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.geometry.meshes import closest_point
from headcast.geometry.rotations import axis_angle_to_matrix

if TYPE_CHECKING:
    from headcast.heads.model import HeadModel, HeadParameters

SKULL_WEIGHT = 0.5
FALLOFF = 0.03  # m: distance from the model's surface at which expression offsets fade to 1/e


@dataclass(frozen=True)
class Binding:
    """Where canonical points hang on the model's surface: closest triangle, barycentrics, distance (m), falloff in [0, 1]."""

    face: Int64[Tensor, "P"]
    barycentric: Float[Tensor, "P 3"]
    distance: Float[Tensor, "P"]
    falloff: Float[Tensor, "P"]


@dataclass(frozen=True)
class CanonicalHead:
    """The fitted head model at rest in canonical space, as plain tensors (no asset needed to use it).

    ``vertices`` and ``expression_basis`` in metres; ``head_weight`` 1 on the skull, 0 on the bust; ``scalp`` in [0, 1];
    ``landmark_face``/``landmark_barycentric`` embed the 68 iBUG points; ``reference_*`` is the placement of the bust (m).
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int64[Tensor, "T 3"]
    expression_basis: Float[Tensor, "E V 3"]
    head_weight: Float[Tensor, "V"]
    scalp: Float[Tensor, "V"]
    face: Bool[Tensor, "V"]
    mouth_interior: Bool[Tensor, "V"]
    eyes: Bool[Tensor, "V"]
    landmark_face: Int64[Tensor, "68"]
    landmark_barycentric: Float[Tensor, "68 3"]
    reference_rotation: Float[Tensor, "3 3"]
    reference_translation: Float[Tensor, "3"]

    @classmethod
    def from_model(cls, model: HeadModel, parameters: HeadParameters, reference_frame: int = 0) -> CanonicalHead:
        """The head ``model`` with the identity and scale of ``parameters``; the bust stays where ``reference_frame`` has it."""
        scale = torch.as_tensor(parameters.scale).double()
        vertices = scale * torch.as_tensor(model.neutral(parameters.identity)).double()
        faces = torch.as_tensor(model.faces).long()
        rotation = axis_angle_to_matrix(parameters.rotation[reference_frame].double())
        landmarks = torch.as_tensor(model.landmarks(vertices[None])).double()[0]
        face, barycentric, _ = closest_point(landmarks.float(), vertices.float(), faces)
        count = len(vertices)
        return cls(
            vertices=vertices.float(),
            faces=faces,
            expression_basis=(scale * torch.as_tensor(model.expression_basis).double()).float(),
            head_weight=torch.as_tensor(model.head_weight).float(),
            scalp=torch.as_tensor(model.scalp).float(),
            face=vertex_mask(model.face, count),
            mouth_interior=vertex_mask(model.mouth_interior, count),
            eyes=vertex_mask(model.eyes, count),
            landmark_face=face,
            landmark_barycentric=barycentric,
            reference_rotation=rotation.float(),
            reference_translation=parameters.translation[reference_frame].float(),
        )

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> CanonicalHead:
        """The head that ``state`` described."""
        return cls(**{field.name: state[field.name] for field in fields(cls)})

    def state(self) -> dict[str, Tensor]:
        """Plain tensors by field name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to(self, device: torch.device | str) -> CanonicalHead:
        """The same head on ``device``."""
        return replace(self, **{name: tensor.to(device) for name, tensor in self.state().items()})

    @property
    def expressions(self) -> int:
        """The number of expression units E."""
        return self.expression_basis.shape[0]

    def skull_distance(self) -> SignedDistanceGrid:
        """Signed distance to the skull and the upper neck, sampled around the whole model.

        The bust is left out: landmarks fix no shoulders and hair lies on those that were filmed, not on the model's.
        """
        firm = (self.head_weight[self.faces] > SKULL_WEIGHT).all(1)
        return SignedDistanceGrid.from_mesh(self.vertices, self.faces[firm])

    def deformed(self, expression: Float[Tensor, "E"]) -> Float[Tensor, "V 3"]:
        """The canonical surface with an expression (m)."""
        return self.vertices + torch.einsum("e,evc->vc", expression, self.expression_basis)

    def landmarks(self, vertices: Float[Tensor, "V 3"]) -> Float[Tensor, "68 3"]:
        """The 68 points on given vertices of this topology."""
        return (vertices[self.faces[self.landmark_face]] * self.landmark_barycentric[..., None]).sum(1)

    def posed(
        self, expression: Float[Tensor, "E"], rotation: Float[Tensor, "3 3"], translation: Float[Tensor, "3"]
    ) -> Float[Tensor, "V 3"]:
        """The model's surface in the world (m)."""
        return self.place(self.deformed(expression), self.head_weight, rotation, translation)

    def place(
        self,
        points: Float[Tensor, "P 3"],
        weight: Float[Tensor, "P"] | float,
        rotation: Float[Tensor, "3 3"],
        translation: Float[Tensor, "3"],
        reference: tuple[Float[Tensor, "3 3"], Float[Tensor, "3"]] | None = None,
    ) -> Float[Tensor, "P 3"]:
        """Canonical points to the world (m), blending skull pose and ``reference`` placement by ``weight``."""
        rotation_0, translation_0 = reference or (self.reference_rotation, self.reference_translation)
        moving = points @ rotation.T + translation
        if isinstance(weight, float):
            return moving if weight == 1.0 else weight * moving + (1 - weight) * (points @ rotation_0.T + translation_0)
        resting = points @ rotation_0.T + translation_0
        return resting + weight[:, None] * (moving - resting)

    def rotations(self, weight: Float[Tensor, "P"], rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "P 3 3"]:
        """The linear part of ``place`` for each point: how canonical directions turn (not orthonormal where weights blend)."""
        return self.reference_rotation + weight[:, None, None] * (rotation - self.reference_rotation)

    def outer(self) -> Int64[Tensor, "n"]:
        """The faces of the outer surface: no corner in the mouth's interior or on an eyeball."""
        inner = self.mouth_interior | self.eyes
        return torch.nonzero(~inner[self.faces].any(1))[:, 0]

    def bind(self, points: Float[Tensor, "P 3"], falloff: float = FALLOFF, outer: bool = False) -> Binding:
        """Hang canonical points on the closest surface point; the falloff is exp(−(distance / falloff)²).

        With ``outer`` neither the mouth's interior nor the eyeballs are considered.
        """
        chosen = self.outer() if outer else torch.arange(len(self.faces), device=self.faces.device)
        face, barycentric, distance = closest_point(points.detach(), self.vertices, self.faces[chosen])
        face = chosen[face]
        return Binding(face, barycentric, distance, torch.exp(-((distance / falloff) ** 2)))

    def interpolate(self, attribute: Float[Tensor, "V *c"], binding: Binding) -> Float[Tensor, "P *c"]:
        """A vertex attribute at the bound surface points."""
        corners = attribute[self.faces[binding.face]]
        return torch.einsum("pk...,pk->p...", corners, binding.barycentric)

    def bound_basis(self, binding: Binding) -> Float[Tensor, "P E 3"]:
        """Expression offsets per unit at the bound points (m), faded by the falloff."""
        basis = self.interpolate(self.expression_basis.transpose(0, 1), binding)
        return basis * binding.falloff[:, None, None]

    def bound_weight(self, binding: Binding) -> Float[Tensor, "P"]:
        """The head weight at the bound points."""
        return self.interpolate(self.head_weight, binding)


def skull_track(parameters: HeadParameters) -> tuple[Float[Tensor, "F 3 3"], Float[Tensor, "F 3"]]:
    """Rotation and translation (m) of the skull in every frame, for models whose placement is the skull's (``open``)."""
    return axis_angle_to_matrix(parameters.rotation.double()).float(), parameters.translation.float()


def vertex_mask(value: Any, count: int) -> Bool[Tensor, "V"]:
    """A vertex mask from a mask or from (nested) vertex indices."""
    if isinstance(value, tuple):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        value = torch.cat([torch.as_tensor(part).reshape(-1).long() for part in value.values()])
    tensor = torch.as_tensor(value)
    if tensor.ndim == 2 and tensor.shape[-1] == count:
        return tensor.bool().any(0)
    if tensor.shape == (count,):
        return tensor.bool()
    mask = torch.zeros(count, dtype=torch.bool)
    mask[tensor.reshape(-1).long()] = True
    return mask
