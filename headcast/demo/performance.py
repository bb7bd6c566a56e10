"""What the demo subject does: expressions and head angles of each sequence, one entry a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

FRAMES = 12
SCENE_RATE = 12.0  # frames a second of scene time; the videos are tagged 24 fps
SEQUENCES = ("EXP-1-head", "HAIR")

# ARKit unit → weight; a name without Left/Right moves both sides
EXPRESSIONS: dict[str, tuple[dict[str, float], ...]] = {
    "EXP-1-head": (
        {},
        {"mouthSmile": 0.35, "cheekSquint": 0.3},
        {"mouthSmile": 0.7, "cheekSquint": 0.6, "jawOpen": 0.12, "mouthUpperUp": 0.2},
        {"mouthSmile": 0.4, "cheekSquint": 0.2, "jawOpen": 0.35, "browInnerUp": 0.45, "browOuterUp": 0.4, "eyeWide": 0.3},
        {"jawOpen": 0.7, "browInnerUp": 0.9, "browOuterUp": 0.8, "eyeWide": 0.7},
        {"jawOpen": 0.3, "browInnerUp": 0.4, "browOuterUp": 0.3, "mouthFunnel": 0.6, "eyeWide": 0.2},
        {"mouthPucker": 0.9, "browDown": 0.6, "eyeSquint": 0.5},
        {"mouthPucker": 0.35, "mouthFrown": 0.4, "noseSneer": 0.4, "browDown": 0.7, "eyeLookInLeft": 0.3, "eyeLookOutRight": 0.3},
        {"mouthFrown": 0.8, "noseSneer": 0.9, "browDown": 0.8, "mouthUpperUp": 0.4, "eyeLookInLeft": 0.5, "eyeLookOutRight": 0.5},
        {"cheekPuff": 0.9, "browInnerUp": 0.3, "mouthPress": 0.4},
        {"mouthSmileLeft": 0.7, "cheekSquintLeft": 0.7, "jawOpen": 0.2, "eyeBlinkLeft": 0.85, "browOuterUpRight": 0.6},
        {"mouthSmile": 0.5, "jawOpen": 0.1, "mouthLeft": 0.3, "cheekSquint": 0.4},
    ),
    "HAIR": tuple({"eyeBlink": blink} for blink in (0, 0, 0, 0, 0, 0.5, 0.95, 0.35, 0, 0, 0, 0)),
}
# yaw, pitch, roll in degrees: R = Ry(yaw) Rx(pitch) Rz(roll)
ANGLES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "EXP-1-head": (
        (0, 0, 0),
        (3, 1, 0.6),
        (7, 2, 1.4),
        (10, 0, 2.2),
        (9, -4, 2.4),
        (4.5, -3, 1.2),
        (-2.5, 1, -0.6),
        (-8, 4, -2),
        (-11, 3.5, -2.6),
        (-9, 0, -2),
        (-4, -2, 1),
        (2, -1, 3),
    ),
    "HAIR": (
        (0, 0, 0),
        (5, 1.5, 1),
        (13, 3, 2.5),
        (20, 4, 3.5),
        (19, 2.5, 2),
        (9, -1, -1),
        (-6, -3.5, -3.5),
        (-16, -4, -4),
        (-15, -1, -1.5),
        (-3, 2, 2),
        (8, 2, 2.5),
        (11, 0, 0.5),
    ),
}


def rotation(yaw_pitch_roll_deg: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """R = Ry(yaw) Rx(pitch) Rz(roll) of angles in degrees."""
    (sy, sp, sr), (cy, cp, cr) = (f(np.deg2rad(yaw_pitch_roll_deg)) for f in (np.sin, np.cos))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def head_angles(sequence: str, substeps: int = 1) -> Float[np.ndarray, "n 3"]:
    """Yaw, pitch, roll (degrees) along the sequence, ``substeps`` steps a frame on a clamped cubic spline."""
    from scipy.interpolate import CubicSpline

    keys = np.array(ANGLES[sequence], dtype=np.float64)
    at = np.arange((len(keys) - 1) * substeps + 1) / substeps
    return CubicSpline(np.arange(len(keys)), keys, bc_type="clamped")(at)


def expression(sequence: str, frame: int, names: tuple[str, ...]) -> Float[np.ndarray, "E"]:
    """Weights of the expression units ``names`` at a frame."""
    weights = np.zeros(len(names))
    for name, weight in EXPRESSIONS[sequence][frame].items():
        members = [name] if name in names else [f"{name}Left", f"{name}Right"]
        for member in members:
            weights[names.index(member)] = weight
    return weights
