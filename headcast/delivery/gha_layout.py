"""Pictures and arrays of one view in the exact layout of Gaussian Head Avatar and its strand-hair fork, as bytes by path."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy import ndimage

from headcast.capture.camera import Camera
from headcast.capture.gha import HAIR_SIDE, LANDMARKS, LOWRES_SIDE, PLATE, SIDE, VIEW_FILES
from headcast.formats.manifest import npz, png
from headcast.imaging.orientation_maps import preview, resize_orientation, to_degrees
from headcast.imaging.resample import resize

JPEG_QUALITY = 95
FINE, COARSE = 0.4, 10.0  # σ (px) of the band-passed picture
HAIR, FACE = 3, 2
LOWRES = {"image": "image_lowres", "visible": "visible_lowres", "matte": "mask_lowres"}
IDENTITY, EXPRESSION = 80, 64


@dataclass(frozen=True)
class View:
    """The products of one view; landmarks (68 3: x, y in pixels of the image, score) may be NaN."""

    image: UInt8[np.ndarray, "H W 3"]
    visible: Bool[np.ndarray, "H W"]
    alpha: UInt8[np.ndarray, "H W"]
    labels: UInt8[np.ndarray, "H W"]
    hair: UInt8[np.ndarray, "H W"]
    angle: Float[np.ndarray, "H W"]
    confidence: Float[np.ndarray, "H W"]
    landmarks: Float[np.ndarray, "68 3"]
    camera: Camera


def view_files(view: View, frame: str, serial: str) -> dict[str, bytes]:
    """Every file of a view by its path below the sequence's folder; a view without landmarks has no landmark file."""
    place = {"frame": frame, "serial": serial}
    head = np.minimum(view.alpha, np.isin(view.labels, (FACE, HAIR)).astype(np.uint8) * 255)
    pictures = {"image": view.image, "visible": view.visible.astype(np.uint8) * 255, "matte": view.alpha}
    files = {VIEW_FILES[kind].format(**place): jpeg(resize(picture, SIDE, SIDE)) for kind, picture in pictures.items()}
    for kind, name in LOWRES.items():
        files[f"images/{frame}/{name}_{serial}.jpg"] = jpeg(resize(pictures[kind], LOWRES_SIDE, LOWRES_SIDE))
    for kind, mask in {"body": view.alpha, "hair": view.hair, "head": head}.items():
        files[VIEW_FILES[kind].format(**place)] = jpeg(resize(mask, HAIR_SIDE, HAIR_SIDE))
    working = view.camera.resize(SIDE, SIDE)
    files[VIEW_FILES["camera"].format(**place)] = npz(extrinsic=working.world_to_camera[:3], intrinsic=working.K)
    files |= orientation_files(view, frame, serial)
    if np.isfinite(view.landmarks).all():
        scaled = view.landmarks * [SIDE / len(view.image), SIDE / len(view.image), 1]
        files[LANDMARKS.format(**place)] = npy(scaled.astype(np.float32))
    return files


def orientation_files(view: View, frame: str, serial: str) -> dict[str, bytes]:
    """Whole degrees, confidence, the band-passed picture and a preview at the size of the hair masks."""
    angle, confidence = resize_orientation(view.angle.astype(np.float32), view.confidence.astype(np.float32), HAIR_SIDE, HAIR_SIDE)
    grey = resize(view.image, HAIR_SIDE, HAIR_SIDE).astype(np.float32).mean(-1)
    band = ndimage.gaussian_filter(grey, FINE) - ndimage.gaussian_filter(grey, COARSE)
    certain = np.clip(np.where(np.isfinite(angle), np.maximum(confidence, 1 / 255), 0), 0, 1)
    pictures = {
        "orientation_maps": to_degrees(angle),
        "orientation_confidence_maps": np.rint(255 * certain).astype(np.uint8),
        "orientation_filtered_imgs": np.clip(np.rint(128 + band), 0, 255).astype(np.uint8),
        "orientation_vis_imgs": preview(angle, confidence),
    }
    return {f"{folder}/{frame}/image_{serial}.png": png(picture) for folder, picture in pictures.items()}


def plate_files(plate: UInt8[np.ndarray, "H W 3"], serial: str) -> dict[str, bytes]:
    """The plate of a camera."""
    return {PLATE.format(serial=serial): jpeg(resize(plate, SIDE, SIDE))}


def track_files(
    frame: str,
    codes: Mapping[str, Float[np.ndarray, "k"]],
    landmarks: Float[np.ndarray, "66 3"],
    vertices: Float[np.ndarray, "V 3"],
    basis: str,
) -> dict[str, bytes]:
    """Codes of a frame, 66 landmarks and vertices (m, world); ``basis`` names the head model that the codes belong to.

    A basis with fewer directions than BFM's 80 + 64 leaves the rest at rest (0); of more, the first ones are kept.
    """
    arrays = {
        "id_coeff": _fitted(codes["identity"], IDENTITY)[None],
        "exp_coeff": _fitted(codes["expression"], EXPRESSION)[None],
        "scale": np.atleast_1d(codes["scale"]).astype(np.float32),
        "pose": np.concatenate([codes["rotation"], codes["translation"]])[None].astype(np.float32),
        "basis": np.array(basis),
    }
    return {
        f"params/{frame}/params.npz": npz(**arrays),
        f"params/{frame}/lmk_3d.npy": npy(landmarks.astype(np.float32)),
        f"params/{frame}/vertices.npy": npy(vertices.astype(np.float32)),
    }


def _fitted(code: Float[np.ndarray, "k"], length: int) -> Float[np.ndarray, "length"]:
    return np.pad(code[:length], (0, max(length - len(code), 0))).astype(np.float32)


def jpeg(picture: np.ndarray) -> bytes:
    """JPEG bytes of an ``H W`` or ``H W 3`` uint8 array, full chroma."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, format="jpeg", quality=JPEG_QUALITY, subsampling=0)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    """``npy`` bytes."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
