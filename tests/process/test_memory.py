"""What memory is left: the machine's, the control group's, the process's own limit."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from headcast.errors import OutOfResources
from headcast.process import memory

MB = 1 << 20


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1) if name.startswith("memory") else folder / name).write_text(text)


def test_the_tightest_group_of_version_2_counts_and_its_file_cache_does_not(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/jobs/mine\n")
    group(
        tmp_path / "fs/jobs", memory_max=f"{900 * MB}\n", memory_current=f"{700 * MB}\n", memory_stat=f"inactive_file {300 * MB}\n"
    )
    group(tmp_path / "fs/jobs/mine", memory_max="max\n", memory_current=f"{600 * MB}\n", memory_stat="")
    assert memory._control_group(own, tmp_path / "fs") == 500 * MB


def test_version_1_counts_too(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("5:cpuset:/\n3:memory:/job\n0::/\n")
    folder = tmp_path / "fs/memory/job"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text(f"{400 * MB}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{150 * MB}\n")
    (folder / "memory.stat").write_text(f"inactive_file 1\ntotal_inactive_file {50 * MB}\n")
    assert memory._control_group(own, tmp_path / "fs") == 300 * MB


def test_without_control_groups_there_is_no_limit_from_them(tmp_path: Path) -> None:
    assert memory._control_group(tmp_path / "none", tmp_path) == memory.UNLIMITED


def test_the_limit_of_the_process_counts() -> None:
    code = (
        "import resource; from headcast.process.memory import available_memory\n"
        "pages = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        f"resource.setrlimit(resource.RLIMIT_AS, (pages + {64 * MB}, resource.RLIM_INFINITY))\n"
        "print(available_memory())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 48 * MB < int(said) <= 64 * MB


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY, reason="this process has a limit")
def test_the_machine_has_some_memory_and_not_more_than_it_has() -> None:
    import os

    assert 10 * MB < memory.available_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_what_does_not_fit_is_refused_with_both_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 3_000_000_000)
    assert "2.9 GB of memory; 3.0 GB" in memory.require_memory("training", 2.9e9, "480 views of 512 px", "lower training.size")
    with pytest.raises(OutOfResources, match="training: 480 views of 512 px need about 3.1 GB .* 3.0 GB are available; lower"):
        memory.require_memory("training", 3.1e9, "480 views of 512 px", "lower training.size")


@pytest.mark.parametrize(("amount", "text"), [(0, "0 kB"), (1_500, "2 kB"), (2.34e6, "2.3 MB"), (7.56e10, "75.6 GB")])
def test_bytes_are_readable(amount: float, text: str) -> None:
    assert memory.readable(amount) == text
