"""Every broken capture gets the line that docs/broken_captures.md shows; what libraries say, in brackets, is theirs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from headcast.capture.capture import PREPROCESSED, READERS, UNCALIBRATED

from .breakages import BREAKAGES, PARTS, TITLE, Breakage, row, write_whole

PAGE = Path(__file__).parents[2] / "docs/broken_captures.md"


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unbroken captures by layout, written when first asked for."""
    written: dict[str, Path] = {}

    def root(layout: str) -> Path:
        if layout not in written:
            written[layout] = tmp_path_factory.mktemp("whole") / "raw"
            written[layout].mkdir()
            write_whole(layout, written[layout])
        return written[layout]

    return root


def without_brackets(text: str) -> str:
    """The text with nothing in its outermost brackets."""
    shorter = re.sub(r"\([^()]*\)", "", text)
    return shorter if shorter == text else without_brackets(shorter)


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: f"{breakage.layout}: {breakage.how}")
def test_the_line_is_the_one_on_the_page(breakage: Breakage, whole: Callable[[str], Path], tmp_path: Path) -> None:
    if breakage.layout == "renderme":
        pytest.importorskip("h5py", reason="reads .smc files: pip install 'headcast[renderme]'")
    said = breakage.line(whole, tmp_path)
    shown = row(breakage, said, tmp_path)
    assert "\n" not in str(said)
    assert without_brackets(shown) in map(without_brackets, PAGE.read_text().splitlines())


def test_the_page_shows_every_breakage_and_no_other() -> None:
    page = PAGE.read_text()
    assert page.startswith(TITLE) and len(re.findall(r"^\| .* \| \d \| `", page, re.M)) == len(BREAKAGES)
    assert len({(b.layout, b.how) for b in BREAKAGES}) == len(BREAKAGES)


def test_every_reader_and_every_part_is_broken() -> None:
    assert {breakage.layout.split()[0] for breakage in BREAKAGES} >= {*READERS, *UNCALIBRATED, *PREPROCESSED}
    assert {breakage.part for breakage in BREAKAGES} == set(PARTS)
