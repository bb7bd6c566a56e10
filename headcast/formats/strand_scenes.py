"""Curves of a scene: Alembic's and USD's, read by their own libraries where the user installed those.

Every curve of every object counts, at the first time there is, placed by the transforms above it. Control points of cubic curves
are taken as points of the strand. USD says its unit and its upward axis; its points come out in metres with y up.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from headcast.assets import require_reader
from headcast.avatar.groom import Curves
from headcast.errors import BadFile

OBTAIN = "write the file anew"
Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def read_curves(path: Path) -> Curves:
    """All curves of an Alembic archive or a USD stage; ``AssetMissing`` without the library, ``BadFile`` when it is none."""
    require_reader(path)
    found = list(_alembic(path) if path.suffix.lower() == ".abc" else _usd(path))
    if not found:
        raise BadFile(path, "holds no curves", OBTAIN)
    for points, counts in found:
        if points.ndim != 2 or points.shape[1] != 3 or (counts < 0).any() or int(counts.sum()) != len(points):
            raise BadFile(path, f"says {int(counts.sum())} points of curves and holds {len(points)}", OBTAIN)
    return Curves(np.concatenate([points for points, _ in found]), np.concatenate([counts for _, counts in found]))


def _usd(path: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from pxr import Tf, Usd, UsdGeom

    try:
        stage = Usd.Stage.Open(str(path))
    except Tf.ErrorException as error:
        raise BadFile(path, "is not a readable USD stage", OBTAIN) from error
    turned = Z_UP if UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.z else np.eye(3)
    axes = UsdGeom.GetStageMetersPerUnit(stage) * turned
    placed = UsdGeom.XformCache(Usd.TimeCode.EarliestTime())
    for prim in stage.Traverse():
        if prim.IsA(UsdGeom.BasisCurves):
            curves = UsdGeom.BasisCurves(prim)
            points = np.asarray(curves.GetPointsAttr().Get(Usd.TimeCode.EarliestTime()) or [], np.float64).reshape(-1, 3)
            counts = np.asarray(curves.GetCurveVertexCountsAttr().Get(Usd.TimeCode.EarliestTime()) or [], np.int64)
            yield _moved(points, np.asarray(placed.GetLocalToWorldTransform(prim), np.float64)) @ axes.T, counts


def _alembic(path: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from alembic3d import Abc

    try:
        archive = Abc.IArchive(str(path))
        top = archive.getTop()
    except Exception as error:  # the binding raises bare RuntimeErrors, and others for damaged archives
        raise BadFile(path, f"is not a readable Alembic archive ({str(error).splitlines()[0]})", OBTAIN) from error
    yield from _objects(top, np.eye(4))


def _objects(parent: Any, above: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from alembic3d import AbcGeom

    for child in parent.children:
        header, here = child.getHeader(), above
        if AbcGeom.IXform.matches(header):
            sample = AbcGeom.IXform(parent, child.getName()).getSchema().getValue()
            own = np.array([[sample.getMatrix()[row][column] for column in range(4)] for row in range(4)])
            here = own @ above if sample.getInheritsXforms() else own
        elif AbcGeom.ICurves.matches(header):
            value = AbcGeom.ICurves(parent, child.getName()).getSchema().getValue()
            points = np.array([tuple(point) for point in value.getPositions()], np.float64).reshape(-1, 3)
            yield _moved(points, above), np.array(list(value.getCurvesNumVertices()), np.int64)
        yield from _objects(child, here)


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points by a matrix that multiplies rows from the right, as both libraries have it."""
    return points @ matrix[:3, :3] + matrix[3, :3]
