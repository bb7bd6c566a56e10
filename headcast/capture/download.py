"""Bring NeRSemble participants through their official client, and believe nothing that was not checked.

The client (``nersemble-data``, Apache-2.0) prompts on standard input, swallows HTTP errors and has no timeout; the link is a
credential. What is complete is skipped, what is short is fetched again: the same call goes on after an interruption.
"""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

from headcast.capture.raw import ACCESS
from headcast.errors import AssetMissing, BadFile

LINK = "NERSEMBLE_DATA_URL"
WORKERS = 4
TIMEOUT_S = 60.0
LEAST_SECRET = 4  # characters; shorter parts of the link are words that occur anywhere
CLIENT = """
import os, pathlib, socket, sys
from headcast.process.signals import follow_parent
socket.setdefaulttimeout(float(sys.argv[1]))
from nersemble_data.scripts.manage_data import download
follow_parent(os.getppid())
timeout, workers, root, participants, sequences, cameras = sys.argv[1:]
download(pathlib.Path(root), participant=participants, sequence=sequences, camera=cameras, n_workers=int(workers))
"""
AGAIN = f"check {LINK} and the network, then run the same command again: it goes on where it was"
logger = logging.getLogger(__name__)


def has_link() -> bool:
    """Whether the environment holds a link to download with."""
    return bool(os.environ.get(LINK, "").strip())


def download_participants(root: Path, participants: Sequence[str], sequences: Sequence[str], cameras: Sequence[str] | None) -> None:
    """Fetch sequences of participants with plates and calibration into ``root``; one download at a time works on a ``root``.

    ``AssetMissing`` without a link in the environment; ``BadFile`` when the client fails or leaves something out. Neither the
    link nor a part of it reaches a log, a file or a message.
    """
    link = os.environ.get(LINK, "").strip()
    if not link:
        raise AssetMissing(root / participants[0], f"the raw capture of {participants[0]}/{sequences[0]} is not there", ACCESS)
    numbers = [str(int(participant)) for participant in participants]
    arguments = [str(TIMEOUT_S), str(WORKERS), str(root), ",".join(numbers), ",".join(sequences), ",".join(cameras or ["all"])]
    command = [sys.executable, "-c", CLIENT, *arguments]
    with one_at_a_time(root) as lock:
        done = subprocess.run(command, input="y\n", capture_output=True, text=True, check=False, pass_fds=(lock,))
    said = without_link(done.stdout + done.stderr, link)
    logger.info("nersemble-data said:\n%s", said)
    where = root / participants[0] if len(participants) == 1 else root
    if done.returncode != 0:
        last = said.strip().splitlines()[-1] if said.strip() else "nothing"
        raise BadFile(where, f"the download client failed ({last[:200]})", AGAIN)
    wrong = next((line for line in said.splitlines() if "error occurred" in line), None)
    if wrong is not None:
        raise BadFile(where, f"the download is incomplete ({wrong.strip()[:200]})", AGAIN)


@contextmanager
def one_at_a_time(root: Path) -> Iterator[int]:
    """Hold a data folder alone: parallel jobs would write the same plates, calibration and tables.

    Yields the descriptor of the lock; a client that inherits it keeps the lock until it ends, even when its stage is killed.
    """
    root.mkdir(parents=True, exist_ok=True)
    lock = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def without_link(text: str, link: str) -> str:
    """The text without the link or any part of it that could be secret: host and path, path alone, each segment, query, user."""
    parts = urlsplit(link)
    pieces = [link, f"{parts.netloc}{parts.path}", parts.path, parts.query, parts.username, parts.password, *parts.path.split("/")]
    secrets = {piece.strip("/") for piece in pieces if piece}
    secrets |= {quote(secret, safe="") for secret in secrets} | {quote(secret) for secret in secrets}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= LEAST_SECRET:
            text = text.replace(secret, "<link>")
    return text
