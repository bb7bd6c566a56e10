"""Procedural Cycles materials of the demo subject. Runs inside Blender's Python only (`bpy` is imported when used)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Colour = tuple[float, float, float]


class Nodes:
    """A small builder of shader graphs: values and sockets may be mixed freely as inputs."""

    def __init__(self, name: str) -> None:
        import bpy

        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.tree.nodes.clear()
        self.output = self.tree.nodes.new("ShaderNodeOutputMaterial")

    def node(
        self, kind: str, inputs: Mapping[str, Any] | Mapping[int, Any] | Mapping[str | int, Any] | None = None, **settings: Any
    ) -> Any:
        """Add a node; ``inputs`` by name or index take numbers, colours or sockets."""
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for name, value in settings.items():
            setattr(node, name, value)
        for key, value in (inputs or {}).items():
            self.feed(node.inputs[key], value)
        return node

    def feed(self, socket: Any, value: Any) -> None:
        """Link a socket or set a constant."""
        if hasattr(value, "is_linked"):
            self.tree.links.new(value, socket)
        else:
            socket.default_value = value

    def math(self, operation: str, a: Any, b: Any = 0.0) -> Any:
        """A scalar operation."""
        return self.node("Math", {0: a, 1: b}, operation=operation).outputs[0]

    def scale(self, value: Any, low: float, high: float, to_low: float, to_high: float) -> Any:
        """Map [low, high] to [to_low, to_high], clamped."""
        return self.node("MapRange", {0: value, 1: low, 2: high, 3: to_low, 4: to_high}).outputs[0]

    def mix(self, share: Any, a: Any, b: Any) -> Any:
        """Blend two colours."""
        return self.node("Mix", {0: share, 6: a, 7: b}, data_type="RGBA").outputs[2]

    def attribute(self, name: str, output: str = "Fac") -> Any:
        """A mesh or curve attribute."""
        return self.node("Attribute", attribute_name=name).outputs[output]

    def noise(self, at: Any, scale: float, detail: float, low: float, high: float) -> Any:
        """Noise in space mapped to [low, high]."""
        raw = self.node("TexNoise", {"Vector": at, "Scale": scale, "Detail": detail}).outputs[0]
        return self.scale(raw, 0.35, 0.65, low, high)

    def finish(self, shader: Any) -> Any:
        """Connect the surface and return the material."""
        self.tree.links.new(shader, self.output.inputs["Surface"])
        return self.material


def rgba(colour: Colour) -> tuple[float, float, float, float]:
    """A colour socket's value."""
    return (*colour, 1.0)


def skin() -> Any:
    """Painted base colour with mottling, freckles and pores; subsurface scattering; glossier lips, matt scalp."""
    n = Nodes("skin")
    at = n.attribute("rest", "Vector")
    regions = n.node("SeparateColor", {0: n.attribute("regions", "Color")}).outputs
    lips, scalp = regions[0], regions[1]
    colour = n.attribute("colour", "Color")
    colour = n.mix(n.noise(at, 55, 3, 0, 0.22), colour, rgba((0.50, 0.23, 0.17)))
    colour = n.mix(n.noise(at, 190, 4, 0, 0.22), colour, rgba((0.66, 0.43, 0.32)))
    colour = n.mix(n.noise(at, 750, 3, 0, 0.14), colour, rgba((0.40, 0.18, 0.12)))
    spots = n.node("TexVoronoi", {"Vector": at, "Scale": 190.0}).outputs["Distance"]
    spots = n.math("MULTIPLY", n.scale(spots, 0.08, 0.16, 0.30, 0), n.noise(at, 45, 2, 0, 1))
    colour = n.mix(spots, colour, rgba((0.30, 0.13, 0.075)))
    creases = n.math("MULTIPLY", lips, n.noise(at, 1400, 2, 0, 0.35))
    colour = n.mix(creases, colour, rgba((0.34, 0.09, 0.09)))
    cells = n.node("TexVoronoi", {"Vector": at, "Scale": 850.0}).outputs["Distance"]
    grain = n.node("TexNoise", {"Vector": at, "Scale": 340.0, "Detail": 5.0}).outputs[0]
    bump = n.node("Bump", {"Strength": 0.22, "Distance": 0.0011, "Height": n.math("ADD", cells, grain)}).outputs[0]
    rough = n.math("ADD", n.math("MULTIPLY", lips, -0.13), n.noise(at, 380, 3, 0.44, 0.57))
    inputs = {
        "Base Color": colour,
        "Roughness": rough,
        "Subsurface Weight": 0.25,
        "Subsurface Radius": (0.011, 0.0045, 0.0025),
        "Subsurface Scale": 0.65,
        "Specular IOR Level": n.math("ADD", n.math("MULTIPLY", scalp, -0.40), 0.42),
        "Normal": bump,
    }
    return n.finish(n.node("BsdfPrincipled", inputs).outputs[0])


def plain(name: str, colour: Colour, roughness: float, subsurface: float = 0.0, coat: float = 0.0) -> Any:
    """One colour: teeth, tongue."""
    n = Nodes(name)
    inputs = {"Base Color": rgba(colour), "Roughness": roughness, "Subsurface Weight": subsurface}
    inputs |= {"Subsurface Scale": 0.004, "Coat Weight": coat}
    return n.finish(n.node("BsdfPrincipled", inputs).outputs[0])


def cloth() -> Any:
    """A knitted shirt: fine ribs, matt with some sheen."""
    n = Nodes("cloth")
    at = n.node("NewGeometry").outputs["Position"]
    ribs = n.node("TexWave", {"Vector": at, "Scale": 260.0, "Distortion": 1.5, "Detail": 2.0}, bands_direction="X").outputs[1]
    colour = n.mix(n.math("MULTIPLY", ribs, 0.55), rgba((0.055, 0.105, 0.11)), rgba((0.030, 0.06, 0.066)))
    colour = n.mix(n.noise(at, 90, 3, 0, 0.3), colour, rgba((0.07, 0.13, 0.13)))
    bump = n.node("Bump", {"Strength": 0.35, "Distance": 0.0012, "Height": ribs}).outputs[0]
    inputs = {"Base Color": colour, "Roughness": 0.85, "Sheen Weight": 0.25, "Normal": bump, "Specular IOR Level": 0.2}
    return n.finish(n.node("BsdfPrincipled", inputs).outputs[0])


def eye(radius: float) -> Any:
    """Pupil, streaked iris with a dark limbus, veined sclera, wet coat; attribute ``polar`` is the angle from the gaze (rad)."""
    n = Nodes("eye")
    away = n.math("MULTIPLY", n.attribute("polar"), radius)
    stops = (
        (0.0, (0.004, 0.004, 0.004)),
        (0.0018, (0.004, 0.004, 0.004)),
        (0.0021, (0.16, 0.10, 0.035)),
        (0.0034, (0.085, 0.105, 0.055)),
        (0.0050, (0.045, 0.065, 0.045)),
        (0.0057, (0.012, 0.014, 0.012)),
        (0.0063, (0.62, 0.58, 0.55)),
        (0.0100, (0.74, 0.68, 0.64)),
        (0.0150, (0.62, 0.38, 0.34)),
    )
    ramp = n.node("ValToRGB", {0: n.math("DIVIDE", away, 0.015)})
    while len(ramp.color_ramp.elements) < len(stops):
        ramp.color_ramp.elements.new(0.5)
    for element, (place, colour) in zip(ramp.color_ramp.elements, stops, strict=True):
        element.position, element.color = place / 0.015, rgba(colour)
    streaks = n.noise(n.attribute("spokes", "Vector"), 1.0, 4, 0, 0.8)
    streaks = n.math("MULTIPLY", streaks, n.scale(away, 0.0056, 0.0064, 1.0, 0.05))
    colour = n.mix(streaks, ramp.outputs[0], rgba((0.03, 0.022, 0.012)))
    inputs = {"Base Color": colour, "Roughness": 0.35, "Coat Weight": 1.0, "Coat Roughness": 0.03, "Coat IOR": 1.38}
    return n.finish(n.node("BsdfPrincipled", inputs).outputs[0])


def hair(name: str, melanin: float, redness: float, varied: bool = True) -> Any:
    """Principled hair (Chiang et al. 2016), darker at the roots; the curve attribute ``tone`` varies it from strand to strand."""
    n = Nodes(name)
    amount: Any = melanin
    if varied:
        along = n.node("HairInfo").outputs["Intercept"]
        amount = n.math("ADD", n.math("MULTIPLY", along, -0.16), melanin + 0.05)
        amount = n.math("ADD", amount, n.math("MULTIPLY", n.attribute("tone"), 0.055))
        amount = n.math("MINIMUM", amount, 0.985)
    shader = n.node("BsdfHairPrincipled", parametrization="MELANIN", model="CHIANG")
    values = {"Melanin": amount, "Melanin Redness": redness, "Roughness": 0.30, "Radial Roughness": 0.5}
    for socket, value in values.items():
        n.feed(shader.inputs[socket], value)
    return n.finish(shader.outputs[0])


def backdrop(name: str, colour: Colour, roughness: float, glow: float = 0.0) -> Any:
    """A surface of the studio."""
    n = Nodes(name)
    inputs = {"Base Color": rgba(colour), "Roughness": roughness}
    inputs |= {"Emission Color": rgba((1, 1, 1)), "Emission Strength": glow}
    return n.finish(n.node("BsdfPrincipled", inputs).outputs[0])
