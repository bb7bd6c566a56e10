"""2-D positions of the 3-D landmarks of all views by the FAN of Bulat & Tzimiropoulos, ICCV 2017, with the S3FD face detector.

An adapter over the `face-alignment` package of the user (BSD-3-Clause) and its own files of weights, which are checked before the
package opens them: it downloads nothing here. iBUG-68 order; a dense set there is none.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from headcast.assets import packages
from headcast.errors import AssetMissing, BadFile
from headcast.imaging.facemesh_table import DENSE, POINTS
from headcast.imaging.landmark_flow import IBUG
from headcast.imaging.landmarks import Landmarks, tracked
from headcast.networks.weights import read_tensors

SIDE = 1024  # px: larger images are reduced, the network sees the face at 256
SERIES = "1.5."  # releases in which the network is read from these files
NETWORK, DETECTOR = "the 3-D face alignment network", "the S3FD face detector"
PEAK = 2.0  # of a heat map that is sure: those of the picture and of its mirror image are added


class Aligner:
    """The package's two networks behind one call per image."""

    def __init__(self, package: Any) -> None:
        """``package`` is what ``face_alignment.FaceAlignment`` made."""
        self._package = package

    def detect(self, image: UInt8[np.ndarray, "H W 3"]) -> tuple[Float[np.ndarray, "68 2"], Float[np.ndarray, "68"]]:
        """Points (px) of the largest face of an RGB image and their confidence in [0, 1]; NaN and 0 without a face."""
        scale = min(1.0, SIDE / max(image.shape[:2]))
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="No faces were detected")
            points, scores, boxes = self._package.get_landmarks_from_image(small, return_bboxes=True, return_landmark_score=True)
        if not points:
            return np.full((POINTS, 2), np.nan), np.zeros(POINTS)
        largest = int(np.argmax([(box[2] - box[0]) * (box[3] - box[1]) for box in boxes]))
        confidence = np.clip(np.asarray(scores[largest], np.float64).reshape(POINTS) / PEAK, 0, 1)
        return np.asarray(points[largest], np.float64)[:, :2] / scale, confidence


def detect_views(
    frames: Iterable[Sequence[UInt8[np.ndarray, "H W 3"]]],
    cameras: tuple[str, ...],
    min_confidence: float,
    network: Path,
    detector: Path,
) -> Landmarks:
    """Landmarks of every view, steadied by optical flow: ``frames`` yields, in order of time, the RGB images of ``cameras``.

    ``min_confidence`` is the detector's. Raises ``AssetMissing`` without package or files, ``BadFile`` when they are others.
    """
    aligner = open_aligner(min_confidence, network, detector)
    points, confidence = tracked(frames, aligner.detect, IBUG)
    dense = np.full((*points.shape[:2], DENSE, 2), np.nan)
    return Landmarks(cameras=cameras, points=points, confidence=confidence, dense=dense)


def open_aligner(min_confidence: float, network: Path, detector: Path) -> Aligner:
    """The package with the user's files, wherever else it would look for them."""
    package = _package()
    read_tensors(network, NETWORK)
    read_tensors(detector, DETECTOR)
    kept = torch.hub.get_dir()
    torch.hub.set_dir(str(network.parent.parent.absolute()))  # below it, in checkpoints/, the package looks before it downloads
    try:
        made = package.FaceAlignment(
            package.LandmarksType.TWO_HALF_D,  # the third coordinate would need a network of its own, and nobody reads it
            device="cuda" if torch.cuda.is_available() else "cpu",
            face_detector="sfd",
            face_detector_kwargs={"path_to_detector": str(detector), "filter_threshold": min_confidence},
            compile=False,
        )
    except (RuntimeError, KeyError) as error:
        todo = "use the two files that docs/own_weights.md names"
        raise BadFile(network, f"or {detector.name} is another network ({' '.join(str(error).split())[:200]})", todo) from error
    finally:
        torch.hub.set_dir(kept)
    return Aligner(made)


def _package() -> Any:
    import face_alignment  # the user's, seconds to import; that it is there has been asked before

    if not face_alignment.__version__.startswith(SERIES):
        wrong = f"has version {face_alignment.__version__}, which reads other files"
        raise AssetMissing("face-alignment", wrong, f"pip install '{packages()['face-alignment'].wanted}'")
    return face_alignment
