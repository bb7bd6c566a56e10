"""The demo capture as a Blender scene: subject, studio, lights, cameras. Runs inside Blender's Python only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from headcast.demo import materials
from headcast.demo.strands import BROW_RADII, LASH_RADII, ROOT_RADIUS, TIP_RADIUS

if TYPE_CHECKING:
    from headcast.demo.bundle import Geometry

SENSOR_MM = 36.0
# position (m), size (m), power (W), colour
LIGHTS = (
    ((0.9, 0.75, 1.5), 0.7, 29.0, (1.0, 0.95, 0.88)),
    ((-1.3, 0.35, 1.2), 0.9, 15.0, (0.9, 0.95, 1.0)),
    ((0.0, 1.6, 0.3), 0.8, 14.0, (1.0, 1.0, 1.0)),
    ((0.5, 0.8, -1.2), 0.5, 15.0, (1.0, 0.97, 0.92)),
    ((-0.7, 0.6, -1.1), 0.5, 12.0, (0.93, 0.96, 1.0)),
)


class Scene:
    """One Blender scene that is posed frame by frame (`pose`) and seen by any camera (`look`)."""

    def __init__(self, geometry: Geometry, device: str, samples: int, threads: int) -> None:
        import bpy

        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.geometry, self.scene = geometry, bpy.context.scene
        _configure(self.scene, device, samples, threads)
        self.meshes = _subject_meshes(self.scene, geometry.static)
        self.curves: list[Any] = []
        self.fibres = {
            "hair": materials.hair("hair", 0.74, 0.60),
            "brows": materials.hair("brows", 0.82, 0.55, varied=False),
            "lashes": materials.hair("lashes", 0.95, 0.4, varied=False),
        }
        self.studio = bpy.data.collections.new("studio")
        self.scene.collection.children.link(self.studio)
        _build_studio(self.studio)
        _light(self.scene)
        self.cameras = {serial: _camera(self.scene, serial, about) for serial, about in geometry.cameras.items()}

    def pose(self, frame: dict[str, np.ndarray]) -> None:
        """Move the meshes to a frame and replace the hair."""
        for name, item in self.meshes.items():
            if name in frame:
                item.data.vertices.foreach_set("co", frame[name].astype(np.float32).ravel())
                item.data.update()
        self._clear_curves()
        self._add_curves("hair", self.geometry.strands(frame), (ROOT_RADIUS, TIP_RADIUS), self.geometry.recipe.tone)
        self._add_curves("brows", frame["brows"], BROW_RADII, None)
        self._add_curves("lashes", frame["lashes"], LASH_RADII, None)

    def show(self, subject: bool) -> None:
        """Either the subject on a transparent film, or the empty studio."""
        for item in [*self.meshes.values(), *self.curves]:
            item.hide_render = not subject
        self.studio.hide_render = subject
        self.scene.render.film_transparent = subject

    def refine(self, samples: int) -> None:
        """Samples a pixel from now on."""
        self.scene.cycles.samples = samples

    def look(self, serial: str, path: str, seed: int) -> None:
        """Render the view of a camera to ``path`` (format by `_configure`)."""
        import bpy

        self.scene.camera = self.cameras[serial]
        self.scene.cycles.seed = seed
        self.scene.render.filepath = path
        bpy.ops.render.render(write_still=True)

    def _clear_curves(self) -> None:
        import bpy

        for item in self.curves:
            data = item.data
            bpy.data.objects.remove(item)
            bpy.data.hair_curves.remove(data)
        self.curves = []

    def _add_curves(self, name: str, strands: np.ndarray, radii: tuple[float, float], tone: np.ndarray | None) -> None:
        import bpy

        count, points, _ = strands.shape
        data = bpy.data.hair_curves.new(name)
        data.add_curves([points] * count)
        data.attributes["position"].data.foreach_set("vector", strands.astype(np.float32).ravel())
        radius = data.attributes.get("radius") or data.attributes.new("radius", "FLOAT", "POINT")
        profile = radii[0] + (radii[1] - radii[0]) * np.linspace(0, 1, points) ** 2
        radius.data.foreach_set("value", np.tile(profile, count).astype(np.float32))
        if tone is not None:
            data.attributes.new("tone", "FLOAT", "CURVE").data.foreach_set("value", tone.astype(np.float32))
        data.materials.append(self.fibres[name])
        item = bpy.data.objects.new(name, data)
        self.scene.collection.objects.link(item)
        self.curves.append(item)


def _configure(scene: Any, device: str, samples: int, threads: int) -> None:
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    cycles.device = "CPU" if device == "cpu" else "GPU"
    if device != "cpu":
        _use_gpu(device.upper())
    cycles.samples, cycles.use_adaptive_sampling = samples, False
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.denoising_input_passes, cycles.denoising_prefilter = "RGB_ALBEDO_NORMAL", "FAST"
    cycles.max_bounces = cycles.glossy_bounces = cycles.transmission_bounces = 8
    cycles.diffuse_bounces, cycles.transparent_max_bounces = 3, 8
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect, cycles.sample_clamp_direct = 2.0, 6.0
    cycles.filter_width = 1.2
    scene.cycles_curves.shape, scene.cycles_curves.subdivisions = "RIBBONS", 2
    render.threads_mode, render.threads, render.use_persistent_data = "FIXED", threads, True
    render.resolution_percentage = 100
    scene.view_settings.view_transform = "Standard"
    settings = render.image_settings
    settings.file_format, settings.color_mode, settings.quality = "WEBP", "RGBA", 100  # quality 100 is lossless


def _use_gpu(kind: str) -> None:
    import bpy

    preferences = bpy.context.preferences.addons["cycles"].preferences
    preferences.compute_device_type = kind
    preferences.get_devices()
    for device in preferences.devices:
        device.use = device.type == kind


def _mesh(collection: Any, name: str, vertices: np.ndarray, faces: np.ndarray, material: Any) -> Any:
    import bpy

    data = bpy.data.meshes.new(name)
    data.from_pydata(vertices.tolist(), [], faces.tolist())
    data.materials.append(material)
    data.polygons.foreach_set("use_smooth", np.ones(len(data.polygons), bool))
    item = bpy.data.objects.new(name, data)
    collection.objects.link(item)
    return item


def _attribute(item: Any, name: str, values: np.ndarray, kind: str) -> None:
    field = {"FLOAT": "value", "FLOAT_VECTOR": "vector", "FLOAT_COLOR": "color"}[kind]
    full = np.concatenate([values, np.ones((len(values), 1))], axis=1) if kind == "FLOAT_COLOR" else values
    data = item.data.attributes.new(name, kind, "POINT").data
    data.foreach_set(field, full.astype(np.float32).ravel())


def _subject_meshes(scene: Any, static: dict[str, np.ndarray]) -> dict[str, Any]:
    objects = scene.collection
    skin = _mesh(objects, "skin", static["skin_rest"], static["skin_quads"], materials.skin())
    _attribute(skin, "rest", static["skin_rest"], "FLOAT_VECTOR")
    _attribute(skin, "colour", static["skin_colour"], "FLOAT_COLOR")
    _attribute(skin, "regions", static["skin_regions"], "FLOAT_COLOR")
    meshes = {"skin": skin}
    inner = {"teeth": ((0.72, 0.66, 0.55), 0.22, 0.15, 0.4), "tongue": ((0.42, 0.13, 0.12), 0.35, 0.2, 0.3)}
    for name, look in inner.items():
        rest, quads = static[f"{name}_rest"], static[f"{name}_quads"]
        meshes[name] = _mesh(objects, name, rest, quads, materials.plain(name, *look))
    points, polar = static["eye_points"], static["eye_polar"]
    around = np.arctan2(points[:, 1], points[:, 0])
    spokes = np.stack([np.cos(around) * 9, np.sin(around) * 9, polar * 4], axis=1)
    for name, radius in zip(("eye_l", "eye_r"), static["eye_radius"], strict=True):
        meshes[name] = _mesh(objects, name, points * radius, static["eye_quads"], materials.eye(float(radius)))
        _attribute(meshes[name], "polar", polar, "FLOAT")
        _attribute(meshes[name], "spokes", spokes, "FLOAT_VECTOR")
    meshes["shirt"] = _mesh(objects, "shirt", static["shirt_vertices"], static["shirt_triangles"], materials.cloth())
    return meshes


def _box(collection: Any, centre: tuple[float, ...], size: tuple[float, ...], material: Any) -> None:
    half = np.array(size) / 2
    signs = np.array([(i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)])
    faces = np.array([(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])
    item = _mesh(collection, "box", np.array(centre) + signs * half, faces, material)
    item.data.polygons.foreach_set("use_smooth", np.zeros(len(faces), bool))
    item.visible_diffuse = item.visible_shadow = False


def _build_studio(collection: Any) -> None:
    """A grey panelled wall with posts, capture-rig boxes and soft boxes, 1.5 to 1.9 m behind the head."""
    rng = np.random.default_rng(3)
    _box(collection, (0, 0, -1.9), (6, 4, 0.02), materials.backdrop("wall", (0.42, 0.43, 0.45), 0.7))
    joint = materials.backdrop("joint", (0.2, 0.2, 0.21), 0.7)
    for i in range(13):
        _box(collection, (-2.4 + 0.4 * i, 0, -1.88), (0.02, 4, 0.02), joint)
    post = materials.backdrop("post", (0.03, 0.03, 0.03), 0.3)
    for i in range(9):
        x = float(rng.uniform(-2.2, 2.2))
        _box(collection, (x, -0.2, -1.5 - 0.2 * float(rng.random())), (0.03, 2.5, 0.03), post)
        red, green, blue = rng.uniform(0.02, 0.35, 3).tolist()
        box = materials.backdrop(f"box{i}", (red, green, blue), 0.4)
        _box(collection, (x, float(rng.uniform(-0.5, 0.6)), -1.5), (0.16, 0.11, 0.10), box)
    lamp = materials.backdrop("lamp", (1, 1, 1), 0.5, glow=0.9)
    for x in (-1.5, 0.2, 1.7):
        _box(collection, (x, 0.75, -1.6), (0.5, 0.28, 0.05), lamp)


def _light(scene: Any) -> None:
    import bpy
    from mathutils import Matrix

    world = bpy.data.worlds.new("studio")
    scene.world, world.use_nodes = world, True
    background = world.node_tree.nodes["Background"]
    background.inputs[0].default_value, background.inputs[1].default_value = (0.8, 0.88, 1, 1), 0.36
    for position, size, power, colour in LIGHTS:
        lamp = bpy.data.lights.new("area", "AREA")
        lamp.size, lamp.energy, lamp.color = size, power, colour
        item = bpy.data.objects.new("area", lamp)
        scene.collection.objects.link(item)
        z = np.array(position) / np.linalg.norm(position)
        x = np.cross([0, 1, 0], z) / np.linalg.norm(np.cross([0, 1, 0], z))
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = np.stack([x, np.cross(z, x), z], axis=1), position
        item.matrix_world = Matrix(matrix.tolist())


def _camera(scene: Any, serial: str, about: dict[str, Any]) -> Any:
    """A Blender camera (looks along -z, y up) with the intrinsics' focal length and principal point."""
    import bpy
    from mathutils import Matrix

    K, width, height = np.array(about["K"]), about["width"], about["height"]
    scene.render.resolution_x, scene.render.resolution_y = width, height
    data = bpy.data.cameras.new(serial)
    data.sensor_fit, data.sensor_width, data.lens = "HORIZONTAL", SENSOR_MM, K[0, 0] / width * SENSOR_MM
    data.shift_x, data.shift_y = (width / 2 - K[0, 2]) / width, (K[1, 2] - height / 2) / width
    data.clip_start, data.clip_end = 0.05, 10.0
    item = bpy.data.objects.new(serial, data)
    scene.collection.objects.link(item)
    pose = np.linalg.inv(np.array(about["world_to_camera"])) @ np.diag([1.0, -1.0, -1.0, 1.0])
    item.matrix_world = Matrix(pose.tolist())
    return item
