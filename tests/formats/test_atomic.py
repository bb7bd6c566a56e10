"""What a killed writer leaves is removed by the next one; what a living one is writing is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from headcast.formats.atomic import atomic_path, write_json

KILLED = """
import os, signal, sys
from pathlib import Path
from headcast.formats.atomic import atomic_path

with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_leftover_of_a_killed_writer_goes_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "sco[r]es.json"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, cwd=Path(__file__).parent.parent.parent)
    assert len(list(tmp_path.iterdir())) == 1
    assert not path.exists()
    write_json(path, 1)
    assert list(tmp_path.iterdir()) == [path]


def test_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    with atomic_path(path) as slow:
        slow.write_text("slow")
        with atomic_path(path) as quick:
            quick.write_text("quick")
        assert path.read_text() == "quick"
        assert slow.exists()
    assert path.read_text() == "slow"
    assert list(tmp_path.iterdir()) == [path]
