"""When a process should end: a signal from the user or the queue, or the death of the scheduler or stage that started it.

Who asks twice within two seconds asks once: Ctrl-C reaches a job from the terminal and once more from its scheduler.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130
SCHEDULER = "HEADCAST_SCHEDULER"
"""Environment variable in which the scheduler tells its jobs its process id."""
LOOK_SECONDS = 0.5
GRACE_SECONDS = 10.0
SAME_REQUEST_SECONDS = 2.0
_asked_at: float | None = None
_polled = False


def should_stop() -> bool:
    """Whether this process was asked to save and leave; asking once declares that the caller polls and saves by itself."""
    global _polled
    _polled = True
    return _asked_at is not None


def catch_signals() -> None:
    """From now on SIGTERM, SIGINT, SIGUSR1 and SIGHUP (unless ``nohup`` ignores it) mean: save what can be saved and leave."""
    global _asked_at, _polled
    _asked_at, _polled = None, False
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _on_signal)


def _on_signal(number: int, frame: FrameType | None) -> None:
    """The first request lets a polling trainer save; a later one, or one to a stage that has nothing to save, ends it at once."""
    global _asked_at
    now, before = time.monotonic(), _asked_at
    if before is not None and now - before < SAME_REQUEST_SECONDS:
        return
    _asked_at = now
    if before is not None or not _polled:
        raise KeyboardInterrupt


def follow_scheduler() -> Callable[[], bool]:
    """Leave, as on a signal, when the scheduler that started this process is gone; returns how to ask whether it lives.

    By hand there is none to follow: always true.
    """
    scheduler, parent = os.environ.get(SCHEDULER, ""), os.getppid()
    if not scheduler.isdecimal():
        return lambda: True

    def lives() -> bool:
        return os.getppid() == parent and _exists(int(scheduler))

    _when_false(lives, _leave)
    return lives


def follow_parent(parent: int) -> None:
    """End this helper process at once when the stage ``parent`` that started it is gone."""
    _when_false(lambda: os.getppid() == parent, lambda: os._exit(1))


def _when_false(holds: Callable[[], bool], act: Callable[[], None]) -> None:
    def watch() -> None:
        while holds():
            time.sleep(LOOK_SECONDS)
        act()

    threading.Thread(target=watch, daemon=True).start()


def _leave() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(INTERRUPTED)


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
