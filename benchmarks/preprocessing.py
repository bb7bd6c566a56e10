"""Time preprocessing and watch its memory: ``python -m benchmarks.preprocessing [--sizes 512 2048] [--workers 2] [--parts …]``.

``stages``: every stage on the embedded demo as a rule runs it, files and the start of its workers included; per second counts
views. ``pixels``: orientation and the networks (those of ``--only``) alone, from one picture in memory to its result in memory, on
``--device cuda`` or ``cpu`` (``--workers`` threads). Weights are random: time depends on where hair is and on nothing else that
a picture shows. Each row is a process of its own; memory is what it and its
workers held at most, on a GPU what it had reserved there. On a machine that others use, the seconds that processors were busy say
more than images/s. What is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.measuring import Measured, apart, seconds

DEMO = Path(__file__).parents[1] / "assets/demo"
SUBJECT, SEQUENCE, SERIAL = "demo", "HAIR", "222200040"
PIXEL_RUNS = {"cpu": 3, "cuda": 30}
NEEDED = {"stages": ("av", "mediapipe", "pymatting"), "networks": ("cv2",)}
BATCH = 4
Prepare = Callable[[int, str], tuple[Callable[[], object], int]]
"""What is timed, and the images in each call, for a size and a device."""


class Folder:
    """The products of the demo in a folder, as the workflow names them."""

    def __init__(self, root: Path, size: int, frames: int, workers: int) -> None:
        self.root, self.size, self.frames, self.workers = root, size, frames, workers
        self.source = (SUBJECT, SEQUENCE, DEMO, "nersemble")

    def __getattr__(self, name: str) -> Path:
        return self.root / SUBJECT / SEQUENCE / name / "manifest.json"


def quiet(*_: object) -> None:
    """Report nothing."""


def extract(at: Folder) -> tuple[float, float]:
    """The check of the raw capture is not timed."""
    from headcast.config import Extraction
    from headcast.stages import download, extract_frames

    settings = Extraction(size=at.size, max_frames=at.frames)
    raw = download.run(download.Inputs(*at.source, at.root / "download.json"), settings, quiet)
    inputs = extract_frames.Inputs(raw, *at.source, at.images, at.cameras, at.background, at.workers)
    return seconds(lambda: extract_frames.run(inputs, settings, quiet))


def matte(at: Folder) -> tuple[float, float]:
    """By the plates."""
    from headcast.config import Matting
    from headcast.stages import matting

    return seconds(lambda: matting.run(matting.Inputs(at.images, at.background, at.mattes, at.workers), Matting(), quiet))


def find_landmarks(at: Folder) -> tuple[float, float]:
    """By FaceMesh, with the consensus."""
    from headcast.config import LandmarkDetection
    from headcast.stages import landmarks

    inputs = landmarks.Inputs(at.images, at.cameras, at.landmarks)
    return seconds(lambda: landmarks.run(inputs, LandmarkDetection(), quiet))


def fit(at: Folder) -> tuple[float, float]:
    """The open head, whose model is there already."""
    from headcast.config import Fitting
    from headcast.heads import load_head_model
    from headcast.stages import fit_head

    load_head_model("open", at.root / "open.npz")
    inputs = fit_head.Inputs(at.images, at.cameras, at.landmarks, at.root / "open.npz", at.params, at.surface, mattes=at.mattes)
    return seconds(lambda: fit_head.run(inputs, Fitting(), quiet))


def label(at: Folder) -> tuple[float, float]:
    """On the fitted head."""
    from headcast.config import HairMasks
    from headcast.stages import hair_masks

    inputs = hair_masks.Inputs(at.images, at.cameras, at.mattes, at.masks, at.surface, at.root / "open.npz", at.workers)
    return seconds(lambda: hair_masks.run(inputs, HairMasks(), quiet))


def orient(at: Folder) -> tuple[float, float]:
    """Within the labels."""
    from headcast.config import OrientationMaps
    from headcast.stages import orientation_maps

    inputs = orientation_maps.Inputs(at.images, at.masks, at.orientation, at.workers)
    return seconds(lambda: orientation_maps.run(inputs, OrientationMaps(), quiet))


def examine(at: Folder) -> tuple[float, float]:
    """The data doctor, on the frames that it samples."""
    from headcast.config import Doctor
    from headcast.stages import doctor

    products = (at.images, at.cameras, at.background, at.mattes, at.landmarks, at.surface, at.masks, at.orientation)
    inputs = doctor.Inputs(*products, at.root / "doctor.json", at.root / "doctor.html", at.sheets, at.workers)
    return seconds(lambda: doctor.run(inputs, Doctor(), quiet))


STAGES: dict[str, Callable[[Folder], tuple[float, float]]] = {
    "extract_frames": extract,
    "matting": matte,
    "landmarks": find_landmarks,
    "fit_head": fit,
    "hair_masks": label,
    "orientation_maps": orient,
    "doctor": examine,
}


def run_stage(name: str, root: Path, size: int, frames: int, workers: int) -> Measured:
    """One stage, its predecessors' products in place."""
    import torch

    torch.set_num_threads(workers)
    at = Folder(root, size, frames, workers)
    took = STAGES[name](at)
    from headcast.formats.frames import read_images

    return Measured(len(read_images(at.images).views()), *took)


def view(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A plate of the demo and where hair would be in its first frame (share), cut and resized as extraction does."""
    from headcast.capture.capture import open_capture
    from headcast.capture.pictures import read_picture
    from headcast.formats.ground_truth import open_ground_truth
    from headcast.imaging.crop import head_crop

    capture = open_capture("nersemble", DEMO, SUBJECT, SEQUENCE, [SERIAL, "222200036", "222200042", "222200048"], 4)
    truth = open_ground_truth(DEMO / "ground_truth")
    hair = None if truth is None else truth.hair(SEQUENCE, SERIAL, 0)
    if hair is None:
        raise FileNotFoundError(DEMO / "ground_truth")
    crop = head_crop(capture.cameras[SERIAL], size)
    mask = crop.image(np.repeat(np.rint(255 * hair).astype(np.uint8)[..., None], 3, -1))[..., 0]
    return crop.image(read_picture(capture.plates[SERIAL])), mask.astype(np.float32) / 255


def orientation_by(angles: int) -> Prepare:
    """The maps of one view from so many filters."""

    def prepare(size: int, device: str) -> tuple[Callable[[], object], int]:
        from headcast.imaging.orientation import orientation

        image, hair = view(size)
        return lambda: orientation(image, hair, angles=angles, device=device), 1

    return prepare


def mattes_by(network: str) -> Prepare:
    """Mattes of some views at once; half precision on a GPU."""

    def prepare(size: int, device: str) -> tuple[Callable[[], object], int]:
        from headcast.networks import background_matting, modnet
        from headcast.networks.runtime import place

        image, _ = view(size)
        batch = BATCH if device == "cuda" else 1
        if network == "modnet":
            matter = modnet.PortraitMatter(place(modnet.Modnet().eval(), half=True))
        else:
            matter = background_matting.PlateMatter(place(background_matting.BackgroundMatting().eval(), half=True))
        return lambda: matter.mattes([image] * batch, [image] * batch), batch

    return prepare


def labels_by_cdgnet(size: int, device: str) -> tuple[Callable[[], object], int]:
    """Labels of some views at once."""
    from headcast.networks.cdgnet import Cdgnet
    from headcast.networks.lip_labels import LipParser
    from headcast.networks.runtime import place

    image, hair = view(size)
    batch = BATCH if device == "cuda" else 1
    parser = LipParser(place(Cdgnet().eval()))
    return lambda: parser.labels([image] * batch, [hair] * batch), batch


PIXELS: dict[str, Prepare] = {
    "orientation, 60 filters": orientation_by(60),
    "orientation, 180 filters": orientation_by(180),
    "background_matting_v2": mattes_by("background_matting_v2"),
    "modnet": mattes_by("modnet"),
    "cdgnet": labels_by_cdgnet,
}


def run_pixels(name: str, size: int, device: str, threads: int) -> Measured:
    """The mean of some calls after one that is not counted."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    work, batch = PIXELS[name](size, device)
    work()
    calls = PIXEL_RUNS[device]
    took = seconds(lambda: [work() for _ in range(calls)])
    return Measured(calls * batch, *took, torch.cuda.max_memory_reserved() if device == "cuda" else 0)


def stage_rows(sizes: list[int], frames: int, workers: int) -> Iterator[str]:
    """A row for each stage and size."""
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="headcast-benchmark-") as folder:
            for name in STAGES:
                yield row(name, size, f"{workers} cores", run_stage, Path(folder), size, frames, workers)


def pixel_rows(sizes: list[int], workers: int, names: list[str], device: str) -> Iterator[str]:
    """A row for each operator and size."""
    import torch

    where = torch.cuda.get_device_name() if device == "cuda" else f"{workers} threads"
    for size in sizes:
        for name in names:
            network = not name.startswith("orientation")
            lacking = missing("networks") if network else ""
            if lacking:
                yield f"| {name} | {size} | {where} | {lacking} is not installed | | | |"
            else:
                yield row(name, size, where, run_pixels, size, device, workers)


def missing(part: str) -> str:
    """The first package that a part needs and that is not installed."""
    return next((package for package in NEEDED[part] if find_spec(package) is None), "")


def row(name: str, size: int, where: str, work: Callable[..., Measured], *arguments: object) -> str:
    """A line of the table; what fails says so there, its traceback is on stderr."""
    try:
        done, memory = apart(work, name, *arguments)
    except RuntimeError:
        return f"| {name} | {size} | {where} | failed | | | |"
    held, rate, busy = done.gpu_memory or memory, done.images / done.seconds, done.busy / done.images
    return f"| {name} | {size} | {where} | {done.images} | {rate:.3g} | {busy:.3g} | {held / 1e9:.2f} |"


def main() -> None:
    """Print a table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--frames", type=int, default=4, help="of the demo's sixteen cameras, for the stages")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=["stages", "pixels"], default=["stages", "pixels"])
    parser.add_argument("--only", nargs="+", choices=list(PIXELS), default=list(PIXELS)[:2])
    parser.add_argument("--device", choices=list(PIXEL_RUNS), default="cpu")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.workers)
    print("| what | px | on | images | images/s | busy s an image | GB |\n|---|---|---|---|---|---|---|", flush=True)
    if "stages" in options.parts and missing("stages"):
        print(f"| stages | | | {missing('stages')} is not installed | | | |")
    elif "stages" in options.parts:
        for line in stage_rows(options.sizes, options.frames, options.workers):
            print(line, flush=True)
    if "pixels" in options.parts:
        for line in pixel_rows(options.sizes, options.workers, options.only, options.device):
            print(line, flush=True)


if __name__ == "__main__":
    main()
