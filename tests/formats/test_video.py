"""Writing films: colours survive, sizes are even, failures leave nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from headcast.errors import BadFile
from headcast.formats.video import read_video_frames, read_video_info, write_video

COLOURS = [(255, 255, 255), (0, 0, 0), (200, 40, 40), (40, 180, 60), (30, 60, 200), (224, 172, 140)]


def flat(colour: tuple[int, int, int], height: int = 32, width: int = 48) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def test_colours_survive(tmp_path: Path) -> None:
    assert write_video(tmp_path / "a.mp4", (flat(colour) for colour in COLOURS), 25.0) == len(COLOURS)
    for frame, colour in zip(read_video_frames(tmp_path / "a.mp4"), COLOURS, strict=True):
        assert np.abs(frame.rgb.astype(int) - colour).max() <= 4


def test_it_is_what_players_read(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [flat(COLOURS[2])] * 3, 30.0)
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    content = (tmp_path / "a.mp4").read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


WAVES = """
import sys
from pathlib import Path
import numpy as np
from headcast.formats.video import write_video
y, x = np.mgrid[:64, :64]
waves = [[127 + 120 * np.sin((x + 3 * t) / 9), 127 + 120 * np.cos((y - 2 * t) / 7), np.full(x.shape, 8.0 * t)] for t in range(7)]
write_video(Path(sys.argv[1]), [np.stack(wave, -1).round().astype(np.uint8) for wave in waves], 24.0)
"""


def test_the_bytes_do_not_depend_on_what_memory_held_before(tmp_path: Path) -> None:
    films = []
    for pattern in ("0", "85", "170"):  # what the C library fills new memory with
        film = tmp_path / f"{pattern}.mp4"
        subprocess.run([sys.executable, "-c", WAVES, film], check=True, env={**os.environ, "MALLOC_PERTURB_": pattern})
        films.append(film.read_bytes())
    assert films[0] == films[1] == films[2]


def test_odd_sizes_become_even(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [flat(COLOURS[3], 33, 47)], 24.0)
    assert read_video_info(tmp_path / "a.mp4")[2:] == (48, 34)


def test_fractional_rates_are_kept(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [flat(COLOURS[3])] * 4, 30000 / 1001)
    assert read_video_info(tmp_path / "a.mp4").fps == pytest.approx(30000 / 1001)


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, [flat(colour) for colour in COLOURS], 24.0)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def failing() -> Iterator[np.ndarray]:
    yield flat(COLOURS[0])
    raise RuntimeError("the renderer died")


def test_a_failure_leaves_the_old_film_and_nothing_else(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [flat(COLOURS[0])], 24.0)
    before = (tmp_path / "a.mp4").read_bytes()
    with pytest.raises(RuntimeError, match="died"):
        write_video(tmp_path / "a.mp4", failing(), 24.0)
    assert (tmp_path / "a.mp4").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("frames", "wrong"),
    [
        ([], "no frame"),
        ([np.zeros((4, 4, 3))], "uint8"),
        ([flat(COLOURS[0]), flat(COLOURS[0], 16, 16)], "another size"),
        ([np.zeros((4, 4), np.uint8)], "uint8"),
    ],
)
def test_bad_frames_are_errors(tmp_path: Path, frames: list[np.ndarray], wrong: str) -> None:
    with pytest.raises(BadFile, match=wrong):
        write_video(tmp_path / "a.mp4", frames, 24.0)
    assert not list(tmp_path.iterdir())
