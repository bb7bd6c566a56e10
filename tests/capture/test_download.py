"""The download through the official client against a local server: completeness is checked, the link never leaks."""

from __future__ import annotations

import fcntl
import multiprocessing
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from headcast.capture.download import LINK, download_participant
from headcast.config import Extraction
from headcast.errors import AssetMissing, BadFile, HeadcastError
from headcast.stages.download import Inputs, run

from .test_nersemble import SERIALS, capture_template

__all__ = ["capture_template"]
CANARY = "s3cr3t-canary"


class Handler(SimpleHTTPRequestHandler):
    """Serves the layout under a secret prefix; some paths misbehave."""

    broken: str = ""
    metadata = {
        "metadata_participants.csv": "ID\n1\n",
        "metadata_sequences.csv": "ID,BACKGROUND,HAIR\n1,x,x\n",
    }

    def do_GET(self) -> None:
        self.path = self.path.removeprefix(f"/{CANARY}")
        if self.broken and self.broken in self.path:
            self.send_error(404)
            return
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(capture_template: Path) -> Iterator[str]:
    for name, text in Handler.metadata.items():
        (capture_template / name).write_text(text)
    listener = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(capture_template)))
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listener.server_address[1]}/{CANARY}"
    listener.shutdown()
    Handler.broken = ""


def fetch(root: Path) -> Path:
    inputs = Inputs("001", "HAIR", root, "nersemble", root / "download" / "manifest.json")
    return run(inputs, Extraction(cameras=SERIALS), lambda *_: None)


def test_a_missing_participant_is_fetched_and_listed(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LINK, server)
    manifest = fetch(tmp_path)
    assert "001/sequences/HAIR/images/cam_222200037.mp4" in manifest.read_text()


def test_without_a_link_it_says_what_to_obtain_and_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LINK, raising=False)
    with pytest.raises(AssetMissing, match="request access") as caught:
        fetch(tmp_path)
    assert str(tmp_path / "001") in str(caught.value)


@pytest.mark.parametrize("broken", ["cam_222200037.mp4", "camera_params.json", "image_222200039.jpg"])
def test_a_file_that_the_server_does_not_have_is_an_error_not_a_gap(
    broken: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LINK, server)
    Handler.broken = broken
    with pytest.raises(HeadcastError) as caught:
        fetch(tmp_path)
    assert isinstance(caught.value, BadFile)


def test_the_link_appears_nowhere(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(LINK, server)
    caplog.set_level("DEBUG")
    fetch(tmp_path / "good")
    Handler.broken = "cam_222200037.mp4"
    with pytest.raises(BadFile) as caught:
        download_participant(tmp_path / "bad", "001", "HAIR", SERIALS)
    assert CANARY not in caplog.text + str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


def test_downloads_of_a_participant_wait_for_each_other_and_for_a_client_that_outlives_its_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LINK, "http://127.0.0.1:9")
    monkeypatch.setattr(
        "headcast.capture.download.CLIENT", "import pathlib, sys, time; pathlib.Path(sys.argv[1], 'up').touch(); time.sleep(60)"
    )
    stage = multiprocessing.get_context("fork").Process(target=download_participant, args=(tmp_path, "001", "HAIR", None))
    stage.start()
    while not (tmp_path / "up").exists():
        assert stage.is_alive()
        time.sleep(0.02)
    client = psutil.Process(stage.pid).children()[0]
    stage.kill()
    stage.join()
    with open(tmp_path / ".001.lock", "w") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        client.kill()
        fcntl.flock(lock, fcntl.LOCK_EX)
