"""Extraction at full size: ``python -m benchmarks.extraction [--cameras 16] [--frames 60] [--workers 2] [--size 2048]``.

Films of 2200×3208 in NeRSemble's layout are written to a temporary folder (one is encoded, the others are copies) and go through
the check of the raw capture and the extraction as the workflow runs them. Beside it the same films only decoded by plain PyAV, as
many at a time, and memory at a quarter of the frames: it must not grow with the film. On a machine that others use, the seconds
that processors were busy say more than those on the clock.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import av
import numpy as np
from PIL import Image

from benchmarks.measuring import Measured, apart, seconds
from benchmarks.preprocessing import quiet

WIDTH, HEIGHT, FPS, FOCAL = 2200, 3208, 73, 8200.0
SUBJECT, SEQUENCE = "001", "HAIR"
SPREAD_DEG = 90.0
NOISE = 2.0  # standard deviation of 255, as of a sensor


def write_capture(root: Path, cameras: int, frames: int) -> None:
    """Calibration with a colour correction, plates, and films of a moving pattern with noise."""
    folder, serials = root / SUBJECT, [str(222200036 + k) for k in range(cameras)]
    pattern = scene()
    poses = {serial: pose(np.radians(SPREAD_DEG * (k / max(cameras - 1, 1) - 0.5))) for k, serial in enumerate(serials)}
    K = [[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]]
    save(folder / "calibration/camera_params.json", {"world_2_cam": poses, "intrinsics": K})
    cast = (np.eye(3) + 0.02).tolist()
    save(folder / "calibration/color_calibration.json", dict.fromkeys(serials, cast))
    films = [folder / f"sequences/{SEQUENCE}/images/cam_{serial}.mp4" for serial in serials]
    encode(films[0], pattern, frames)
    for film in films[1:]:
        shutil.copy(films[0], film)
    for serial in serials:
        plate = folder / f"sequences/BACKGROUND/image_{serial}.jpg"
        plate.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pattern).save(plate, quality=95)


def scene() -> np.ndarray:
    """Waves of many lengths in all directions, in colour."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    waves = [np.sin(0.7 * k + (x * np.cos(k) + y * np.sin(k)) / (3 * 1.6**k)) for k in range(12)]
    return np.stack([128 + 25 * np.sum(waves[c::3], 0) for c in range(3)], -1).clip(0, 255).astype(np.uint8)


def pose(azimuth: float) -> list[list[float]]:
    """World-to-camera, 1 m before the origin."""
    matrix = np.eye(4)
    matrix[0, 0], matrix[0, 2], matrix[2, 0], matrix[2, 2] = np.cos(azimuth), np.sin(azimuth), np.sin(azimuth), -np.cos(azimuth)
    matrix[1, 1], matrix[2, 3] = -1.0, 1.0
    return matrix.tolist()


def encode(path: Path, pattern: np.ndarray, frames: int) -> None:
    """The pattern, moving by two pixels a frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    noise = np.rint(rng.normal(0, NOISE, (HEIGHT, WIDTH, 1))).astype(np.int16)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            moved = np.roll(pattern, 2 * number, axis=1) + np.roll(noise, 97 * number, axis=0)
            frame = av.VideoFrame.from_ndarray(moved.clip(0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def save(path: Path, content: object) -> None:
    """A JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def decode(path: Path) -> int:
    """Every frame, by one thread, thrown away."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "NONE"
        return sum(1 for _ in container.decode(video=0))


def only_decoded(root: Path, workers: int) -> Measured:
    """What plain decoding takes."""
    films = sorted(root.rglob("cam_*.mp4"))
    counts: list[int] = []

    def work() -> None:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            counts.extend(pool.map(decode, films))

    took = seconds(work)
    return Measured(sum(counts), *took)


def checked(root: Path, out: Path) -> Measured:
    """The check of the raw capture, with its hashes."""
    from headcast.config import Extraction
    from headcast.stages import download

    inputs = download.Inputs(SUBJECT, SEQUENCE, root, "nersemble", out / "download.json")
    took = seconds(lambda: download.run(inputs, Extraction(min_cameras=2), quiet))
    return Measured(len(sorted(root.rglob("cam_*.mp4"))), *took)


def extracted(root: Path, out: Path, size: int, frames: int, workers: int) -> Measured:
    """The stage, with the start of its workers."""
    from headcast.config import Extraction
    from headcast.formats.frames import read_images
    from headcast.stages import extract_frames

    at = {name: out / str(frames) / name / "manifest.json" for name in ("images", "cameras", "background")}
    inputs = extract_frames.Inputs(out / "download.json", SUBJECT, SEQUENCE, root, "nersemble", **at, workers=workers)
    settings = Extraction(size=size, max_frames=frames, min_cameras=2)
    took = seconds(lambda: extract_frames.run(inputs, settings, quiet))
    return Measured(len(read_images(at["images"]).views()), *took)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("cameras", 16), ("frames", 60), ("workers", 2), ("size", 2048)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headcast-benchmark-") as folder:
        root, out = Path(folder) / "raw", Path(folder) / "out"
        write_capture(root, given.cameras, given.frames)
        film = next(root.rglob("cam_*.mp4"))
        print(f"{given.cameras} films of {given.frames} frames, {WIDTH}×{HEIGHT}, {film.stat().st_size / 1e6:.1f} MB each\n")
        print("| what | frames | s | frames/s | busy s | MB of all processes |\n|---|---|---|---|---|---|", flush=True)
        show("check", *apart(checked, root, out))
        plain = show("decoding alone, PyAV", *apart(only_decoded, root, given.workers))
        show("extraction, a quarter", *apart(extracted, root, out, given.size, given.frames // 4, given.workers))
        whole = show("extraction", *apart(extracted, root, out, given.size, given.frames, given.workers))
        print(f"\nextraction to {given.size}² keeps processors busy {whole.busy / plain.busy:.1f} times as long as decoding alone")


def show(what: str, done: Measured, memory: int) -> Measured:
    """Print a line of the table."""
    rate = f"{done.images / done.seconds:.3g}"
    print(f"| {what} | {done.images} | {done.seconds:.1f} | {rate} | {done.busy:.1f} | {memory / 1e6:.0f} |", flush=True)
    return done


if __name__ == "__main__":
    main()
