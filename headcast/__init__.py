"""Multi-view video of a head in, an animatable Gaussian avatar with strand hair out.

>>> import headcast
>>> avatar = headcast.load_avatar("results/demo/HAIR/avatar.pth")                          # doctest: +SKIP
>>> image = avatar.render(expression={"jawOpen": 0.6}, head_pose=[0, 0.3, 0, 0, 0, 0]).image     # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headcast.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from headcast.avatar.avatar import Avatar

__all__ = ["__version__", "load_avatar"]


def load_avatar(path: str | Path, device: str = "cpu") -> Avatar:
    """Read ``avatar.pth``, verify its digest and return it ready to render on ``device``."""
    from pathlib import Path

    from headcast.formats.avatar_file import read_avatar

    return read_avatar(Path(path), device)
