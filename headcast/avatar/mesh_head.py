"""The mesh head: a neutral signed distance on a tetrahedral lattice, deformed by bound blend shapes plus learned residuals.

DMTet (Shen et al., NeurIPS 2021) as the first stage of Gaussian Head Avatar (Xu et al., CVPR 2024): an MLP on positional encoding
predicts, for each lattice point, a bounded change of the initial distance, a bounded offset, a change of the head weight and a
feature; marching tetrahedra turn them into a mesh. Expression moves the mesh by the head model's bound blend shapes and a residual
that fades with the distance to the face landmarks; the pose blends skull and bust by the head weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from headcast.avatar.canonical import CanonicalHead
from headcast.geometry.tetrahedra import marching_tetrahedra
from headcast.rendering.mesh import Fragments, interpolate, rasterize

NEAR_SQUARED, FAR_SQUARED = 0.1e-2, 0.25e-2  # m²: 0.1 and 0.25 dm², squared distance to the landmarks (methods.md §9)
FREQUENCIES = 6
RESIDUAL = 0.012  # m: bound of the learned expression residual
MOTION_UNIT = 0.01  # m: what a colour network sees as 1
PLANES, PLANE_SIZE = (
    16,
    96,
)  # channels and side of the three feature planes; the second half speaks where the expression moves the skin
LOGIT_MARGIN = 0.005


@dataclass(frozen=True)
class Lattice:
    """The lattice points near the initial surface and what hangs on them (canonical space, m).

    ``neighbours`` M 4 are a point and its successors along x, y, z; ``distance`` is the initial signed distance (negative inside);
    ``weight`` the initial head weight; ``basis`` the bound expression offsets per unit; ``trust`` 1 where the fitted head is known
    to be the surface (face skin), 0 where only the hull speaks (hair, clothes); ``cell`` the spacing (m).
    """

    points: Float[Tensor, "P 3"]
    tets: Int64[Tensor, "Q 4"]
    neighbours: Int64[Tensor, "M 4"]
    distance: Float[Tensor, "P"]
    weight: Float[Tensor, "P"]
    basis: Float[Tensor, "P E 3"]
    trust: Float[Tensor, "P"]
    cell: Float[Tensor, ""]


class Neutral(NamedTuple):
    """The neutral mesh in canonical space: vertices (m), faces, features, colours in [0, 1] (sRGB), head weight."""

    vertices: Float[Tensor, "V 3"]
    faces: Int64[Tensor, "T 3"]
    features: Float[Tensor, "V D"]
    colours: Float[Tensor, "V 3"]
    head_weight: Float[Tensor, "V"]


class Posed(NamedTuple):
    """The mesh of one frame: world vertices (m), faces, colours, and what a renderer interpolates per pixel to ask for ``colour``.

    ``near`` is the share of the expression code, ``motion`` the whole expression offset, ``residual`` what is learned of it (m).
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int64[Tensor, "T 3"]
    colours: Float[Tensor, "V 3"] | None
    canonical: Float[Tensor, "V 3"]
    features: Float[Tensor, "V D"]
    near: Float[Tensor, "V"]
    motion: Float[Tensor, "V 3"]
    residual: Float[Tensor, "V 3"]


class Cut(NamedTuple):
    """The neutral surface cut out of the lattice, with the blend-shape offsets ``motion`` (m) of an expression."""

    vertices: Float[Tensor, "V 3"]
    faces: Int64[Tensor, "T 3"]
    features: Float[Tensor, "V D"]
    weight: Float[Tensor, "V"]
    near: Float[Tensor, "V"]
    motion: Float[Tensor, "V 3"]


class Shape(NamedTuple):
    """What the shape network says at the lattice points: distance and offset (m), head weight, feature, raw distance change."""

    distance: Float[Tensor, "P"]
    offset: Float[Tensor, "P 3"]
    weight: Float[Tensor, "P"]
    feature: Float[Tensor, "P D"]
    change: Float[Tensor, "P"]


def positional_encoding(points: Float[Tensor, "n 3"], frequencies: int = FREQUENCIES) -> Float[Tensor, "n D"]:
    """Points in about [−1, 1] with sines and cosines of π 2^k (NeRF, Mildenhall et al. 2020); D = 3 + 6 frequencies."""
    scales = math.pi * 2.0 ** torch.arange(frequencies, device=points.device, dtype=points.dtype)
    phases = (points[..., None] * scales).flatten(-2)
    return torch.cat([points, phases.sin(), phases.cos()], dim=-1)


class Network(nn.Module):
    """A small MLP whose first layer adds a code shared by all points, each point taking its ``share`` of it.

    The last layer starts at zero (times ``gain``), so that a fresh network changes nothing.
    """

    def __init__(self, inputs: int, codes: int, width: int, outputs: int, generator: torch.Generator, gain: float = 0.0) -> None:
        super().__init__()
        self.enter, self.hidden, self.leave = nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, outputs)
        self.code = nn.Linear(codes, width, bias=False) if codes else None
        for layer, scale in ((self.enter, 1.0), (self.hidden, 1.0), (self.leave, gain), (self.code, 1.0)):
            if layer is not None:
                bound = scale * math.sqrt(6 / layer.in_features)
                layer.weight.data.uniform_(-bound, bound, generator=generator) if bound else layer.weight.data.zero_()
                if layer.bias is not None:
                    layer.bias.data.zero_()

    def forward(
        self, inputs: Float[Tensor, "n I"], code: Float[Tensor, "K"] | None = None, share: Float[Tensor, "n"] | None = None
    ) -> Float[Tensor, "n O"]:
        """Outputs per point."""
        hidden = self.enter(inputs)
        if self.code is not None and code is not None:
            bias = self.code(code)
            hidden = hidden + (bias if share is None else share[:, None] * bias)
        hidden = torch.relu(self.hidden(torch.relu(hidden)))
        return self.leave(hidden)


class MeshHead(nn.Module):
    """Neutral mesh, deformation and colour of one person's head; all tensors live in ``state_dict``."""

    center: Float[Tensor, "3"]
    extent: Float[Tensor, ""]
    bound: Float[Tensor, ""]
    near: Float[Tensor, "P"]
    encoded: Float[Tensor, "P D"]

    def __init__(
        self,
        canonical: CanonicalHead,
        lattice: Lattice,
        *,
        width: int = 64,
        features: int = 16,
        bound: float = 2.0,
        seed: int = 0,
    ) -> None:
        """``bound`` limits the change of the distance, in cells; ``features`` is 32 on a GPU, fewer on a CPU."""
        super().__init__()
        for field in fields(CanonicalHead):
            self.register_buffer(f"canonical_{field.name}", getattr(canonical, field.name))
        for field in fields(Lattice):
            self.register_buffer(f"lattice_{field.name}", getattr(lattice, field.name))
        low, high = lattice.points.amin(0), lattice.points.amax(0)
        self.register_buffer("center", (low + high) / 2)
        self.register_buffer("extent", (high - low).max() / 2)
        self.register_buffer("bound", torch.tensor(float(bound)))
        self.register_buffer("near", self.nearness(lattice.points))
        self.register_buffer("encoded", self.encode(lattice.points), persistent=False)
        generator = torch.Generator().manual_seed(seed)
        encoded = 3 + 6 * FREQUENCIES
        self.shape_network = Network(encoded, 0, width, 5 + features, generator, gain=0.0)
        self.shape_network.leave.weight.data[5:].uniform_(-0.1, 0.1, generator=generator)
        self.motion_network = Network(encoded, canonical.expressions, width, 3, generator)
        self.planes = nn.Parameter(torch.zeros(3, PLANES, PLANE_SIZE, PLANE_SIZE))
        self.colour_network = Network(encoded + features + 3 * PLANES + 3, canonical.expressions, width, 3, generator, gain=0.1)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> MeshHead:
        """The mesh head that ``state_dict()`` described."""
        canonical = CanonicalHead(**{f.name: state[f"canonical_{f.name}"] for f in fields(CanonicalHead)})
        lattice = Lattice(**{f.name: state[f"lattice_{f.name}"] for f in fields(Lattice)})
        width, outputs = state["shape_network.hidden.weight"].shape[0], state["shape_network.leave.weight"].shape[0]
        head = cls(canonical, lattice, width=width, features=outputs - 5, bound=float(state["bound"]))
        head.load_state_dict(dict(state))
        return head

    @property
    def canonical(self) -> CanonicalHead:
        """The head model this mesh hangs on."""
        return CanonicalHead(**{f.name: getattr(self, f"canonical_{f.name}") for f in fields(CanonicalHead)})

    @property
    def lattice(self) -> Lattice:
        """The tetrahedral lattice."""
        return Lattice(**{f.name: getattr(self, f"lattice_{f.name}") for f in fields(Lattice)})

    def encode(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n D"]:
        """Positional encoding of canonical points (m)."""
        return positional_encoding((points - self.center) / self.extent)

    def shape(self) -> Shape:
        """The neutral fields at the lattice points."""
        lattice = self.lattice
        raw = self.shape_network(self.encoded)
        change = self.bound * lattice.cell * torch.tanh(raw[:, 0])
        offset = 0.45 * lattice.cell * torch.tanh(raw[:, 1:4])
        start = lattice.weight.clamp(LOGIT_MARGIN, 1 - LOGIT_MARGIN).logit()
        weight = torch.sigmoid(start + 6 * torch.tanh(raw[:, 4]))
        return Shape(lattice.distance + change, offset, weight, raw[:, 5:], change)

    def nearness(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        """1 within √0.1 dm of a face landmark, 0 beyond √0.25 dm, linear in the squared distance between."""
        canonical = self.canonical
        landmarks = canonical.landmarks(canonical.vertices)
        squared = torch.cdist(points.detach(), landmarks).amin(1).square()
        return ((FAR_SQUARED - squared) / (FAR_SQUARED - NEAR_SQUARED)).clamp(0, 1)

    def residual(
        self, points: Float[Tensor, "n 3"], expression: Float[Tensor, "E"], near: Float[Tensor, "n"] | None = None
    ) -> Float[Tensor, "n 3"]:
        """The learned expression offset (m) of neutral canonical points, on top of the bound blend shapes."""
        share = self.nearness(points) if near is None else near
        return RESIDUAL * share[:, None] * torch.tanh(self.motion_network(self.encode(points), expression))

    def texture(self, points: Float[Tensor, "n 3"], motion: Float[Tensor, "n 3"]) -> Float[Tensor, "n D"]:
        """Features of the three axis-aligned planes (EG3D, Chan et al., CVPR 2022): fine colour that an MLP alone learns slowly.

        Half of them fade in with the length of the expression's ``motion`` (m): what shows between parted lips.
        """
        place = (points.detach() - self.center) / self.extent
        pairs = torch.stack([place[:, [0, 1]], place[:, [2, 1]], place[:, [0, 2]]])[:, None]
        sampled = nn.functional.grid_sample(self.planes, pairs, align_corners=False, padding_mode="border")[:, :, 0]
        rest, moved = sampled.split(PLANES // 2, dim=1)
        strength = (motion.detach().norm(dim=1) / MOTION_UNIT).clamp_max(1)
        return torch.cat([rest, moved * strength], dim=1).flatten(0, 1).T

    def colour(
        self,
        points: Float[Tensor, "n 3"],
        features: Float[Tensor, "n D"],
        near: Float[Tensor, "n"],
        motion: Float[Tensor, "n 3"],
        expression: Float[Tensor, "E"],
    ) -> Float[Tensor, "n 3"]:
        """RGB in [0, 1] (sRGB) at neutral canonical points (m) that the expression moves by ``motion`` (m).

        The motion tells where lips part; the expression code itself matters near the face only.
        """
        inputs = torch.cat([self.encode(points), features, self.texture(points, motion), motion.detach() / MOTION_UNIT], dim=1)
        return torch.sigmoid(self.colour_network(inputs, expression, near))

    def surface(self, expression: Float[Tensor, "E"], shape: Shape | None = None) -> Cut:
        """The neutral surface and how the bound blend shapes of an expression move it."""
        shape = self.shape() if shape is None else shape
        lattice = self.lattice
        prior = torch.einsum("pec,e->pc", lattice.basis.to(expression.dtype), expression)
        attributes = torch.cat([shape.feature, shape.weight[:, None], self.near[:, None], prior], dim=1)
        vertices, faces, carried = marching_tetrahedra(lattice.points + shape.offset, shape.distance, lattice.tets, attributes)
        assert carried is not None
        return Cut(vertices, faces, carried[:, :-5], carried[:, -5], carried[:, -4], carried[:, -3:])

    def neutral(self) -> Neutral:
        """The neutral mesh in canonical space with its features and colours (no gradients)."""
        with torch.no_grad():
            rest = torch.zeros(self.canonical.expressions, device=self.center.device)
            cut = self.surface(rest)
            colours = self.colour(cut.vertices, cut.features, cut.near, cut.motion, rest)
            return Neutral(cut.vertices, cut.faces, cut.features, colours, cut.weight)

    def posed(
        self,
        expression: Float[Tensor, "E"],
        rotation: Float[Tensor, "3 3"],
        translation: Float[Tensor, "3"],
        *,
        shape: Shape | None = None,
        colours: bool = True,
    ) -> Posed:
        """The mesh of a frame in the world (m), given the skull's pose; ``shape`` may be reused between frames."""
        cut = self.surface(expression, shape)
        residual = self.residual(cut.vertices, expression, cut.near)
        motion = cut.motion + residual
        world = self.canonical.place(cut.vertices + motion, cut.weight, rotation, translation)
        rgb = self.colour(cut.vertices, cut.features, cut.near, motion, expression) if colours else None
        return Posed(world, cut.faces, rgb, cut.vertices, cut.features, cut.near, motion, residual)

    def shade(
        self, posed: Posed, fragments: Fragments, expression: Float[Tensor, "E"], chosen: Bool[Tensor, "H W"]
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        """The colours and the expression motion (m) at the ``chosen`` pixels of a rasterized mesh, row by row."""
        attributes = torch.cat([posed.canonical, posed.motion, posed.near[:, None], posed.features], dim=1)
        pixels = interpolate(attributes, posed.faces, fragments)[chosen]
        motion = pixels[:, 3:6]
        return self.colour(pixels[:, :3], pixels[:, 7:], pixels[:, 6], motion, expression), motion

    def render(
        self,
        expression: Float[Tensor, "E"],
        rotation: Float[Tensor, "3 3"],
        translation: Float[Tensor, "3"],
        world_to_camera: Float[Tensor, "4 4"],
        K: Float[Tensor, "3 3"],
        width: int,
        height: int,
    ) -> tuple[Float[Tensor, "H W 3"], Float[Tensor, "H W"]]:
        """The picture on black (sRGB in [0, 1]) and coverage of a frame, coloured per pixel (no gradients)."""
        with torch.no_grad():
            posed = self.posed(expression, rotation, translation, colours=False)
            fragments = rasterize(posed.vertices, posed.faces, world_to_camera, K, width, height)
            covered = fragments.face_id >= 0
            image = torch.zeros(height, width, 3, device=self.center.device)
            image[covered] = self.shade(posed, fragments, expression, covered)[0]
            return image, covered.float()

    def landmarks(
        self, expression: Float[Tensor, "E"], rotation: Float[Tensor, "3 3"], translation: Float[Tensor, "3"]
    ) -> Float[Tensor, "68 3"]:
        """The 68 landmarks in the world (m): the head model's, moved by the learned residual."""
        canonical = self.canonical
        rest = canonical.landmarks(canonical.vertices)
        moved = canonical.landmarks(canonical.deformed(expression)) + self.residual(rest, expression)
        return canonical.place(
            moved, canonical.landmarks(canonical.head_weight[:, None].expand(-1, 3))[:, 0], rotation, translation
        )
