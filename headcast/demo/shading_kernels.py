"""Warp kernels that colour the samples of the z-buffer: surfaces by material, strands by segment. Linear light throughout.

Skin: painted colour with noise in rest coordinates, diffuse light wrapped further for red (light that travels under the skin), GGX
(Walter et al. 2007) gloss. Strands: two shifted lobes and a transmitted one after Marschner et al. 2003.
"""

# Kernels are written in warp's language, which only looks like Python: its changing numbers need a type.
# mypy: ignore-errors
# ruff: noqa: UP018, RUF046, SIM109

from __future__ import annotations

import warp as wp

from headcast.demo.raster import HAIR

SKIN, TEETH, TONGUE, EYE, CLOTH, WALL = 0, 1, 2, 3, 4, 5
# columns of the vertex attributes: normal, place of the noise, colour, lips or distance from the gaze, scalp, lamps, ambient
NORMAL, PLACE, COLOUR, FIRST, SECOND, LAMP, AMBIENT, COLUMNS = 0, 3, 6, 9, 10, 11, 16, 19
LUT_SIZE = 151
LUT_STEP = 0.0001  # m
NOISE_SEED = 11


@wp.struct
class Studio:
    """Lamps (position, irradiance, edge), the camera's centre and the colours of the eye by distance from the gaze."""

    position: wp.array(dtype=wp.vec3)
    irradiance: wp.array(dtype=wp.vec3)
    edge: wp.array(dtype=wp.float32)
    centre: wp.vec3
    eye: wp.array(dtype=wp.vec3)


@wp.func
def _noise(place: wp.vec3, scale: float):
    """Gradient noise of a given frequency (1/m), about -1 to 1."""
    return wp.noise(wp.rand_init(NOISE_SEED), place * scale)


@wp.func
def _mix(a: wp.vec3, b: wp.vec3, share: float):
    return a + wp.clamp(share, 0.0, 1.0) * (b - a)


@wp.func
def _smooth(low: float, high: float, x: float):
    t = wp.clamp((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@wp.func
def _skin_colour(colour: wp.vec3, place: wp.vec3, lips: float, scalp: float):
    own = 1.0 - scalp
    blotch = _noise(place, 70.0)
    c = _mix(colour, wp.vec3(0.52, 0.24, 0.18), own * (0.10 + 0.16 * blotch))
    c = _mix(c, wp.vec3(0.68, 0.45, 0.34), own * (0.10 + 0.20 * _noise(place, 210.0)))
    c = c * (1.0 + 0.09 * _noise(place, 620.0))
    dot = _smooth(0.50, 0.72, _noise(place, 330.0)) * _smooth(-0.1, 0.5, _noise(place, 38.0))
    c = _mix(c, wp.vec3(0.30, 0.13, 0.075), 0.42 * dot * own * (1.0 - lips))
    return _mix(c, wp.vec3(0.34, 0.09, 0.09), 0.35 * lips * (0.5 + _noise(place, 1100.0)))


@wp.func
def _bumped(n: wp.vec3, place: wp.vec3, scale: float, strength: float):
    """Turn a normal by the slope of noise in rest coordinates."""
    h = 0.2 / scale
    base = _noise(place, scale)
    dx = _noise(place + wp.vec3(h, 0.0, 0.0), scale) - base
    dy = _noise(place + wp.vec3(0.0, h, 0.0), scale) - base
    dz = _noise(place + wp.vec3(0.0, 0.0, h), scale) - base
    return wp.normalize(n - strength * wp.vec3(dx, dy, dz))


@wp.func
def _gloss(n: wp.vec3, v: wp.vec3, light: wp.vec3, alpha: float, f0: float):
    """GGX reflection times the cosine."""
    h = wp.normalize(light + v)
    nl = wp.max(wp.dot(n, light), 0.0)
    nv = wp.max(wp.dot(n, v), 0.05)
    nh = wp.max(wp.dot(n, h), 0.0)
    a2 = alpha * alpha
    q = nh * nh * (a2 - 1.0) + 1.0
    k = 0.5 * alpha
    shadowing = 1.0 / (4.0 * (nl * (1.0 - k) + k) * (nv * (1.0 - k) + k))
    fresnel = f0 + (1.0 - f0) * wp.pow(1.0 - wp.clamp(wp.dot(h, v), 0.0, 1.0), 5.0)
    return fresnel * shadowing * nl * a2 / (3.14159265 * q * q)


@wp.func
def _mirrored(n: wp.vec3, v: wp.vec3, towards: wp.vec3, radius: float):
    """1 where the mirror image of a lamp of the angular ``radius`` is seen."""
    r = 2.0 * wp.dot(n, v) * n - v
    off = wp.acos(wp.clamp(wp.dot(r, towards), -1.0, 1.0))
    return 1.0 - _smooth(0.75 * radius, 1.15 * radius, off)


@wp.func
def _triple(values: wp.array2d(dtype=wp.float32), corner: wp.vec3i, weight: wp.vec3, column: int):
    out = wp.vec3(0.0, 0.0, 0.0)
    for k in range(3):
        row = corner[k]
        out += weight[k] * wp.vec3(values[row, column], values[row, column + 1], values[row, column + 2])
    return out


@wp.func
def _single(values: wp.array2d(dtype=wp.float32), corner: wp.vec3i, weight: wp.vec3, column: int):
    return weight[0] * values[corner[0], column] + weight[1] * values[corner[1], column] + weight[2] * values[corner[2], column]


@wp.func
def _base_colour(material: int, place: wp.vec3, colour: wp.vec3, first: float, second: float, studio: Studio):
    """The unlit colour of a point."""
    c = colour
    if material == SKIN:
        c = _skin_colour(colour, place, first, second)
    elif material == EYE:
        index = wp.clamp(first / LUT_STEP, 0.0, float(LUT_SIZE - 2))
        low = int(index)
        c = _mix(studio.eye[low], studio.eye[low + 1], index - float(low))
        streaks = 0.45 + 0.9 * _noise(place, 1.0) + 0.4 * _noise(place, 2.7)
        inside = 1.0 - _smooth(0.0050, 0.0062, first)
        c = _mix(c, wp.vec3(0.03, 0.022, 0.012), 0.75 * streaks * inside)
    elif material == CLOTH:
        wander = 0.5 * _noise(place, 160.0)
        wale = wp.sin(6.2832 * (place[0] / 0.0042 + wander))
        row = wp.sin(6.2832 * (place[1] / 0.0034 + 0.5 * wander + 0.25 * wale))
        c = colour * (1.0 + 0.06 * wale * row + 0.05 * wale + 0.20 * _noise(place, 85.0) + 0.2 * _noise(place, 520.0))
    elif material == WALL:
        c = colour * (1.0 + 0.10 * _noise(place, 3.1) + 0.07 * _noise(place, 17.0) + 0.06 * _noise(place, 90.0))
    elif material == TEETH:
        c = colour * (0.95 + 0.1 * _noise(place, 300.0))
    return c


@wp.func
def _lit(values: wp.array2d(dtype=wp.float32), corner: wp.vec3i, weight: wp.vec3, material: int, at: wp.vec3, studio: Studio):
    """Radiance towards the camera of a point on a triangle."""
    n = wp.normalize(_triple(values, corner, weight, NORMAL))
    place = _triple(values, corner, weight, PLACE)
    first = _single(values, corner, weight, FIRST)
    second = _single(values, corner, weight, SECOND)
    albedo = _base_colour(material, place, _triple(values, corner, weight, COLOUR), first, second, studio)
    ambient = _triple(values, corner, weight, AMBIENT)
    v = wp.normalize(studio.centre - at)
    wrap = wp.vec3(0.0, 0.0, 0.0)
    alpha = float(0.5)
    f0 = float(0.02)
    gloss = float(1.0)
    bumped = n
    if material == SKIN:
        wrap = wp.vec3(0.30, 0.13, 0.09)
        alpha = 0.34 - 0.14 * first + 0.06 * _noise(place, 300.0)
        f0 = 0.030
        gloss = 1.0 - 0.92 * second
        bumped = _bumped(n, place, 850.0, 0.16 + 0.10 * first)
    elif material == CLOTH:
        alpha = 0.7
        f0 = 0.01
        bumped = _bumped(n, place, 420.0, 0.35)
    elif material == TEETH or material == TONGUE:
        alpha = 0.16
        f0 = 0.04
    elif material == EYE:
        wrap = wp.vec3(0.25, 0.2, 0.18)
    total = wp.cw_mul(albedo, ambient) / 3.14159265
    for k in range(5):
        towards = studio.position[k] - at
        distance = wp.length(towards)
        towards = towards / distance
        energy = studio.irradiance[k] * _single(values, corner, weight, LAMP + k)
        cosine = wp.dot(bumped, towards)
        diffuse = wp.vec3(0.0, 0.0, 0.0)
        for c in range(3):
            diffuse[c] = wp.max(cosine + wrap[c], 0.0) / ((1.0 + wrap[c]) * (1.0 + wrap[c])) * albedo[c] / 3.14159265
        total += wp.cw_mul(energy, diffuse)
        if material == EYE:
            edge = studio.edge[k]
            image = _mirrored(n, v, towards, 0.55 * edge / distance)
            total += energy * (image * 0.030 * distance * distance / (edge * edge))
        elif material != WALL:
            total += energy * (gloss * _gloss(bumped, v, towards, alpha, f0))
    rim = wp.pow(1.0 - wp.clamp(wp.dot(n, v), 0.0, 1.0), 4.0)
    if material == CLOTH:
        total += wp.cw_mul(ambient, albedo) * (0.7 * rim)
    elif material != WALL:
        total += ambient * ((f0 + 0.22 * rim) * 0.25 * gloss)
    return total


@wp.func
def _weights(points: wp.array(dtype=wp.vec3), corner: wp.vec3i, x: float, y: float):
    """Perspective-correct barycentric coordinates of a sample."""
    a = points[corner[0]]
    b = points[corner[1]]
    c = points[corner[2]]
    area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
    l1 = ((x - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (y - a[1])) / area
    l2 = ((b[0] - a[0]) * (y - a[1]) - (x - a[0]) * (b[1] - a[1])) / area
    w = wp.vec3((1.0 - l1 - l2) / a[2], l1 / b[2], l2 / c[2])
    return w / (w[0] + w[1] + w[2])


@wp.func
def _uniform(owner: wp.array2d(dtype=wp.int32), material: wp.array(dtype=wp.int32), top: int, left: int, samples: int):
    """True where a pixel's samples all lie on one material other than the eye."""
    first = owner[top, left]
    if first <= 0:
        return False
    kind = material[first - 1]
    if kind == EYE:
        return False
    for y in range(samples):
        for x in range(samples):
            who = owner[top + y, left + x]
            if who <= 0:
                return False
            if material[who - 1] != kind:
                return False
    return True


@wp.kernel
def shade_samples(
    owner: wp.array2d(dtype=wp.int32),
    samples: int,
    block: int,
    points: wp.array(dtype=wp.vec3),
    world: wp.array(dtype=wp.vec3),
    triangles: wp.array2d(dtype=wp.int32),
    material: wp.array(dtype=wp.int32),
    values: wp.array2d(dtype=wp.float32),
    strand_colour: wp.array(dtype=wp.vec3),
    studio: Studio,
    out: wp.array2d(dtype=wp.vec4),
):
    """Mean linear colour of a pixel's covered samples and the covered share; surfaces are lit once a ``block``² of samples.

    Inside a surface of one material that is not an eye, once a (2 ``block``)².
    """
    py, px = wp.tid()
    total = wp.vec3(0.0, 0.0, 0.0)
    covered = int(0)
    size = block
    if _uniform(owner, material, py * samples, px * samples, samples):
        size = 2 * block
    for top in range(0, samples, size):
        for left in range(0, samples, size):
            last = int(-1)
            colour = wp.vec3(0.0, 0.0, 0.0)
            for inner in range(size * size):
                y = py * samples + top + inner // size
                x = px * samples + left + inner % size
                who = owner[y, x]
                if who < 0:
                    total += strand_colour[-who - 1]
                    covered += 1
                elif who > 0:
                    covered += 1
                    if material[who - 1] != last:
                        last = material[who - 1]
                        corner = wp.vec3i(triangles[who - 1, 0], triangles[who - 1, 1], triangles[who - 1, 2])
                        weight = _weights(points, corner, float(x), float(y))
                        at = weight[0] * world[corner[0]] + weight[1] * world[corner[1]] + weight[2] * world[corner[2]]
                        colour = _lit(values, corner, weight, last, at, studio)
                        colour = wp.vec3(wp.min(colour[0], 3.0), wp.min(colour[1], 3.0), wp.min(colour[2], 3.0))
                    total += colour
    if covered > 0:
        mean = total / float(covered)
        out[py, px] = wp.vec4(mean[0], mean[1], mean[2], float(covered) / float(samples * samples))


@wp.func
def _lobe(off: float, width: float):
    return wp.exp(-0.5 * off * off / (width * width))


@wp.kernel
def shade_strands(
    index: wp.array(dtype=wp.int32),
    start: wp.array(dtype=wp.vec3),
    end: wp.array(dtype=wp.vec3),
    tone: wp.array(dtype=wp.float32),
    kind: wp.array(dtype=wp.int32),
    along: wp.array(dtype=wp.float32),
    row: wp.array(dtype=wp.int32),
    share: wp.array(dtype=wp.float32),
    levels: wp.array2d(dtype=wp.float32),
    studio: Studio,
    out: wp.array(dtype=wp.vec3),
):
    """Radiance of the drawn segments: ``index`` into all; ``row``/``share`` say where between two rows of ``levels`` they lie."""
    t = wp.tid()
    s = index[t]
    middle = 0.5 * (start[s] + end[s])
    fibre = wp.normalize(end[s] - start[s])
    v = wp.normalize(studio.centre - middle)
    hue = wp.exp(0.27 * tone[s])
    grown = along[s]
    albedo = wp.vec3(0.088, 0.041, 0.019) * (hue * (0.72 + 0.28 * _smooth(0.0, 0.3, grown) + 0.55 * grown * grown))
    tint = wp.vec3(0.50, 0.27, 0.135) * hue
    if kind[s] != HAIR:
        albedo = wp.vec3(0.026, 0.014, 0.009)
        tint = wp.vec3(0.05, 0.03, 0.02)
        hue = 0.35
    r0 = row[s]
    f = share[s]
    sky = wp.vec3(0.0, 0.0, 0.0)
    for c in range(3):
        sky[c] = (1.0 - f) * levels[r0, 5 + c] + f * levels[r0 + 1, 5 + c]
    total = wp.cw_mul(sky, albedo) * 0.42
    sin_r = wp.clamp(wp.dot(fibre, v), -0.999, 0.999)
    theta_r = wp.asin(sin_r)
    flat_v = v - sin_r * fibre
    for k in range(5):
        level = (1.0 - f) * levels[r0, k] + f * levels[r0 + 1, k]
        towards = wp.normalize(studio.position[k] - middle)
        sin_i = wp.clamp(wp.dot(fibre, towards), -0.999, 0.999)
        cos_i = wp.sqrt(1.0 - sin_i * sin_i)
        flat_i = towards - sin_i * fibre
        cos_phi = wp.dot(flat_i, flat_v) / wp.max(wp.length(flat_i) * wp.length(flat_v), 1.0e-4)
        both = theta_r + wp.asin(sin_i)
        half = wp.sqrt(wp.max(0.5 + 0.5 * cos_phi, 0.0))
        white = (
            0.055 * wp.min(hue, 1.0) * _lobe(both + 0.10 + 0.02 * tone[s], 0.11) * half * (0.3 + 0.7 * _smooth(0.0, 0.15, grown))
        )
        inner = 0.20 * _lobe(both - 0.16 - 0.02 * tone[s], 0.20) * half * half * half
        through = 0.34 * _lobe(both - 0.05, 0.24) * wp.pow(wp.max(0.5 - 0.5 * cos_phi, 0.0), 5.0)
        answer = albedo * (0.30 * (0.35 + 0.65 * half)) + tint * (inner + through) + wp.vec3(white, white, white)
        total += wp.cw_mul(studio.irradiance[k], answer) * (level * cos_i)
    out[t] = total
