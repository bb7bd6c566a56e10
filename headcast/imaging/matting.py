"""Alpha mattes over a known plate: difference → trimap → unmixing → closed form where colours do not decide.

1. Difference from the plate in units of its noise, tolerant to soft shadows where the prior sees nobody.
2. Trimap: what differs and touches the person prior is subject; its smooth or deep part is sure, a band stays unknown.
3. Unmixing with the plate's colour (``headcast.imaging.unmixing``); twice, the second time with colours closer to the edge.
4. Closed form (Levin, Lischinski, Weiss, TPAMI 2008; PyMatting) with the unmixed alpha as data term, in the unknown only.

Radii are pixels at 416 px and scale with the image; larger images than 512 px are matted at 512 px and upsampled by a
guided filter.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, UInt8
from pymatting import cf_laplacian, cg, ichol

from headcast.errors import CaptureError
from headcast.imaging.color import DECODED
from headcast.imaging.guided import guided_upsample
from headcast.imaging.unmixing import gaussian, local_colours, unmix

REFERENCE_SIDE = 416
WORKING_SIDE = 512
FAR_SIGMAS, NEAR_SIGMAS = (4.0, 8.0, 24.0, 80.0), (2.0, 4.0, 8.0, 16.0, 48.0)
PASSES = 3
INSIDE_PRECISION = 5.0  # how strongly depth inside the outline speaks for opaque where the colours say nothing
SAME = 4.0  # a patch that differs from the plate by fewer standard deviations shows the plate
SNAP = 3.0  # within so many standard deviations of opaque, in opaque surroundings, alpha is 1
DATA_WEIGHT = 0.01  # of the unmixed alpha against the matting Laplacian


def matte(
    image: UInt8[np.ndarray, "H W 3"],
    plate: UInt8[np.ndarray, "H W 3"],
    prior: Float[np.ndarray, "H W"] | None,
    visible: Bool[np.ndarray, "H W"],
) -> Float[np.ndarray, "H W"]:
    """Coverage of the subject over ``plate`` (float32 in [0, 1], 0 where not ``visible``).

    ``image`` and ``plate`` are sRGB crops of one camera, ``prior`` a rough person probability (``selfie_prior``) or None.
    Raises ``CaptureError`` when the shapes differ.
    """
    if image.shape != plate.shape or visible.shape != image.shape[:2]:
        raise CaptureError("matting", f"image {image.shape}, plate {plate.shape} and mask {visible.shape} differ in size")
    prior = np.ones(visible.shape, np.float32) if prior is None else prior.astype(np.float32)
    height, width = visible.shape
    scale = WORKING_SIDE / max(height, width)
    if scale >= 1:
        return _matte(image, plate, prior, visible)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = [cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (image, plate, prior)]
    seen = cv2.resize(visible.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    alpha = _matte(small[0], small[1], small[2], seen)
    upsampled = guided_upsample(image / np.float32(255), small[0] / np.float32(255), alpha, 2, 1e-4)
    return np.where(visible, np.clip(upsampled, 0, 1), 0).astype(np.float32)


@dataclass(frozen=True)
class Trimap:
    """What is sure and what is not: sure foreground, the part to solve, the solid outline and the noise (8-bit levels)."""

    sure: Bool[np.ndarray, "H W"]
    smooth: Bool[np.ndarray, "H W"]
    solid: UInt8[np.ndarray, "H W"]
    reach: Bool[np.ndarray, "H W"]
    noise: Float[np.ndarray, "H W"]

    def unknown(self, sure: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
        """What remains to be solved once ``sure`` is opaque."""
        return self.reach & ~sure


def _disk(radius: float) -> UInt8[np.ndarray, "k k"]:
    size = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def _eroded(mask: UInt8[np.ndarray, "H W"], radius: float) -> Bool[np.ndarray, "H W"]:
    return cv2.erode(mask.astype(np.uint8), _disk(radius)) > 0


def plate_noise(
    difference: Float[np.ndarray, "H W 3"], plate: UInt8[np.ndarray, "H W 3"], quiet: Bool[np.ndarray, "H W"]
) -> Float[np.ndarray, "H W"]:
    """Standard deviation of |image − plate| where nobody is (8-bit levels), higher at the plate's own edges."""
    length = np.linalg.norm(difference, axis=-1)
    level = max(1.0, float(np.median(length[quiet])) / 1.04) if quiet.any() else 2.0
    grey = plate.astype(np.float32).mean(-1)
    slope = np.hypot(cv2.Sobel(grey, -1, 1, 0, scale=1 / 8), cv2.Sobel(grey, -1, 0, 1, scale=1 / 8))
    return np.sqrt((1.7 * level) ** 2 + (0.3 * cv2.dilate(slope, np.ones((3, 3)))) ** 2)


def without_shadow(
    difference: Float[np.ndarray, "H W 3"], plate: UInt8[np.ndarray, "H W 3"], prior: Float[np.ndarray, "H W"]
) -> Float[np.ndarray, "H W 3"]:
    """Remove what a soft shadow explains (a grey darkening by up to 40 %) where the person prior is low."""
    base = plate.astype(np.float32)
    share = np.clip(-(difference * base).sum(-1) / ((base * base).sum(-1) + 1), 0, 0.4)
    return difference + np.where(prior < 0.1, gaussian(share.astype(np.float32), 4.0), 0)[..., None] * base


def trimap(
    image: UInt8[np.ndarray, "H W 3"],
    plate: UInt8[np.ndarray, "H W 3"],
    prior: Float[np.ndarray, "H W"],
    visible: Bool[np.ndarray, "H W"],
) -> Trimap:
    """Split the picture into sure subject, sure background and the band between them."""
    unit = max(image.shape[:2]) / REFERENCE_SIDE
    difference = image.astype(np.float32) - plate
    noise = plate_noise(difference, plate, visible & (prior < 0.02))
    length = np.linalg.norm(without_shadow(difference, plate, prior), axis=-1)
    differs = ((length > 6 * noise) | (gaussian(length, unit) > 3 * noise)) & visible
    core = (
        prior > 0.7
        if prior.min() < 0.5
        else _eroded(cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_OPEN, _disk(8 * unit)), 2)
    )
    parts = cv2.connectedComponents((differs | core).astype(np.uint8))[1]
    subject = np.isin(parts, np.unique(parts[core & (parts > 0)])) & (parts > 0)
    solid = cv2.morphologyEx((subject | ~visible).astype(np.uint8), cv2.MORPH_CLOSE, _disk(3 * unit))
    bulk = cv2.morphologyEx(solid, cv2.MORPH_OPEN, _disk(8 * unit))
    bulk[(prior < 0.25) | _seen_through(length, noise, visible, unit)] = 0
    smooth = _smooth(image, difference, bulk, unit) & visible & (prior > 0.3)
    deep = _eroded(bulk, 12 * unit) & visible
    reach = (cv2.dilate((subject & visible).astype(np.uint8), _disk(2 * unit)) > 0) | (solid > 0)
    return Trimap(deep | smooth, smooth, bulk, reach & visible, noise)


def _seen_through(
    length: Float[np.ndarray, "H W"], noise: Float[np.ndarray, "H W"], visible: Bool[np.ndarray, "H W"], unit: float
) -> Bool[np.ndarray, "H W"]:
    """Gaps in the subject: patches that equal the plate to within its noise, however deep inside they are."""
    same = (gaussian(length, unit) < SAME * noise.min()) & visible
    return cv2.dilate(cv2.morphologyEx(same.astype(np.uint8), cv2.MORPH_OPEN, _disk(unit)), _disk(2 * unit)) > 0


def _smooth(
    image: UInt8[np.ndarray, "H W 3"], difference: Float[np.ndarray, "H W 3"], bulk: UInt8[np.ndarray, "H W"], unit: float
) -> Bool[np.ndarray, "H W"]:
    """Untextured and unlike the plate: skin and cloth, opaque up to their hard edge (hair over a plate is always textured)."""
    picture = image.astype(np.float32)
    texture = ((picture - gaussian(picture, 1.5 * unit)) ** 2).sum(-1)
    texture = np.sqrt(cv2.blur(texture, (5, 5)))
    contrast = cv2.erode(np.linalg.norm(difference, axis=-1), np.ones((5, 5)))
    flat = (texture < 0.08 * contrast) & (contrast > 20) & _eroded(bulk, 4 * unit)
    return cv2.morphologyEx(flat.astype(np.uint8), cv2.MORPH_OPEN, _disk(2 * unit)) > 0


def _matte(
    image: UInt8[np.ndarray, "H W 3"],
    plate: UInt8[np.ndarray, "H W 3"],
    prior: Float[np.ndarray, "H W"],
    visible: Bool[np.ndarray, "H W"],
) -> Float[np.ndarray, "H W"]:
    unit = max(image.shape[:2]) / REFERENCE_SIDE
    regions = trimap(image, plate, prior, visible)
    alpha = regions.sure.astype(np.float32)
    rows, columns = np.nonzero(regions.reach)
    if not len(rows) or not alpha.any():
        return np.zeros(visible.shape, np.float32)
    box = np.s_[max(rows.min() - 2, 0) : rows.max() + 3, max(columns.min() - 2, 0) : columns.max() + 3]
    parts = Trimap(*(getattr(regions, name)[box] for name in ("sure", "smooth", "solid", "reach", "noise")))
    solved = _solve_box(DECODED[image[box]], DECODED[plate[box]], image[box], parts, visible[box], unit)
    alpha[:] = 0
    alpha[box] = solved
    return np.where(visible, alpha, 0).astype(np.float32)


def _solve_box(
    light: Float[np.ndarray, "h w 3"],
    backdrop: Float[np.ndarray, "h w 3"],
    image: UInt8[np.ndarray, "h w 3"],
    regions: Trimap,
    visible: Bool[np.ndarray, "h w"],
    unit: float,
) -> Float[np.ndarray, "h w"]:
    """Alternate between unmixing and taking what came out opaque as new foreground samples; then the closed form."""
    encoded = np.maximum((image / np.float32(255) + 0.055) / 1.055, 0.3)
    noise = (regions.noise / 255 * 0.75)[..., None].astype(np.float32) * (2.4 / 1.055 * encoded**1.4).astype(np.float32)
    depth = cv2.distanceTransform(regions.solid, cv2.DIST_L2, 3) / (6 * unit)
    expected = np.where(regions.solid > 0, 0.5 + 0.5 * np.minimum(depth, 1), 0).astype(np.float32)
    sure, weight = regions.sure, regions.sure.astype(np.float32)
    for turn in range(PASSES):
        unknown = regions.unknown(sure)
        sigmas = tuple(s * unit for s in (FAR_SIGMAS if turn == 0 else NEAR_SIGMAS))
        mean, second = local_colours(light, weight, sigmas)
        found, precision = unmix(light[unknown], backdrop[unknown], mean[unknown], second[unknown], noise[unknown])
        alpha = _with_context(found, precision, sure, unknown, expected, visible, unit)
        around = gaussian(alpha, 2 * unit)
        weight = np.maximum(np.clip(10 * alpha - 9, 0, 1) * (around > 0.9), regions.smooth).astype(np.float32)
        if turn == 0:
            opaque = ((gaussian(alpha, 3 * unit) > 0.92) | ~visible).astype(np.uint8)
            sure = (_eroded(opaque, 9 * unit) | regions.smooth | (sure & (around > 0.98))) & visible
    return closed_form(light, alpha, precision, unknown)


def _with_context(
    found: Float[np.ndarray, "n"],
    precision: Float[np.ndarray, "n"],
    sure: Bool[np.ndarray, "h w"],
    unknown: Bool[np.ndarray, "h w"],
    expected: Float[np.ndarray, "h w"],
    visible: Bool[np.ndarray, "h w"],
    unit: float,
) -> Float[np.ndarray, "h w"]:
    """Alpha of the whole box: unmixed values, drawn to what depth makes likely where uncertain, and to 1 amid opaque ones."""
    alpha = sure.astype(np.float32)
    alpha[unknown] = found
    context = gaussian(np.where(visible, alpha, 1).astype(np.float32), 2 * unit)[unknown]
    likely = np.where(expected[unknown] > 0, expected[unknown], 0.5 * context)
    blended = (precision * found + INSIDE_PRECISION * likely) / (precision + INSIDE_PRECISION)
    tolerance = SNAP * np.clip((context - 0.8) / 0.15, 0, 1) / np.sqrt(precision)
    alpha[unknown] = np.where(1 - blended < tolerance, 1, blended)
    return alpha


def closed_form(
    light: Float[np.ndarray, "h w 3"],
    alpha: Float[np.ndarray, "h w"],
    precision: Float[np.ndarray, "n"],
    unknown: Bool[np.ndarray, "h w"],
) -> Float[np.ndarray, "h w"]:
    """Minimise the matting Laplacian's energy plus ``precision``-weighted distance to ``alpha`` over the unknown pixels."""
    flat, inside = alpha.astype(np.float64).ravel(), unknown.ravel()
    if not inside.any():
        return alpha
    laplacian = cf_laplacian(np.sqrt(light.astype(np.float64)), epsilon=1e-5, radius=1, is_known=~inside).tocsr()[inside]
    weight = DATA_WEIGHT * np.clip(precision.astype(np.float64), 1e-6, 1e4)
    system = (laplacian[:, inside] + scipy.sparse.diags(weight)).tocsc()
    right = weight * flat[inside] - laplacian[:, ~inside] @ flat[~inside]
    solution = cg(system, right, x0=flat[inside], M=ichol(system, discard_threshold=1e-3), rtol=1e-3, maxiter=200)
    flat[inside] = np.clip(solution, 0, 1)
    return flat.reshape(alpha.shape).astype(np.float32)
