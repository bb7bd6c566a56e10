"""The download through the official client against a local server: complete or an error, resumable, and the link never leaks."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from headcast.capture import download as client
from headcast.capture.download import LINK, download_participants, one_at_a_time, without_link
from headcast.config import Extraction
from headcast.errors import AssetMissing, BadFile, CaptureError, HeadcastError
from headcast.stages.download import Inputs, run

from .test_nersemble import SERIALS, capture_template, copied_sequence, copied_subject

__all__ = ["capture_template"]
CANARY = "s3cr3t-canary"
VIDEO = "cam_222200037.mp4"


class Server:
    """Serves a data set under a secret prefix; paths that contain a key of ``faults`` misbehave as its value says."""

    def __init__(self, folder: Path) -> None:
        self.faults: dict[str, str] = {}
        self.served: list[str] = []
        outer = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *arguments: object) -> None:
                super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

            def do_GET(self) -> None:
                if not self._strip():
                    return
                fault = next((value for key, value in outer.faults.items() if key in self.path), "")
                outer.served.append(self.path.lstrip("/"))
                data = (folder / self.path.lstrip("/")).read_bytes() if (folder / self.path.lstrip("/")).is_file() else b""
                if fault == "404" or not data:
                    self.send_error(404)
                elif fault == "page":
                    self._answer(b"<html>please log in</html>")
                elif fault:
                    outer.faults = {key: value for key, value in outer.faults.items() if value != "cut once"}
                    self._partial(data, promise=fault != "short", wait=fault == "stall")
                else:
                    super().do_GET()

            def do_HEAD(self) -> None:
                if self._strip():
                    super().do_HEAD()

            def _strip(self) -> bool:
                if not self.path.startswith(f"/{CANARY}/"):
                    self.send_error(403)
                    return False
                self.path = self.path.removeprefix(f"/{CANARY}")
                return True

            def _answer(self, data: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _partial(self, data: bytes, promise: bool, wait: bool) -> None:
                self.send_response(200)
                if promise:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                if wait:
                    time.sleep(3)
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._listener.serve_forever, daemon=True).start()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._listener.server_address[1]}"

    @property
    def link(self) -> str:
        return f"{self.root}/{CANARY}"

    def stop(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()


@pytest.fixture(scope="module")
def served(capture_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two participants with two sequences each, and the tables of the data set."""
    root = tmp_path_factory.mktemp("served")
    for subject in ("001", "017"):
        copied_subject(capture_template, root, subject)
        copied_sequence(root / subject, "HAIR", "EMO-1-shout+laugh")
    (root / "metadata_participants.csv").write_text("ID,gender\n1,f\n17,m\n")
    (root / "metadata_sequences.csv").write_text("ID,BACKGROUND,HAIR,EMO-1-shout+laugh,FREE\n1,x,x,x,\n17,x,x,m,\n")
    return root


@pytest.fixture
def server(served: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    running = Server(served)
    monkeypatch.setenv(LINK, running.link)
    yield running
    running.stop()


def fetch(root: Path, subject: str = "001", sequence: str = "HAIR") -> Path:
    inputs = Inputs(subject, sequence, root, "nersemble", root / f"download_{subject}_{sequence}.json")
    return run(inputs, Extraction(cameras=SERIALS), lambda *_: None)


def test_a_missing_participant_is_fetched_and_listed(server: Server, tmp_path: Path) -> None:
    manifest = fetch(tmp_path)
    assert "001/sequences/HAIR/images/cam_222200037.mp4" in manifest.read_text()


def test_lists_of_participants_sequences_and_cameras_are_fetched_and_nothing_else(server: Server, tmp_path: Path) -> None:
    download_participants(tmp_path, ["001", "017"], ["HAIR", "EMO-1-shout+laugh"], SERIALS[:2])
    videos = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.mp4")}
    assert videos == {
        f"{subject}/sequences/{sequence}/images/cam_{serial}.mp4"
        for subject in ("001", "017")
        for sequence in ("HAIR", "EMO-1-shout+laugh")
        for serial in SERIALS[:2]
    }
    assert {path.name for path in tmp_path.glob("*/sequences/BACKGROUND/*")} == {f"image_{serial}.jpg" for serial in SERIALS[:2]}


def test_without_a_link_it_says_what_to_obtain_and_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LINK, raising=False)
    with pytest.raises(AssetMissing, match="request access") as caught:
        fetch(tmp_path)
    assert str(tmp_path / "001") in str(caught.value)


@pytest.mark.parametrize("broken", [VIDEO, "camera_params.json", "image_222200039.jpg"])
@pytest.mark.parametrize("fault", ["404", "cut", "short"])
def test_a_file_that_does_not_arrive_whole_is_an_error_and_the_next_run_mends_it(
    broken: str, fault: str, server: Server, tmp_path: Path
) -> None:
    server.faults = {broken: fault}
    with pytest.raises(HeadcastError) as caught:
        fetch(tmp_path)
    assert isinstance(caught.value, BadFile)
    assert not list(tmp_path.glob("download_*"))
    server.faults, server.served = {}, []
    assert fetch(tmp_path).exists()
    assert [name for name in server.served if not name.endswith(".csv")] == [name for name in server.served if broken in name], (
        "only the broken file is fetched again"
    )


def test_a_connection_that_is_cut_once_is_mended_within_the_next_run_only(server: Server, tmp_path: Path) -> None:
    server.faults = {VIDEO: "cut once"}
    with pytest.raises(BadFile, match=r"check NERSEMBLE_DATA_URL and the network.*goes on where it was"):
        fetch(tmp_path)
    assert fetch(tmp_path).exists()


def test_a_server_that_falls_silent_is_left_after_a_while(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT_S", 0.5)
    server.faults = {VIDEO: "stall"}
    began = time.monotonic()
    with pytest.raises(BadFile):
        download_participants(tmp_path, ["001"], ["HAIR"], SERIALS)
    assert time.monotonic() - began < 60


def test_a_log_in_page_in_place_of_a_video_is_an_error(server: Server, tmp_path: Path) -> None:
    server.faults = {VIDEO: "page"}
    with pytest.raises(BadFile, match=r"cam_222200037\.mp4"):
        fetch(tmp_path)


@pytest.mark.parametrize("link", ["{root}/wr0ng-canary", "http://127.0.0.1:9/wr0ng-canary", "no link at all, wr0ng-canary"])
def test_a_wrong_link_is_one_line_without_the_link(
    link: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LINK, link.format(root=server.root))
    with pytest.raises(BadFile, match="check NERSEMBLE_DATA_URL") as caught:
        fetch(tmp_path)
    assert "wr0ng-canary" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_log_in_page_in_place_of_the_tables_is_one_line(server: Server, tmp_path: Path) -> None:
    server.faults = {"metadata": "page"}
    with pytest.raises(BadFile, match="check NERSEMBLE_DATA_URL"):
        fetch(tmp_path)


def test_a_cut_file_on_disk_is_fetched_again_where_there_is_a_link(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(tmp_path)
    video = tmp_path / "001/sequences/HAIR/images" / VIDEO
    whole = video.read_bytes()
    video.write_bytes(whole[: len(whole) // 2])
    monkeypatch.delenv(LINK)
    with pytest.raises(BadFile, match=VIDEO):
        fetch(tmp_path)
    monkeypatch.setenv(LINK, server.link)
    fetch(tmp_path)
    assert video.read_bytes() == whole


def test_a_plate_that_is_cut_behind_its_header_is_noticed(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(tmp_path)
    plate = tmp_path / "001/sequences/BACKGROUND/image_222200039.jpg"
    plate.write_bytes(plate.read_bytes()[:-900])
    monkeypatch.delenv(LINK)
    with pytest.raises(BadFile, match=r"image_222200039\.jpg"):
        fetch(tmp_path)


def test_what_the_tables_do_not_list_is_said(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"participant 001 has no sequence FREE; it has .*HAIR"):
        fetch(tmp_path, sequence="FREE")
    with pytest.raises(HeadcastError, match="258"):
        fetch(tmp_path, subject="258")


def test_a_table_that_was_cut_is_fetched_again(server: Server, tmp_path: Path) -> None:
    fetch(tmp_path, subject="017")
    (tmp_path / "metadata_sequences.csv").write_text("ID,BACKGROUND,HAIR\n1,x,x\n")
    assert fetch(tmp_path, subject="017").exists()


def test_parallel_jobs_of_one_participant_do_not_write_the_same_files(server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda sequence: fetch(tmp_path, sequence=sequence), ["HAIR", "EMO-1-shout+laugh"]))
    assert all(path.exists() for path in done)
    plates = [name for name in server.served if "BACKGROUND" in name]
    assert len(plates) == len(set(plates)) == len(SERIALS)


def test_a_data_folder_is_held_by_one(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with one_at_a_time(tmp_path):
            order.append("second")

    with one_at_a_time(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize(
    "said",
    [
        "Downloading file from {link}/001/x.mp4",
        "HTTPConnectionPool(host='127.0.0.1', port=80): Max retries exceeded with url: /s3cr3t-canary/data/metadata_sequences.csv",
        "No such host: user:t0ken@127.0.0.1",
        "quoted: %2Fs3cr3t-canary%2Fdata",
    ],
)
def test_no_part_of_the_link_survives(said: str) -> None:
    link = "http://user:t0ken@127.0.0.1/s3cr3t-canary/data"
    cleaned = without_link(said.format(link=link), link)
    assert CANARY not in cleaned and "t0ken" not in cleaned


@pytest.mark.parametrize("fault", ["", "404", "cut", "stopped"])
def test_the_link_appears_in_no_file_log_or_message(
    fault: str, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    fetch(tmp_path)
    if fault:
        (tmp_path / "001/sequences/HAIR/images" / VIDEO).write_bytes(b"short")
        server.faults = {VIDEO: fault}
        if fault == "stopped":
            server.stop()
        with pytest.raises(BadFile) as caught:
            fetch(tmp_path)
        assert CANARY not in str(caught.value)
    said = capfd.readouterr()
    assert CANARY not in caplog.text + said.out + said.err
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


def test_downloads_of_a_participant_wait_for_each_other_and_for_a_client_that_outlives_its_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LINK, "http://127.0.0.1:9")
    monkeypatch.setattr(
        "headcast.capture.download.CLIENT", "import pathlib, sys, time; pathlib.Path(sys.argv[3], 'up').touch(); time.sleep(60)"
    )
    stage = multiprocessing.get_context("fork").Process(target=download_participants, args=(tmp_path, ["001"], ["HAIR"], None))
    stage.start()
    while not (tmp_path / "up").exists():
        assert stage.is_alive()
        time.sleep(0.02)
    fetching = psutil.Process(stage.pid).children()[0]
    stage.kill()
    stage.join()
    lock = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fetching.kill()
        fcntl.flock(lock, fcntl.LOCK_EX)
    finally:
        os.close(lock)
