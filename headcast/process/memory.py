"""How much memory a process can still take, and one line when that does not suffice."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from headcast.errors import OutOfResources

UNLIMITED = 1 << 60


def require_memory(stage: str, needed: float, what: str, todo: str) -> str:
    """Say what ``what`` takes (bytes); ``OutOfResources`` when this process cannot have that much."""
    available = available_memory()
    if needed > available:
        raise OutOfResources(stage, f"{what} need about {readable(needed)} of memory, {readable(available)} are available", todo)
    return f"{what} need about {readable(needed)} of memory; {readable(available)} are available"


def available_memory() -> int:
    """Bytes that this process can still take: the machine's, its control group's and its own limit, whichever is least."""
    return max(min(_machine(), _control_group(), _own_limit()), 0)


def readable(amount: float) -> str:
    """Bytes for people: kB, MB or GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if amount >= scale:
            return f"{amount / scale:.1f} {unit}"
    return f"{amount / 1e3:.0f} kB"


def _machine() -> int:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _control_group(own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int:
    """What the control groups of this process (version 2 or 1) leave; caches that the kernel gives back do not count."""
    left = UNLIMITED
    for line in _lines(own):
        _, controllers, name = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        base, names = (root / "memory", V1) if controllers else (root, V2)
        folder = base / name.lstrip("/")
        for group in (folder, *folder.parents):
            if group == root.parent:
                break
            left = min(left, _left(group, *names))
    return left


V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = ("memory.max", "memory.current", "inactive_file")


def _left(group: Path, limit: str, usage: str, cache: str) -> int:
    most, used = _lines(group / limit), _lines(group / usage)
    if not most or not used or not most[0].isdigit():
        return UNLIMITED
    reclaimable = [int(line.split()[1]) for line in _lines(group / "memory.stat") if line.startswith(f"{cache} ")]
    return int(most[0]) - int(used[0]) + sum(reclaimable)


def _own_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _lines(Path("/proc/self/statm"))
    if soft == resource.RLIM_INFINITY or not pages:
        return UNLIMITED
    return soft - int(pages[0].split()[0]) * resource.getpagesize()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
