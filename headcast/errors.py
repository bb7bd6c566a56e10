"""Everything that can go wrong for a user, as one tree.

HeadcastError
├── ConfigError      2   key path, value, what is allowed
├── AssetMissing     3   which file, where to obtain it, expected SHA-256, which licence
├── BadFile          4   path, what is wrong, which stage wrote it
├── CaptureError     5   subject/sequence/camera/frame
├── Diverged         6   stage, step, first non-finite term, last good checkpoint
└── OutOfResources   7   disk or memory: needed, available, the setting to lower

A message is one line, ``<file or key>: <what is wrong>; <what to do>``; ``process.command`` prints it and exits with the code.
"""

from __future__ import annotations


class HeadcastError(Exception):
    """A mistake or a shortage that a user can act on; the message is one line."""

    exit_code = 1

    def __init__(self, where: object, wrong: str, todo: str = "") -> None:
        """Name the file or key (``where``), what is ``wrong`` with it and, if known, what ``todo`` about it."""
        self.where, self.wrong, self.todo = str(where), wrong, todo
        message = f"{where}: {wrong}" + (f"; {todo}" if todo else "")
        super().__init__(" ".join(message.split()))

    def __reduce__(self) -> tuple[type[HeadcastError], tuple[str, str, str]]:
        """Travel between processes whole."""
        return type(self), (self.where, self.wrong, self.todo)


class ConfigError(HeadcastError):
    """A setting is unknown, of the wrong type or out of range."""

    exit_code = 2


class AssetMissing(HeadcastError):
    """A file that the user has to obtain is not there, or is another file than expected."""

    exit_code = 3


class BadFile(HeadcastError):
    """A file does not hold what its format promises."""

    exit_code = 4


class CaptureError(HeadcastError):
    """What was filmed or calibrated contradicts itself."""

    exit_code = 5


class Diverged(HeadcastError):
    """An optimiser left the finite numbers and did not come back."""

    exit_code = 6


class OutOfResources(HeadcastError):
    """Disk or memory does not suffice."""

    exit_code = 7
