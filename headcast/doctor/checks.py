"""What is looked at, what counts as good, and what to do about the rest: one table, and the judgement of one figure.

A figure inside ``good`` passes, inside ``tolerable`` warns, outside fails; NaN means that the capture does not allow the
measurement (one frame has no motion), which is said and stops nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["pass", "warn", "fail", "unmeasured"]
Range = tuple[float, float]
INF = math.inf


@dataclass(frozen=True)
class Check:
    """One line of the doctor: what it asks, the unit of its figure, both ranges and the remedy."""

    title: str
    unit: str
    good: Range
    tolerable: Range
    fix: str


@dataclass(frozen=True)
class Finding:
    """The figure of a check, how it was judged, and where the worst of it is."""

    check: str
    level: Level
    figure: float
    where: str

    @property
    def rule(self) -> Check:
        """The check's line in the table."""
        return CHECKS[self.check]

    @property
    def figure_text(self) -> str:
        """The figure with its unit."""
        return "not measurable" if math.isnan(self.figure) else f"{self.figure:.4g} {self.rule.unit}".strip()

    @property
    def threshold_text(self) -> str:
        """What would have passed, and what still would not stop training."""
        return f"good {_range_text(self.rule.good)}, tolerable {_range_text(self.rule.tolerable)} {self.rule.unit}".strip()


RECALIBRATE = "calibrate the rig again, or leave the camera out with extraction.cameras"
CHECKS: dict[str, Check] = {
    "cameras": Check("cameras that do not see the head from 0.2–5 m", "cameras", (0, 0), (0, 0), RECALIBRATE),
    "spread": Check("widest angle between two cameras, seen from the head", "°", (40, 360), (15, 360), "add cameras at the sides"),
    "convention": Check(
        "landmark residual as calibrated, over that of the best other convention of the matrices",
        "×",
        (0, 1),
        (0, 1.5),
        "convert the calibration to world-to-camera matrices with OpenCV axes (x right, y down, z forward)",
    ),
    "scale": Check(
        "distance between the outer corners of the eyes",
        "mm",
        (75, 112),
        (60, 135),
        "convert the translations of the calibration to metres",
    ),
    "reprojection": Check(
        "median distance of detected landmarks from their triangulation, worst camera",
        "% of the side",
        (0, 1.5),
        (0, 4),
        RECALIBRATE,
    ),
    "synchronisation": Check(
        "time by which a camera runs ahead of or behind the others",
        "frames",
        (0, 0.35),
        (0, 0.75),
        "synchronise the cameras and film again",
    ),
    "views": Check(
        "images missing from the products", "views", (0, 0), (0, 0), "run the named stage again; download the sequence again"
    ),
    "gaps": Check(
        "longest time between two frames, over the median",
        "×",
        (0, 1.5),
        (0, 3),
        "find the dropped frames; film again or cut the sequence",
    ),
    "frozen": Check(
        "images that repeat the one before", "%", (0, 0.5), (0, 10), "the recorder repeated frames: leave the camera out"
    ),
    "faces": Check(
        "fewest cameras that find the face in a frame",
        "cameras",
        (3, INF),
        (2, INF),
        "look at the images: rotation, light, hair over the face",
    ),
    "outliers": Check(
        "detected landmarks that the other views contradict",
        "%",
        (0, 6),
        (0, 25),
        "look for a second face, and at reprojection and synchronisation",
    ),
    "matte_coverage": Check(
        "share of the picture that is subject, worst view", "%", (3, 85), (0.5, 98), "look at mattes and plates of the view"
    ),
    "matte_steadiness": Check(
        "largest change of that share between frames", "%", (0, 25), (0, 60), "look at the mattes of both frames"
    ),
    "face_coverage": Check(
        "share of the subject that is labelled face, worst view with a detected face",
        "%",
        (4, 100),
        (0.5, 100),
        "look at the labels: is the head fitted?",
    ),
    "hair_coverage": Check(
        "share of the subject that is labelled hair, median",
        "%",
        (4, 100),
        (0.5, 100),
        "without hair there is nothing to grow: look at the labels",
    ),
    "label_steadiness": Check(
        "largest change of the hair's share between frames", "%", (0, 35), (0, 80), "look at the labels of both frames"
    ),
    "labels_in_matte": Check(
        "labelled pixels outside the matte", "%", (0, 2), (0, 10), "run hair_masks again; mattes and labels are from different runs"
    ),
    "orientation": Check(
        "hair pixels whose orientation is known", "%", (60, 100), (20, 100), "film closer or sharper; raise extraction.size"
    ),
    "focus": Check(
        "sharpness of the softest camera, over the median camera", "%", (45, INF), (15, INF), "focus the camera, or leave it out"
    ),
    "blur": Check(
        "sharpness of the softest frame, over its camera's median",
        "%",
        (65, INF),
        (30, INF),
        "shorter exposure; leave the frames out",
    ),
    "motion": Check(
        "largest motion of the face from frame to frame", "% of the side", (0, 8), (0, 20), "higher frame rate or smaller stride"
    ),
    "clipping": Check("overexposed pixels of the subject, worst camera", "%", (0, 3), (0, 20), "lower the exposure"),
    "darkness": Check(
        "mean brightness of the subject, darkest camera", "of 255", (25, 255), (8, 255), "raise the exposure or the light"
    ),
    "plate": Check(
        "difference from the plate beside the subject, worst camera",
        "of 255",
        (0, 6),
        (0, 20),
        "camera or light moved after the plate: film the plate again",
    ),
    "color": Check(
        "difference in colour of the same skin between cameras, worst camera",
        "%",
        (0, 12),
        (0, 40),
        "set extraction.color_calibration, or balance the cameras",
    ),
}


def judge(check: str, figure: float, where: str = "") -> Finding:
    """Hold a figure against the ranges of its check; NaN is ``unmeasured``, infinity fails."""
    rule = CHECKS[check]
    if math.isnan(figure):
        level: Level = "unmeasured"
    elif rule.good[0] <= figure <= rule.good[1]:
        level = "pass"
    else:
        level = "warn" if rule.tolerable[0] <= figure <= rule.tolerable[1] else "fail"
    return Finding(check, level, float(figure), where)


def verdict(findings: Iterable[Finding], allowed: Iterable[str]) -> dict[str, Any]:
    """The content of ``doctor.json``: every finding, and the failed checks that stop training."""
    listed, excused = list(findings), set(allowed)
    return {
        "stops_training": [finding.check for finding in listed if finding.level == "fail" and finding.check not in excused],
        "allowed": sorted(excused),
        "findings": [
            {
                "check": finding.check,
                "level": finding.level,
                "figure": None if not math.isfinite(finding.figure) else round(finding.figure, 6),
                "unit": finding.rule.unit,
                "threshold": finding.threshold_text,
                "where": finding.where,
                "fix": finding.rule.fix,
            }
            for finding in listed
        ],
    }


def _range_text(limits: Range) -> str:
    low, high = limits
    if low == high:
        return f"{low:g}"
    if high == INF:
        return f"≥ {low:g}"
    return f"≤ {high:g}" if low == 0 else f"{low:g}–{high:g}"
