"""The strands of an avatar as files that other programs read: npz, points as ply, curves as USD and Alembic.

The hair at rest in the skull's frame: metres, y up, the face looks along z. Curves are linear, root first; their width is twice the
standard deviation of the splats. Each root is bound to a triangle of the canonical head, so that hair follows a head elsewhere.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from headcast.assets import require_reader
from headcast.avatar.avatar import Avatar
from headcast.errors import HeadcastError
from headcast.formats.manifest import npz

PLY_TYPES = (("x", "f4"), ("y", "f4"), ("z", "f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("strand", "i4"))


class Strands(NamedTuple):
    """What is written: see `headcast.delivery.strand_export`; ``uv`` are longitude and latitude of the root, in [0, 1]."""

    points: Float[np.ndarray, "S P 3"]
    color: Float[np.ndarray, "S 3"]
    width: float
    face: Int[np.ndarray, "S"]
    barycentric: Float[np.ndarray, "S 3"]
    uv: Float[np.ndarray, "S 2"]


def strands_of(avatar: Avatar) -> Strands:
    """The avatar's hair at rest; ``HeadcastError`` when it has none."""
    if avatar.hair is None:
        raise HeadcastError("avatar", "has no hair to export", "train it on a sequence whose masks show hair")
    points = avatar.hair.points.detach().cpu()
    binding = avatar.canonical.to("cpu").bind(points[:, 0])
    roots = points[:, 0].double().numpy()
    longitude = np.arctan2(roots[:, 0], roots[:, 2]) / (2 * math.pi) + 0.5
    latitude = np.arcsin(np.clip(roots[:, 1] / np.maximum(np.linalg.norm(roots, axis=1), 1e-9), -1, 1)) / math.pi + 0.5
    return Strands(
        points=points.numpy().astype(np.float32),
        color=avatar.hair.color.detach().cpu().clamp(0, 1).numpy().astype(np.float32),
        width=2 * float(avatar.hair.width.detach()),
        face=binding.face.numpy().astype(np.int32),
        barycentric=binding.barycentric.numpy().astype(np.float32),
        uv=np.stack([longitude, latitude], axis=1).astype(np.float32),
    )


def write(strands: Strands, kind: str) -> bytes:
    """The file of a format of `FORMATS`; ``AssetMissing`` where its library is not installed."""
    return FORMATS[kind](strands)


def _npz(strands: Strands) -> bytes:
    return npz(**{name: np.asarray(value) for name, value in strands._asdict().items()})


def _ply(strands: Strands) -> bytes:
    """Every point with the colour and the number of its strand: binary, little endian."""
    count, length = strands.points.shape[:2]
    table = np.zeros(count * length, dtype=[(name, f"<{kind}") for name, kind in PLY_TYPES])
    for axis, name in enumerate("xyz"):
        table[name] = strands.points[..., axis].reshape(-1)
    for channel, name in enumerate(("red", "green", "blue")):
        table[name] = np.repeat(np.rint(255 * strands.color[:, channel]), length)
    table["strand"] = np.repeat(np.arange(count), length)
    names = {"f4": "float", "u1": "uchar", "i4": "int"}
    properties = "".join(f"property {names[kind]} {name}\n" for name, kind in PLY_TYPES)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(table)}\n{properties}end_header\n"
    return header.encode() + table.tobytes()


def _usd(strands: Strands) -> bytes:
    """BasisCurves ``/head/hair`` with width, colours of the strands, and the roots' binding and uv as primvars."""
    require_reader(Path("strands.usdc"))
    from pxr import Sdf, Usd, UsdGeom, Vt

    def author(path: Path) -> None:
        stage = Usd.Stage.CreateNew(str(path))
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/head").GetPrim())
        curves = UsdGeom.BasisCurves.Define(stage, "/head/hair")
        curves.CreateTypeAttr(UsdGeom.Tokens.linear)
        curves.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(strands.points.reshape(-1, 3)))
        count, length = strands.points.shape[:2]
        curves.CreateCurveVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(count, length, np.int32)))
        curves.CreateWidthsAttr(Vt.FloatArray([strands.width]))
        curves.SetWidthsInterpolation(UsdGeom.Tokens.constant)
        curves.CreateExtentAttr(UsdGeom.PointBased.ComputeExtent(curves.GetPointsAttr().Get()))
        primvars = UsdGeom.PrimvarsAPI(curves)
        types = Sdf.ValueTypeNames
        for name, kind, values in (
            ("displayColor", types.Color3fArray, Vt.Vec3fArray.FromNumpy(strands.color)),
            ("rootUV", types.TexCoord2fArray, Vt.Vec2fArray.FromNumpy(strands.uv)),
            ("rootFace", types.IntArray, Vt.IntArray.FromNumpy(strands.face)),
            ("rootBarycentric", types.Float3Array, Vt.Vec3fArray.FromNumpy(strands.barycentric)),
        ):
            primvars.CreatePrimvar(name, kind, UsdGeom.Tokens.uniform).Set(values)
        stage.Save()

    return _written(author, "strands.usdc")


def _alembic(strands: Strands) -> bytes:
    """Linear curves ``/head/hair`` with width and root uv."""
    require_reader(Path("strands.abc"))
    import imath
    from alembic3d import Abc, AbcGeom

    def author(path: Path) -> None:
        archive = Abc.OArchive(str(path))
        curves = AbcGeom.OCurves(AbcGeom.OXform(archive.getTop(), "head"), "hair")
        count, length = strands.points.shape[:2]
        points, counts = imath.V3fArray(count * length), imath.IntArray(count)
        widths, uv = imath.FloatArray(1), imath.V2fArray(count)
        for index, point in enumerate(strands.points.reshape(-1, 3).tolist()):
            points[index] = imath.V3f(*point)
        for index, place in enumerate(strands.uv.tolist()):
            counts[index], uv[index] = length, imath.V2f(*place)
        widths[0] = strands.width
        scope = AbcGeom.GeometryScope
        sample = AbcGeom.OCurvesSchemaSample(
            points,
            counts,
            AbcGeom.CurveType.kLinear,
            AbcGeom.CurvePeriodicity.kNonPeriodic,
            AbcGeom.OFloatGeomParamSample(widths, scope.kConstantScope),
            AbcGeom.OV2fGeomParamSample(uv, scope.kUniformScope),
        )
        curves.getSchema().set(sample)

    return _written(author, "strands.abc")


def _written(author: Callable[[Path], None], name: str) -> bytes:
    """What a library that only writes to a path puts there; it is finished when its objects are gone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        author(path)
        return path.read_bytes()


FORMATS: dict[str, Callable[[Strands], bytes]] = {"npz": _npz, "ply": _ply, "usdc": _usd, "abc": _alembic}
