"""What is exported is read again, by our reader and by the libraries': points, widths, colours, and where the roots hang."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from headcast.config import StrandExport
from headcast.delivery.strand_export import FORMATS, Strands, strands_of, write
from headcast.errors import AssetMissing, HeadcastError
from headcast.formats.avatar_file import write_avatar
from headcast.formats.manifest import read_product
from headcast.formats.strand_files import read_strands
from headcast.stages.export_strands import Inputs, run
from tests.ball import ball_avatar

PACKAGES = {"usdc": "pxr", "abc": "alembic3d"}


@pytest.fixture(scope="module")
def strands() -> Strands:
    return strands_of(ball_avatar())


def written(strands: Strands, kind: str, folder: Path) -> Path:
    path = folder / f"strands.{kind}"
    path.write_bytes(write(strands, kind))
    return path


def test_roots_hang_on_the_canonical_head(strands: Strands) -> None:
    avatar = ball_avatar()
    corners = avatar.canonical.vertices[avatar.canonical.faces[torch.from_numpy(strands.face).long()]].numpy()
    bound = (corners * strands.barycentric[..., None]).sum(1)
    assert np.abs(bound - strands.points[:, 0]).max() < 2e-3
    assert (strands.uv >= 0).all() and (strands.uv <= 1).all() and strands.uv.std(0).min() > 0


@pytest.mark.parametrize("kind", ["npz", "usdc", "abc"])
def test_our_reader_finds_the_same_curves(kind: str, strands: Strands, tmp_path: Path) -> None:
    if kind in PACKAGES:
        pytest.importorskip(PACKAGES[kind])
    curves = read_strands(written(strands, kind, tmp_path))
    assert (curves.counts == strands.points.shape[1]).all() and len(curves.counts) == len(strands.points)
    assert np.allclose(curves.points, strands.points.reshape(-1, 3), atol=1e-6)


def test_points_are_a_ply_that_others_read(strands: Strands) -> None:
    cloud = trimesh.load(io.BytesIO(write(strands, "ply")), file_type="ply")
    assert np.allclose(cloud.vertices, strands.points.reshape(-1, 3), atol=1e-6)
    first = np.asarray(cloud.visual.vertex_colors if hasattr(cloud.visual, "vertex_colors") else cloud.colors)[0, :3]
    assert np.abs(first / 255 - strands.color[0]).max() < 1 / 255


def test_usd_carries_widths_colours_and_bindings(strands: Strands, tmp_path: Path) -> None:
    pytest.importorskip("pxr")
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.Open(str(written(strands, "usdc", tmp_path)))
    curves = UsdGeom.BasisCurves(stage.GetPrimAtPath("/head/hair"))
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1 and UsdGeom.GetStageUpAxis(stage) == "Y"
    assert np.allclose(curves.GetWidthsAttr().Get(), strands.width)
    primvars = UsdGeom.PrimvarsAPI(curves)
    for name, values in {"displayColor": strands.color, "rootUV": strands.uv, "rootBarycentric": strands.barycentric}.items():
        assert np.allclose(np.asarray(primvars.GetPrimvar(name).Get()), values), name
    assert (np.asarray(primvars.GetPrimvar("rootFace").Get()) == strands.face).all()


def test_alembic_carries_widths_and_uv(strands: Strands, tmp_path: Path) -> None:
    pytest.importorskip("alembic3d")
    from alembic3d import Abc, AbcGeom

    top = Abc.IArchive(str(written(strands, "abc", tmp_path))).getTop()
    schema = AbcGeom.ICurves(AbcGeom.IXform(top, "head"), "hair").getSchema()
    widths, uv = schema.getWidthsParam().getExpandedValue().getVals(), schema.getUVsParam().getExpandedValue().getVals()
    assert np.allclose(list(widths), strands.width)
    assert np.allclose([tuple(place) for place in uv], strands.uv)


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_library_that_is_missing_is_named(kind: str, strands: Strands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headcast.assets.find_spec", lambda name: None)
    with pytest.raises(AssetMissing, match="pip install"):
        write(strands, kind)


def test_the_stage_writes_what_is_asked_for(tmp_path: Path) -> None:
    avatar = ball_avatar()
    write_avatar(tmp_path / "avatar.pth", avatar, {})
    run(Inputs(tmp_path / "avatar.pth", tmp_path / "strands/manifest.json"), StrandExport(formats=["ply", "npz"]), lambda *_: None)
    product = read_product(tmp_path / "strands/manifest.json", "strands")
    assert set(product.members) == {"strands.npz", "strands.ply"} and product.facts["frame"] == "skull"
    assert set(FORMATS) == {"npz", "ply", "usdc", "abc"}
    avatar.hair = None
    with pytest.raises(HeadcastError, match="no hair"):
        strands_of(avatar)
