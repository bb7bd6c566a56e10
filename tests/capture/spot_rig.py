"""A bright spot in space, filmed by a small rig, and that rig in the layout of every reader: what all of them must agree on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from headcast.capture.camera import Camera
from headcast.imaging.lens import distort

from .test_nersemble import video

WIDTH, HEIGHT, FRAMES, FPS = 128, 176, 3, 30.0
SERIALS = ["222200036", "222200037", "222200039", "222200046"]
SUBJECT, SEQUENCE = "001", "HAIR"
SPOTS = np.array([[0.02, 0.03, 0.01], [0.0, 0.03, 0.01], [-0.02, 0.02, 0.01]])  # m, one a frame
BENT = np.array([0.3, -0.2, 0.01, -0.015, 0.05])  # OpenCV's k1 k2 p1 p2 k3


def true_cameras() -> dict[str, Camera]:
    """Four cameras 1 m from the origin."""
    cameras = {}
    for number, serial in enumerate(SERIALS):
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_euler("yxz", [20 * number - 30, 180, 3 * number], degrees=True).as_matrix()
        matrix[:3, 3] = [0.01, -0.01, 1.0]
        K = np.array([[400.0 + number, 0, 63.2], [0, 401.0, 90.1], [0, 0, 1]])
        cameras[serial] = Camera(serial, K, matrix, WIDTH, HEIGHT)
    return cameras


def picture(camera: Camera, frame: int | None, bent: np.ndarray | None = None) -> np.ndarray:
    """The spot of a frame on grey, through a lens; the empty set without a frame."""
    image = np.full((HEIGHT, WIDTH), 60.0)
    if frame is not None:
        local = camera.world_to_camera[:3, :3] @ SPOTS[frame] + camera.world_to_camera[:3, 3]
        ideal = local[:2] / local[2]
        seen = ideal if bent is None else distort(ideal, bent)
        x, y = (camera.K @ np.append(seen, 1.0))[:2]
        rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        image += 190 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 3.0**2))
    return np.repeat(np.rint(image).astype(np.uint8)[..., None], 3, -1)


def film(camera: Camera, bent: np.ndarray | None = None) -> np.ndarray:
    return np.stack([picture(camera, frame, bent) for frame in range(FRAMES)])


def write_nersemble(root: Path) -> None:
    folder = root / SUBJECT
    cameras = true_cameras()
    params = {
        "world_2_cam": {s: c.world_to_camera.tolist() for s, c in cameras.items()},
        "intrinsics": {s: c.K.tolist() for s, c in cameras.items()},
    }
    save(folder / "calibration/camera_params.json", params)
    for serial, camera in cameras.items():
        video(folder / f"sequences/{SEQUENCE}/images/cam_{serial}.mp4", film(camera))
        save_picture(folder / f"sequences/BACKGROUND/image_{serial}.jpg", picture(camera, None))


def write_custom(root: Path, describe: Callable[[Path, dict[str, Camera]], None], bent: np.ndarray | None = None) -> None:
    """Folders of pictures for half of the cameras, videos for the others; ``describe`` writes the calibration."""
    folder = root / SUBJECT
    for number, (serial, camera) in enumerate(true_cameras().items()):
        place = folder / "sequences" / SEQUENCE
        if number % 2:
            video(place / f"{serial}.mp4", film(camera, bent))
        else:
            for frame, image in enumerate(film(camera, bent)):
                save_picture(place / serial / f"{frame:03d}.png", image)
        save_picture(folder / f"background/{serial}.png", picture(camera, None))
    describe(folder, true_cameras())


def as_json(folder: Path, cameras: dict[str, Camera]) -> None:
    """Our own conventions."""
    save(folder / "cameras.json", {"fps": FPS, "cameras": {s: entry(c, c.world_to_camera) for s, c in cameras.items()}})


def as_bent_json(folder: Path, cameras: dict[str, Camera]) -> None:
    """A lens with all of OpenCV's usual coefficients."""
    entries = {s: entry(c, c.world_to_camera) | {"distortion": BENT.tolist()} for s, c in cameras.items()}
    save(folder / "cameras.json", {"fps": FPS, "cameras": entries})


def as_opengl_millimetres(folder: Path, cameras: dict[str, Camera]) -> None:
    """OpenGL camera-to-world in millimetres with OpenCV's pixel centres."""
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    entries = {}
    for serial, camera in cameras.items():
        matrix = camera.camera_to_world @ flip
        matrix[:3, 3] *= 1000
        entries[serial] = entry(camera, matrix, shift=-0.5)
    header = {"fps": FPS, "unit": "mm", "axes": "opengl", "direction": "camera_to_world", "pixel_centers": 0}
    save(folder / "cameras.json", {**header, "cameras": entries})


def as_npz(folder: Path, cameras: dict[str, Camera]) -> None:
    names, views = list(cameras), list(cameras.values())
    np.savez(
        folder / "rig.npz",
        names=np.array(names),
        K=np.stack([c.K for c in views]),
        matrix=np.stack([c.world_to_camera for c in views]),
        size=np.array([[c.width, c.height] for c in views]),
    )
    save(folder / "cameras.json", {"fps": FPS, "from": "rig.npz"})


def as_colmap(folder: Path, cameras: dict[str, Camera], scale: float = 0.25) -> None:
    """COLMAP's text model in units of its own; two images of one camera, points beneath them."""
    lens = [
        f"{k} PINHOLE {c.width} {c.height} {c.K[0, 0]} {c.K[1, 1]} {c.K[0, 2]} {c.K[1, 2]}" for k, c in enumerate(cameras.values())
    ]
    poses = []
    for k, (serial, camera) in enumerate(cameras.items()):
        x, y, z, w = Rotation.from_matrix(camera.world_to_camera[:3, :3]).as_quat()
        t = camera.world_to_camera[:3, 3] / scale
        names = [f"{serial}/000.png", f"{serial}/001.png"] if k == 0 else [f"{serial}.png"]
        poses += [line for name in names for line in (f"{k} {w} {x} {y} {z} {t[0]} {t[1]} {t[2]} {k} {name}", "1.0 2.0 -1")]
    (folder / "sparse").mkdir()
    (folder / "sparse/cameras.txt").write_text("# cameras\n" + "\n".join(lens) + "\n")
    (folder / "sparse/images.txt").write_text("# images\n" + "\n".join(poses) + "\n")
    save(folder / "cameras.json", {"fps": FPS, "from": "sparse", "unit": scale})


def as_metashape(folder: Path, cameras: dict[str, Camera], scale: float = 0.5) -> None:
    """Metashape's XML: offsets of the centre, a scaled chunk, one camera that was not aligned."""
    document = ElementTree.Element("document")
    chunk = ElementTree.SubElement(document, "chunk")
    sensors, listed = ElementTree.SubElement(chunk, "sensors"), ElementTree.SubElement(chunk, "cameras")
    for k, (serial, camera) in enumerate(cameras.items()):
        sensor = ElementTree.SubElement(sensors, "sensor", id=str(k))
        ElementTree.SubElement(sensor, "resolution", width=str(camera.width), height=str(camera.height))
        calibration = ElementTree.SubElement(sensor, "calibration")
        values = {
            "f": camera.K[1, 1],
            "b1": camera.K[0, 0] - camera.K[1, 1],
            "cx": camera.K[0, 2] - camera.width / 2,
            "cy": camera.K[1, 2] - camera.height / 2,
        }
        for name, value in values.items():
            ElementTree.SubElement(calibration, name).text = repr(float(value))
        matrix = camera.camera_to_world.copy()
        matrix[:3, 3] /= scale
        node = ElementTree.SubElement(listed, "camera", id=str(k), sensor_id=str(k), label=f"{serial}.png")
        ElementTree.SubElement(node, "transform").text = " ".join(repr(float(value)) for value in matrix.ravel())
    ElementTree.SubElement(listed, "camera", id="9", sensor_id="0", label="unaligned")
    ElementTree.SubElement(ElementTree.SubElement(chunk, "transform"), "scale").text = str(scale)
    ElementTree.ElementTree(document).write(folder / "rig.xml")
    save(folder / "cameras.json", {"fps": FPS, "from": "rig.xml"})


def write_renderme(root: Path, lacks: str = "") -> None:
    """RenderMe-360's HDF5: calibration and masks in the annotation, colours in the raw file; ``lacks`` leaves one dataset out."""
    import h5py

    stem = root / SUBJECT / f"{SUBJECT}_{SEQUENCE}"
    stem.parent.mkdir(parents=True)
    with h5py.File(f"{stem}_anno.smc", "w") as anno, h5py.File(f"{stem}_raw.smc", "w") as raw:
        for smc in (anno, raw):
            smc.create_group("Camera").attrs["num_frame"] = FRAMES
        for serial, camera in true_cameras().items():
            K = camera.K - 0.5 * np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]])
            for name, value in {"K": K, "RT": camera.camera_to_world, "D": BENT[None]}.items():
                anno[f"Calibration/{serial}/{name}"] = value
            for frame in range(FRAMES):
                image = picture(camera, frame, BENT)
                put(anno, f"Camera/{serial}/mask/{frame}", (image > 120).astype(np.uint8) * 255, lacks)
                put(raw, f"Camera/{serial}/color/{frame}", image, lacks)


def put(smc, name: str, image: np.ndarray, lacks: str) -> None:  # type: ignore[no-untyped-def]
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="png")
    if name != lacks:
        smc[name] = np.frombuffer(stream.getvalue(), np.uint8)


def entry(camera: Camera, matrix: np.ndarray, shift: float = 0.0) -> dict[str, object]:
    K = camera.K + shift * np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]])
    return {"K": K.tolist(), "matrix": matrix.tolist(), "width": camera.width, "height": camera.height}


def save(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def save_picture(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95)
