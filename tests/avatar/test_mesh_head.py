"""The mesh head before training: it is the first surface, moves as bound, and survives its state."""

from __future__ import annotations

import pytest
import torch
import trimesh

from headcast.avatar.canonical import CanonicalHead
from headcast.avatar.mesh_head import FAR_SQUARED, NEAR_SQUARED, Lattice, MeshHead, Network, positional_encoding
from headcast.geometry.meshes import volume
from headcast.geometry.tetrahedra import kuhn_grid

RADIUS, CELLS = 0.1, 16


def ball() -> CanonicalHead:
    """A ball whose one expression moves its front forward by 1 cm; below −6 cm it is bust."""
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=RADIUS)
    vertices, faces = torch.tensor(mesh.vertices, dtype=torch.float32), torch.tensor(mesh.faces, dtype=torch.int64)
    basis = torch.zeros(1, len(vertices), 3)
    basis[0, :, 2] = 0.01 * (vertices[:, 2] > 0.03)
    nothing = torch.zeros(len(vertices), dtype=torch.bool)
    front = torch.argsort(-vertices[faces].mean(1)[:, 2])[:68]
    return CanonicalHead(
        vertices=vertices,
        faces=faces,
        expression_basis=basis,
        head_weight=(vertices[:, 1] > -0.06).float(),
        scalp=nothing.float(),
        face=vertices[:, 2] > 0.05,
        mouth_interior=nothing,
        eyes=nothing,
        landmark_face=front,
        landmark_barycentric=torch.full((68, 3), 1 / 3),
        reference_rotation=torch.eye(3),
        reference_translation=torch.zeros(3),
    )


def lattice(canonical: CanonicalHead) -> Lattice:
    points, tets = kuhn_grid(CELLS, [-0.16] * 3, [0.16] * 3)
    binding = canonical.bind(points)
    index = torch.arange(len(points)).reshape(CELLS + 1, CELLS + 1, CELLS + 1)
    corner = [index[:-1, :-1, :-1], index[1:, :-1, :-1], index[:-1, 1:, :-1], index[:-1, :-1, 1:]]
    return Lattice(
        points=points,
        tets=tets,
        neighbours=torch.stack([part.reshape(-1) for part in corner], 1),
        distance=points.norm(dim=1) - RADIUS,
        weight=canonical.bound_weight(binding),
        basis=canonical.bound_basis(binding),
        trust=torch.zeros(len(points)),
        cell=torch.tensor(0.02),
    )


@pytest.fixture(scope="module")
def head() -> MeshHead:
    canonical = ball()
    return MeshHead(canonical, lattice(canonical), width=16, features=4)


def test_a_fresh_head_is_the_first_surface(head):
    neutral = head.neutral()
    radii = neutral.vertices.norm(dim=1)
    assert (radii - RADIUS).abs().max().item() < 0.002
    assert volume(neutral.vertices, neutral.faces).item() == pytest.approx(4 / 3 * torch.pi * RADIUS**3, rel=0.04)
    assert neutral.features.shape == (len(neutral.vertices), 4)
    assert neutral.colours.min() >= 0 and neutral.colours.max() <= 1


def test_expression_and_pose_follow_the_bound_model(head):
    rest = head.neutral()
    turned = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    shift = torch.tensor([0.0, 0.0, 0.3])
    posed = head.posed(torch.tensor([1.0]), turned, shift)
    front, back = rest.vertices[:, 2] > 0.06, rest.vertices[:, 2] < 0
    expected = rest.vertices + torch.tensor([0, 0, 0.01]) * front[:, None]
    skull, bust = rest.head_weight > 0.99, rest.head_weight < 0.01
    assert skull.any() and bust.any()
    sure = skull & (front | back)
    assert (posed.vertices - (expected @ turned.T + shift))[sure].abs().max().item() < 0.004
    assert (posed.vertices - expected)[bust & (front | back)].abs().max().item() < 0.004
    assert torch.equal(posed.canonical, rest.vertices) and (posed.residual == 0).all()


def test_state_round_trip_renders_the_same(head):
    with torch.no_grad():
        head.planes.add_(torch.randn(head.planes.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    again = MeshHead.from_state({name: tensor.clone() for name, tensor in head.state_dict().items()})
    camera = torch.eye(4)
    camera[:3, :3], camera[2, 3] = torch.diag(torch.tensor([1.0, -1, -1])), 0.6
    K = torch.tensor([[60.0, 0, 16], [0, 60, 16], [0, 0, 1]])
    arguments = (torch.tensor([0.5]), torch.eye(3), torch.zeros(3), camera, K, 32, 32)
    image, alpha = head.render(*arguments)
    twin, _ = again.render(*arguments)
    assert torch.equal(image, twin)
    radius_px = 60 * RADIUS / (0.6**2 - RADIUS**2) ** 0.5
    assert alpha.sum().item() == pytest.approx(torch.pi * radius_px**2, rel=0.06)
    assert image[0].abs().max() == 0 and image[16, 16].min() > 0


def test_the_residual_stays_near_the_landmarks(head):
    middle = head.canonical.landmarks(head.canonical.vertices)[:1]
    away = torch.tensor([[0.0, 0.0, 1.0]])
    squared = torch.tensor([0.0, NEAR_SQUARED, (NEAR_SQUARED + FAR_SQUARED) / 2, FAR_SQUARED, 1.0])
    top = head.canonical.landmarks(head.canonical.vertices)[:, 2].max()
    points = torch.cat([middle, torch.tensor([[0.0, 0.0, float(top)]]) + squared.sqrt()[1:, None] * away])
    nearness = head.nearness(points)
    assert nearness[0] == 1 and nearness[1] > 0.95 and 0.3 < nearness[2] < 0.6 and nearness[3] < 0.05 and nearness[4] == 0


def test_gradients_reach_every_network(head):
    posed = head.posed(torch.tensor([1.0]), torch.eye(3), torch.zeros(3))
    (posed.vertices.square().sum() + posed.colours.sum()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    assert all(
        network.leave.weight.grad.abs().sum() > 0 for network in (head.shape_network, head.motion_network, head.colour_network)
    )


def test_networks_share_a_code_as_a_bias():
    network = Network(3, 2, 8, 1, torch.Generator().manual_seed(0), gain=1.0)
    points, code = torch.randn(5, 3), torch.tensor([1.0, -1.0])
    off, on = network(points, code, torch.zeros(5)), network(points, code, torch.ones(5))
    assert torch.allclose(off, network(points)) and torch.allclose(on, network(points, code))
    assert not torch.allclose(on, off)


def test_positional_encoding_has_its_waves():
    encoded = positional_encoding(torch.tensor([[0.5, 0.0, 0.25]]), 2)
    expected = torch.tensor([0.5, 0, 0.25, 1, 0, 0, 0, 2**-0.5, 1, 0, -1, 1, 1, 2**-0.5, 0])
    assert torch.allclose(encoded[0], expected, atol=1e-6)
