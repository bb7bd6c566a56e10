"""Strands of the user's: every format reads what was written, and a damaged file is one line, never a crash."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headcast.avatar.groom import Curves
from headcast.errors import AssetMissing, BadFile, ConfigError
from headcast.formats import strand_files
from headcast.formats.strand_files import read_strands

COUNTS = np.array([3, 2, 5])
POINTS = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)


def write_npz(path: Path, points: np.ndarray = POINTS, counts: np.ndarray = COUNTS) -> Path:
    np.savez(path, points=points, counts=counts)
    return path


def write_hair(path: Path, points: np.ndarray = POINTS, counts: np.ndarray = COUNTS, extras: bytes = b"") -> Path:
    """As www.cemyuksel.com/research/hairmodels specifies it: 128 bytes of header, segments, points, then what else there is."""
    bits = 1 | 2 | (4 if extras else 0)
    header = b"HAIR" + struct.pack("<4I5f", len(counts), len(points), bits, 0, 1.0, 0.0, 1.0, 1.0, 1.0)
    path.write_bytes(header.ljust(128, b"\0") + (counts - 1).astype("<u2").tobytes() + points.astype("<f4").tobytes() + extras)
    return path


def write_data(path: Path, points: np.ndarray = POINTS, counts: np.ndarray = COUNTS) -> Path:
    parts = np.split(points.astype("<f4"), np.cumsum(counts)[:-1])
    path.write_bytes(struct.pack("<i", len(counts)) + b"".join(struct.pack("<i", len(p)) + p.tobytes() for p in parts))
    return path


def write_usda(path: Path, points: np.ndarray = POINTS, counts: np.ndarray = COUNTS) -> Path:
    from pxr import Gf, Usd, UsdGeom, Vt

    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 0.01)
    above = UsdGeom.Xform.Define(stage, "/groom")
    above.AddTranslateOp().Set(Gf.Vec3d(1, 2, 3))
    for name, part, size in zip("ab", np.split(points, [int(counts[0])]), np.split(counts, [1]), strict=True):
        curves = UsdGeom.BasisCurves.Define(stage, f"/groom/{name}")
        curves.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(part))
        curves.CreateCurveVertexCountsAttr(Vt.IntArray.FromNumpy(size.astype(np.int32)))
    stage.Save()
    return path


def write_abc(path: Path, points: np.ndarray = POINTS, counts: np.ndarray = COUNTS) -> Path:
    import imath
    from alembic3d import Abc, AbcGeom

    archive = Abc.OArchive(str(path))
    above = AbcGeom.OXform(archive.getTop(), "groom")
    place = AbcGeom.XformSample()
    place.setTranslation(imath.V3d(1, 2, 3))
    above.getSchema().set(place)
    curves = AbcGeom.OCurves(above, "strands")
    positions, sizes = imath.V3fArray(len(points)), imath.IntArray(len(counts))
    for index, point in enumerate(points.tolist()):
        positions[index] = imath.V3f(*point)
    for index, size in enumerate(counts.tolist()):
        sizes[index] = size
    sample = AbcGeom.OCurvesSchemaSample(positions, sizes, AbcGeom.CurveType.kLinear, AbcGeom.CurvePeriodicity.kNonPeriodic)
    curves.getSchema().set(sample)
    return path


PLAIN: dict[str, Callable[..., Path]] = {".npz": write_npz, ".hair": write_hair, ".data": write_data}
SCENES: dict[str, tuple[Callable[..., Path], str, Callable[[np.ndarray], np.ndarray]]] = {
    ".usda": (write_usda, "pxr", lambda p: 0.01 * np.stack([p[:, 0] + 1, p[:, 2] + 3, -p[:, 1] - 2], axis=1)),
    ".usdc": (write_usda, "pxr", lambda p: 0.01 * np.stack([p[:, 0] + 1, p[:, 2] + 3, -p[:, 1] - 2], axis=1)),
    ".abc": (write_abc, "alembic3d", lambda p: p + np.array([1, 2, 3])),
}


def equal(found: Curves, points: np.ndarray, counts: np.ndarray) -> bool:
    return np.array_equal(found.counts, counts) and np.allclose(found.points, points, atol=1e-5)


@pytest.mark.parametrize("suffix", PLAIN)
def test_what_is_written_is_read(suffix: str, tmp_path: Path) -> None:
    written = PLAIN[suffix](tmp_path / f"a{suffix}")
    assert equal(read_strands(written), POINTS, COUNTS)
    assert equal(read_strands(written.rename(tmp_path / f"B{suffix.upper()}")), POINTS, COUNTS)


@pytest.mark.parametrize("suffix", SCENES)
def test_scenes_are_read_with_what_places_their_curves(suffix: str, tmp_path: Path) -> None:
    write, package, placed = SCENES[suffix]
    pytest.importorskip(package)
    assert equal(read_strands(write(tmp_path / f"a{suffix}")), placed(POINTS), COUNTS)


@pytest.mark.parametrize("suffix", SCENES)
def test_a_scene_that_is_none_or_holds_no_curve_is_refused(suffix: str, tmp_path: Path) -> None:
    write, package, _ = SCENES[suffix]
    pytest.importorskip(package)
    (tmp_path / f"a{suffix}").write_bytes(b"no scene at all" * 20)
    with pytest.raises(BadFile, match="is not a readable") as caught:
        read_strands(tmp_path / f"a{suffix}")
    assert "\n" not in str(caught.value)
    whole = write(tmp_path / f"b{suffix}").read_bytes()
    (tmp_path / f"c{suffix}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadFile):
        read_strands(tmp_path / f"c{suffix}")


@pytest.mark.parametrize(("suffix", "package"), [(".abc", "alembic3d"), (".usd", "usd-core")])
def test_a_scene_without_its_library_says_what_to_install(
    suffix: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headcast.assets.find_spec", lambda module: None)
    (tmp_path / f"a{suffix}").write_bytes(b"anything")
    with pytest.raises(AssetMissing, match=f"pip install '{package}>="):
        read_strands(tmp_path / f"a{suffix}")


def test_the_arrays_of_our_own_product_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "strands.npz", points=POINTS[:8].reshape(2, 4, 3), width=np.float32(1e-3))
    assert equal(read_strands(tmp_path / "strands.npz"), POINTS[:8], np.array([4, 4]))


def test_a_header_may_tell_the_segments_of_all_strands(tmp_path: Path) -> None:
    header = b"HAIR" + struct.pack("<4I5f", 2, 10, 2, 4, 1.0, 0.0, 1.0, 1.0, 1.0)
    (tmp_path / "a.hair").write_bytes(header.ljust(128, b"\0") + POINTS.tobytes())
    assert equal(read_strands(tmp_path / "a.hair"), POINTS, np.array([5, 5]))


def test_arrays_that_are_not_needed_are_passed_over(tmp_path: Path) -> None:
    assert equal(read_strands(write_hair(tmp_path / "a.hair", extras=bytes(40))), POINTS, COUNTS)


def test_strands_of_a_single_point_are_none(tmp_path: Path) -> None:
    found = read_strands(write_data(tmp_path / "a.data", counts=np.array([1, 6, 0, 3])))
    assert equal(found, POINTS[1:], np.array([6, 3]))
    with pytest.raises(BadFile, match="no strand of two points"):
        read_strands(write_data(tmp_path / "b.data", counts=np.ones(10, int)))


@pytest.mark.parametrize("suffix", PLAIN)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 400), place=st.integers(0, 400), byte=st.integers(0, 255))
def test_cut_and_changed_files_are_one_line(suffix: str, cut: int, place: int, byte: int, tmp_path: Path) -> None:
    """A changed coordinate is no damage that shows; anything else that comes out still has whole strands of finite points."""
    data = bytearray(PLAIN[suffix](tmp_path / f"a{suffix}").read_bytes())
    data[place % len(data)] = byte
    path = tmp_path / f"b{suffix}"
    path.write_bytes(bytes(data[: len(data) - cut % len(data)] if cut % 2 else data))
    said = ""
    try:
        found = read_strands(path)
        assert int(found.counts.sum()) == len(found.points) and np.isfinite(found.points).all() and (found.counts >= 2).all()
    except BadFile as error:
        said = str(error)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("suffix", "data", "says"),
    [
        (".hair", b"HAIR" + struct.pack("<4I", 2**31, 2**32 - 1, 3, 0), "header"),
        (".hair", (b"HAIR" + struct.pack("<4I", 2**31, 2**32 - 1, 3, 0)).ljust(128, b"\0"), "is cut"),
        (".hair", (b"HAIR" + struct.pack("<4I", 2**31, 0, 2, 7)).ljust(128, b"\0"), "says 2147483648 strands of 0 points"),
        (".hair", (b"HAIR" + struct.pack("<4I", 1, 2, 1, 0)).ljust(128, b"\0"), "is cut"),
        (".data", struct.pack("<i", 2**31 - 1), "is cut"),
        (".data", struct.pack("<i", -1), "is cut"),
        (".data", struct.pack("<ii", 1, 2**30), "strand 0 of 1"),
        (".data", struct.pack("<ii3f", 1, 1, 0, 0, 0) + b"tail", "4 bytes after"),
        (".npz", b"<!doctype html><p>log in", "is a web page"),
        (".npz", b"", "is empty"),
        (".npz", b"PK\x03\x04 nothing", "is not a readable npz"),
    ],
)
def test_a_file_that_promises_more_than_it_holds_is_refused(suffix: str, data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    with pytest.raises(BadFile, match=says) as caught:
        read_strands(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("points", "counts", "says"),
    [
        (POINTS, np.array([5, 6]), "do not make up its 2 strands"),
        (POINTS, np.array([12, -2]), "do not make up"),
        (POINTS, np.array([2**63 - 1, 2**63 - 1, 12], np.uint64), "do not make up"),
        (POINTS, np.array([5.0, 5.0]), "of shape"),
        (POINTS[:, :2], COUNTS, "of shape"),
        (np.where(POINTS > 1, np.nan, POINTS), COUNTS, "not finite"),
        (POINTS.astype("U8"), COUNTS, "of shape"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(points: np.ndarray, counts: np.ndarray, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=says):
        read_strands(write_npz(tmp_path / "a.npz", points, counts))


def test_a_pickled_array_is_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", points=np.array([{"a": 1}], object))
    with pytest.raises(BadFile, match="npz|plain numbers"):
        read_strands(tmp_path / "a.npz")


def test_another_ending_a_missing_and_a_huge_file_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="ends in none of .npz, .hair, .data, .abc, .usd"):
        read_strands(tmp_path / "a.obj")
    with pytest.raises(AssetMissing, match="are not there"):
        read_strands(tmp_path / "a.hair")
    monkeypatch.setattr(strand_files, "MAX_BYTES", 100)
    with pytest.raises(BadFile, match="more than a file of strands"):
        read_strands(write_data(tmp_path / "a.data"))
