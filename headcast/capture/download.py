"""Bring a NeRSemble participant through its official client, and believe nothing that was not checked.

The client (``nersemble-data``, Apache-2.0) prompts on standard input and swallows HTTP errors; the link is a credential.
"""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headcast.capture.nersemble import ACCESS
from headcast.errors import AssetMissing, BadFile

LINK = "NERSEMBLE_DATA_URL"
CLIENT = """
import os, pathlib, sys
from headcast.signals import follow_parent
from nersemble_data.scripts.manage_data import download
follow_parent(os.getppid())
root, participant, sequence, cameras = sys.argv[1:]
download(pathlib.Path(root), participant=participant, sequence=sequence, camera=cameras)
"""
logger = logging.getLogger(__name__)


def download_participant(root: Path, subject: str, sequence: str, cameras: list[str] | None) -> None:
    """Fetch one sequence with plates and calibration into ``root``; files that are complete are skipped by the client.

    ``AssetMissing`` without a link in the environment; ``BadFile`` when the client fails. The link never reaches a log.
    """
    link = os.environ.get(LINK, "").strip()
    if not link:
        raise AssetMissing(root / subject, f"the raw capture of {subject}/{sequence} is not there", ACCESS)
    arguments = [str(root), str(int(subject)), sequence, ",".join(cameras) if cameras else "all"]
    command = [sys.executable, "-c", CLIENT, *arguments]
    with _alone(root, subject) as lock:
        done = subprocess.run(command, input="y\n", capture_output=True, text=True, check=False, pass_fds=(lock,))
    said = (done.stdout + done.stderr).replace(link, "<link>")
    logger.info("nersemble-data said:\n%s", said)
    if done.returncode != 0:
        last = said.strip().splitlines()[-1] if said.strip() else "nothing"
        raise BadFile(
            root / subject,
            f"the download client failed ({last[:200]})",
            f"check {LINK} and the network, then run the same command again",
        )
    if "error occurred" in said:
        wrong = next(line for line in said.splitlines() if "error occurred" in line)
        raise BadFile(
            root / subject,
            f"the download is incomplete ({wrong.strip()[:200]})",
            f"check {LINK} and the network, then run the same command again",
        )


@contextmanager
def _alone(root: Path, subject: str) -> Iterator[int]:
    """Wait for other downloads of the participant, whose sequences share plates and calibration.

    Yields the descriptor of the lock; a client that inherits it keeps the lock until it ends, even when its stage is killed.
    """
    root.mkdir(parents=True, exist_ok=True)
    with open(root / f".{subject}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()
