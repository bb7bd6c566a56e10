"""How raw captures break, reader by reader: what is broken, in words, and in deed on a root that holds a small capture."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import av
import numpy as np
from PIL import Image

from . import spot_rig as rig
from .spot_rig import SEQUENCE, SERIALS, SUBJECT
from .test_nersemble import video

FIRST, SECOND, THIRD = SERIALS[:3]
Row = tuple[str, str, Callable[[Path], object]]
"""Part of the capture, what happened to it, the deed."""


# What goes wrong with files of any kind.


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON file in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def cut(path: Path, share: float = 0.7) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def blank(path: Path, first: float = 0.4, last: float = 0.7) -> None:
    """Zeros where a disk lost its blocks."""
    content = bytearray(path.read_bytes())
    places = range(int(first * len(content)), int(last * len(content)))
    content[places.start : places.stop] = bytes(len(places))
    path.write_bytes(content)


def web_page(path: Path) -> None:
    path.write_text("<html>log in</html>")


def refilmed(path: Path, frames: np.ndarray) -> None:
    path.unlink()
    video(path, frames)


def array_file(path: Path, **arrays: np.ndarray) -> None:
    np.savez(path, **{**dict(np.load(path, allow_pickle=False)), **arrays})


# A NeRSemble participant. ``root`` holds the participants.


def film(root: Path, serial: str = SECOND) -> Path:
    return root / SUBJECT / f"sequences/{SEQUENCE}/images/cam_{serial}.mp4"


def plate(root: Path, serial: str = SECOND) -> Path:
    return root / SUBJECT / f"sequences/BACKGROUND/image_{serial}.jpg"


def params(root: Path) -> Path:
    return root / SUBJECT / "calibration/camera_params.json"


def of_all(change: Callable[[np.ndarray], np.ndarray], content: dict[str, Any]) -> None:
    """Other matrices of all cameras."""
    content["world_2_cam"] = {serial: change(np.array(m)).tolist() for serial, m in content["world_2_cam"].items()}


def of_one(row: int, column: int, value: float, content: dict[str, Any]) -> None:
    content["world_2_cam"][SECOND][row][column] = value


def in_millimetres(matrix: np.ndarray) -> np.ndarray:
    return matrix * np.array([[1, 1, 1, 1000.0]] * 3 + [[1, 1, 1, 1]])


def colors(root: Path, content: dict[str, Any]) -> None:
    (root / SUBJECT / "calibration/color_calibration.json").write_text(json.dumps(content))


def sound_only(root: Path) -> None:
    film(root).unlink()
    with av.open(str(film(root)), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def slower(root: Path) -> None:
    """The same frames at another rate."""
    frames = rig.film(rig.true_cameras()[SECOND])
    film(root).unlink()
    with av.open(str(film(root)), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = rig.WIDTH, rig.HEIGHT, "yuv444p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def table(root: Path, kind: str, text: str, encoding: str = "utf-8") -> None:
    (root / f"metadata_{kind}.csv").write_bytes(text.encode(encoding))


NERSEMBLE = [
    ("video", "a film was not downloaded", lambda root: film(root).unlink()),
    ("video", "a film is cut at 70 %", lambda root: cut(film(root))),
    ("video", "a film is an empty file", lambda root: film(root).write_bytes(b"")),
    ("video", "a film is the page of a login", lambda root: web_page(film(root))),
    ("video", "blocks in the middle of a film are zeros", lambda root: blank(film(root), 0.9, 0.97)),
    ("video", "a film holds nothing but sound", sound_only),
    ("video", "a camera dropped a frame", lambda root: refilmed(film(root), rig.film(rig.true_cameras()[SECOND])[:2])),
    (
        "video",
        "the first camera dropped a frame",
        lambda root: refilmed(film(root, FIRST), rig.film(rig.true_cameras()[FIRST])[:2]),
    ),
    ("video", "a camera ran at another rate", slower),
    (
        "video",
        "a film has half the size",
        lambda root: refilmed(film(root), np.ascontiguousarray(rig.film(rig.true_cameras()[SECOND])[:, ::2, ::2])),
    ),
    ("calibration", "the file is cut", lambda root: cut(params(root))),
    ("calibration", "the matrices are missing", lambda root: edit(params(root), lambda c: c.pop("world_2_cam"))),
    ("calibration", "the matrices are a list", lambda root: edit(params(root), lambda c: c.update(world_2_cam=[]))),
    ("calibration", "a camera has no intrinsics", lambda root: edit(params(root), lambda c: c["intrinsics"].pop(THIRD))),
    ("calibration", "intrinsics in words", lambda root: edit(params(root), lambda c: c.update(intrinsics="unknown"))),
    ("calibration", "intrinsics of half the size", lambda root: edit(params(root), halved)),
    (
        "calibration",
        "a focal length of zero",
        lambda root: edit(params(root), lambda c: c["intrinsics"][SECOND][0].__setitem__(0, 0)),
    ),
    ("calibration", "camera-to-world matrices", lambda root: edit(params(root), partial(of_all, np.linalg.inv))),
    ("calibration", "translations in millimetres", lambda root: edit(params(root), partial(of_all, in_millimetres))),
    (
        "calibration",
        "OpenGL axes",
        lambda root: edit(params(root), partial(of_all, lambda m: np.diag([1.0, -1, -1, 1]) @ m)),
    ),
    ("calibration", "a matrix holds NaN", lambda root: edit(params(root), partial(of_one, 0, 3, float("nan")))),
    ("calibration", "a mirrored rotation", lambda root: edit(params(root), mirrored)),
    ("calibration", "a camera is turned away", lambda root: edit(params(root), turned)),
    ("calibration", "colours of a camera are missing", lambda root: colors(root, {s: np.eye(3).tolist() for s in SERIALS[1:]})),
    ("calibration", "colours in words", lambda root: colors(root, dict.fromkeys(SERIALS, "neutral"))),
    ("background", "a plate was not downloaded", lambda root: plate(root).unlink()),
    ("background", "a plate is the page of a login", lambda root: web_page(plate(root))),
    ("background", "a plate is cut", lambda root: cut(plate(root))),
    ("background", "a plate has half the size", lambda root: Image.new("RGB", (rig.WIDTH // 2, rig.HEIGHT // 2)).save(plate(root))),
    ("metadata", "the participant is not in the table", lambda root: table(root, "participants", "ID,gender\n2,f\n")),
    ("metadata", "the sequence was not filmed", lambda root: table(root, "sequences", "ID,BACKGROUND,HAIR,FREE\n1,x,,x\n")),
    ("metadata", "the table is the page of a login", lambda root: table(root, "sequences", "<html>\nlog in\n</html>")),
    ("metadata", "the table is UTF-16", lambda root: table(root, "sequences", "ID,HAIR\n1,x\n", "utf-16")),
    (
        "metadata",
        "the sequence has another name",
        lambda root: (film(root).parent.parent).rename(film(root).parent.parent.with_name("hair")),
    ),
]


def halved(content: dict[str, Any]) -> None:
    content["intrinsics"] = {s: (np.array(K) * [[0.25], [0.25], [1]]).tolist() for s, K in content["intrinsics"].items()}


def mirrored(content: dict[str, Any]) -> None:
    content["world_2_cam"][SECOND][0] = [-value for value in content["world_2_cam"][SECOND][0]]


def turned(content: dict[str, Any]) -> None:
    matrix = np.array(content["world_2_cam"][SECOND])
    content["world_2_cam"][SECOND] = (np.diag([-1.0, 1, -1, 1]) @ matrix).tolist()


# A rig of one's own.


def own(root: Path) -> Path:
    return root / SUBJECT


def described(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit(own(root) / "cameras.json", change)


def pictures(root: Path, serial: str = FIRST) -> Path:
    return own(root) / f"sequences/{SEQUENCE}/{serial}"


def own_film(root: Path, serial: str = SECOND) -> Path:
    return pictures(root, serial).with_suffix(".mp4")


def own_plate(root: Path, serial: str = SECOND) -> Path:
    return own(root) / f"background/{serial}.png"


def all_matrices(change: Callable[[np.ndarray], np.ndarray], content: dict[str, Any]) -> None:
    for camera in content["cameras"].values():
        camera["matrix"] = change(np.array(camera["matrix"])).tolist()


def second_film(root: Path) -> None:
    shutil.copy(own_film(root), own_film(root).with_suffix(".mkv"))


def missing_picture(root: Path) -> None:
    """A gap in the numbers, with as many pictures as the others have."""
    (pictures(root) / "002.png").rename(pictures(root) / "003.png")


def grey_of_16_bits(root: Path) -> None:
    for path in pictures(root).iterdir():
        Image.fromarray(np.asarray(Image.open(path).convert("L")).astype(np.uint16) * 257).save(path)


def masks(root: Path, **of: int) -> None:
    """Mattes of all cameras, or as many pictures of each as ``of`` says."""
    for serial, camera in rig.true_cameras().items():
        for frame in range(of.get(f"c{serial}", rig.FRAMES)):
            rig.save_picture(
                own(root) / f"masks/{SEQUENCE}/{serial}/{frame:03d}.png", 255 * (rig.picture(camera, frame) > 120).astype(np.uint8)
            )


def small_masks(root: Path) -> None:
    masks(root)
    for path in (own(root) / f"masks/{SEQUENCE}/{SECOND}").iterdir():
        Image.new("RGB", (64, 88)).save(path)


CUSTOM = [
    ("video", "a camera was not filmed", lambda root: own_film(root).unlink()),
    ("video", "two films of one camera", second_film),
    ("video", "a film is cut", lambda root: cut(own_film(root))),
    ("video", "a picture of another size", lambda root: Image.new("RGB", (20, 20)).save(pictures(root) / "001.png")),
    ("video", "a picture that is none", lambda root: (pictures(root) / "001.png").write_bytes(b"no picture")),
    ("video", "a picture with damaged blocks", lambda root: blank(pictures(root) / "001.png")),
    ("video", "a number is missing among the pictures", missing_picture),
    ("video", "16-bit grey pictures", grey_of_16_bits),
    (
        "video",
        "a folder without pictures",
        lambda root: [path.rename(path.with_suffix(".raw")) for path in pictures(root).iterdir()],
    ),
    ("calibration", "the file is the page of a login", lambda root: web_page(own(root) / "cameras.json")),
    ("calibration", "translations in undeclared millimetres", lambda root: described(root, partial(all_matrices, in_millimetres))),
    ("calibration", "undeclared camera-to-world matrices", lambda root: described(root, partial(all_matrices, np.linalg.inv))),
    ("calibration", "a unit that is not known", lambda root: described(root, lambda c: c.update(unit="inch"))),
    ("calibration", "a key with a slip of the pen", lambda root: described(root, lambda c: c.update(units="mm"))),
    ("calibration", "a camera without a matrix", lambda root: described(root, lambda c: c["cameras"][FIRST].pop("matrix"))),
    (
        "calibration",
        "a camera calibrated for another size",
        lambda root: described(root, lambda c: c["cameras"][SECOND].update(width=256)),
    ),
    (
        "calibration",
        "three lens coefficients",
        lambda root: described(root, lambda c: c["cameras"][SECOND].update(distortion=[0.1, 0, 0])),
    ),
    (
        "calibration",
        "a camera named by a path",
        lambda root: described(root, lambda c: c["cameras"].update({"../x": c["cameras"].pop(FIRST)})),
    ),
    (
        "calibration",
        "cameras in a file outside the capture",
        lambda root: described(root, lambda c: (c.pop("cameras"), c.update({"from": "../../rig.npz"}))),
    ),
    ("background", "a camera without a plate", lambda root: own_plate(root).unlink()),
    ("background", "a plate of another size", lambda root: Image.new("RGB", (64, 88)).save(own_plate(root))),
    ("metadata", "folders of pictures without a rate", lambda root: described(root, lambda c: c.pop("fps"))),
    ("metadata", "a rate in words", lambda root: described(root, lambda c: c.update(fps="24 per second"))),
    (
        "labels",
        "mattes of all cameras but one",
        lambda root: (masks(root), shutil.rmtree(own(root) / f"masks/{SEQUENCE}/{SECOND}")),
    ),
    ("labels", "mattes of fewer frames", lambda root: masks(root, **{f"c{SECOND}": 2})),
    ("labels", "mattes of another size", small_masks),
]


# Calibrations of other tools.


def substituted(name: str, old: str, new: str, root: Path) -> None:
    path = own(root) / name
    path.write_text(path.read_text().replace(old, new, 1))


def moves(root: Path) -> None:
    path = own(root) / "sparse/images.txt"
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace(" 4.0 ", " 4.1 ")
    path.write_text("\n".join(lines))


def of_the_lens(name: str, text: str, root: Path) -> None:
    """Another number in Metashape's file."""
    path = own(root) / "rig.xml"
    document = ElementTree.parse(path)
    lens = document.find(".//calibration")
    assert lens is not None
    found = lens.find(name)
    (ElementTree.SubElement(lens, name) if found is None else found).text = text
    document.write(path)


COLMAP = [
    ("calibration", "a camera moves", moves),
    ("calibration", "a lens that is not known", partial(substituted, "sparse/cameras.txt", "PINHOLE", "THIN_PRISM_FISHEYE")),
    ("calibration", "a line is cut", partial(substituted, "sparse/cameras.txt", f" PINHOLE {rig.WIDTH} {rig.HEIGHT}", "")),
    ("calibration", "no images.txt", lambda root: (own(root) / "sparse/images.txt").unlink()),
]
METASHAPE = [
    ("calibration", "the file is cut", lambda root: cut(own(root) / "rig.xml")),
    ("calibration", "a lens of higher order", partial(of_the_lens, "k4", "0.1")),
    ("calibration", "words for a number", partial(of_the_lens, "f", "long")),
]
NPZ = [
    ("calibration", "an array is missing", lambda root: np.savez(own(root) / "rig.npz", names=np.array(SERIALS))),
    ("calibration", "an empty file", lambda root: (own(root) / "rig.npz").write_bytes(b"")),
    ("calibration", "sizes without heights", lambda root: array_file(own(root) / "rig.npz", size=np.full(len(SERIALS), 128))),
]


# RenderMe-360's HDF5, one video, and what other tools have preprocessed.


def smc(root: Path, part: str = "anno") -> Path:
    return own(root) / f"{SUBJECT}_{SEQUENCE}_{part}.smc"


def inside(part: str, change: Callable[[Any], object], root: Path) -> None:
    """Change an HDF5 file."""
    import h5py

    with h5py.File(smc(root, part), "r+") as opened:
        change(opened)


def replaced(name: str, value: np.ndarray, opened: Any) -> None:
    del opened[name]
    opened[name] = value


RENDERME = [
    ("video", "the colours of a frame are missing", partial(inside, "raw", lambda s: s.__delitem__(f"Camera/{SECOND}/color/1"))),
    (
        "video",
        "a frame is no picture",
        partial(inside, "raw", partial(replaced, f"Camera/{SECOND}/color/1", np.zeros(9, np.uint8))),
    ),
    ("video", "the file is cut", lambda root: cut(smc(root, "raw"))),
    ("video", "the file is the page of a login", lambda root: web_page(smc(root, "raw"))),
    ("metadata", "the number of frames is missing", partial(inside, "raw", lambda s: s["Camera"].attrs.__delitem__("num_frame"))),
    (
        "calibration",
        "a matrix holds NaN",
        partial(inside, "anno", partial(replaced, f"Calibration/{SECOND}/K", np.full((3, 3), np.nan))),
    ),
    ("calibration", "matrices are 3×4", partial(inside, "anno", partial(replaced, f"Calibration/{SECOND}/RT", np.eye(3, 4)))),
    ("labels", "the mask of a frame is missing", partial(inside, "anno", lambda s: s.__delitem__(f"Camera/{THIRD}/mask/2"))),
]


def talk(root: Path) -> Path:
    return own(root) / f"sequences/{SEQUENCE}.mp4"


MONOCULAR = [
    ("video", "the video is cut", lambda root: cut(talk(root))),
    ("video", "a second video", lambda root: shutil.copy(talk(root), talk(root).with_suffix(".mov"))),
    ("metadata", "the video has another name", lambda root: talk(root).rename(talk(root).with_name("take_2.mp4"))),
]


RAW: dict[str, list[Row]] = {
    "nersemble": NERSEMBLE,
    "custom": CUSTOM,
    "custom COLMAP": COLMAP,
    "custom Metashape": METASHAPE,
    "custom npz": NPZ,
    "renderme": RENDERME,
    "monocular": MONOCULAR,
}
"""Rows by layout."""
