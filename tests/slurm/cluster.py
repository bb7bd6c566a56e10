"""A real Slurm of one node on loopback, started and stopped by the tests: munged, slurmctld and slurmd of Debian's slurm-wlm."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ETC = Path("/etc/slurm")  # the executor plugin clears SLURM_*, so that its inner srun looks here and nowhere else
PREFIX = "headcast-slurm-"
FILES = ("slurm.conf", "gres.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "setpriv")
READY_SECONDS, STOP_SECONDS = 30, 15


def missing() -> str:
    """Why no Slurm can be started here; empty when it can."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if absent:
        return f"{', '.join(absent)} not found: apt-get install slurm-wlm munge"
    taken = [str(ETC / name) for name in FILES if os.path.lexists(ETC / name) and not _left_over(ETC / name)]
    return f"{', '.join(taken)} belongs to another Slurm (or to a test that was killed: delete it)" if taken else ""


@dataclass
class Cluster:
    """The running daemons and their folder."""

    folder: Path
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *command: str) -> None:
        """Start a daemon in the foreground; it dies with this process whatever happens to it."""
        with open(self.folder / "log" / f"{Path(command[0]).name}.out", "wb") as log:
            arguments = ["setpriv", "--pdeathsig", "TERM", *command]
            self.daemons.append(subprocess.Popen(arguments, stdout=log, stderr=log, start_new_session=True, env=_environment()))

    def ask(self, *command: str) -> str:
        """What a Slurm command prints."""
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def wait_until_idle(self) -> None:
        """The node has registered with the controller."""
        deadline = time.monotonic() + READY_SECONDS
        while (said := _said("sinfo", "-h", "-p", "gpu", "-o", "%T")) != "idle":
            gone = [daemon.args for daemon in self.daemons if daemon.poll() is not None]
            assert not gone and time.monotonic() < deadline, (gone, said, self.logs())
            time.sleep(0.2)

    def finished(self) -> dict[str, dict[str, str]]:
        """Every job that has ended, by number: the fields of Slurm's own record of it, the last entry where it ended twice."""
        lines = (self.folder / "log/jobs").read_text().splitlines()
        records = [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in lines]
        return {record["JobId"]: record for record in records}

    def logs(self) -> str:
        """The ends of all logs, for a failure's message."""
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in (self.folder / "log").iterdir())

    def stop(self) -> None:
        """Cancel what runs, then end the daemons in reverse order, and what of a job has outlived its shepherd."""
        _said("scancel", "--full", "--user", "root")
        deadline = time.monotonic() + STOP_SECONDS
        while _said("squeue", "-h", "-t", "running,completing") and time.monotonic() < deadline:
            time.sleep(0.2)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for process in left_behind():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def left_behind() -> list[int]:
    """Processes of this cluster's jobs: a requeued job's Snakemake was seen to outlive it, an orphan out of linuxproc's sight."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if b"SLURM_CLUSTER_NAME=headcast" in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start the cluster; whatever happens, end with no daemon, no folder and nothing under /etc."""
    cluster = Cluster(Path(tempfile.mkdtemp(prefix=PREFIX)))
    made = not ETC.exists()
    try:
        _configure(cluster.folder)
        munge = cluster.folder / "munge"
        flags = [f"--{name}-file={munge / name}" for name in ("key", "pid", "log", "seed")]
        cluster.start("munged", "--foreground", "--force", f"--socket={munge / 'socket'}", *flags)
        cluster.start("slurmctld", "-D", "-f", str(cluster.folder / "slurm.conf"))
        cluster.start("slurmd", "-D", "-f", str(cluster.folder / "slurm.conf"))
        cluster.wait_until_idle()
        yield cluster
    finally:
        cluster.stop()
        for name in FILES:
            (ETC / name).unlink(missing_ok=True)
        if made:
            ETC.rmdir()
        shutil.rmtree(cluster.folder, ignore_errors=True)


def _configure(folder: Path) -> None:
    """Write the configuration and link it to where Slurm looks."""
    for name in ("munge", "state", "spool", "log"):
        (folder / name).mkdir(mode=0o755)
    folder.chmod(0o755)
    key = folder / "munge/key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    facts = {"folder": folder, "host": socket.gethostname().split(".")[0], "controller": _free_port(), "daemon": _free_port()}
    ETC.mkdir(exist_ok=True)
    for name in FILES:
        text = (HERE / name).read_text()
        for key_name, value in facts.items():
            text = text.replace(f"{{{key_name}}}", str(value))
        (folder / name).write_text(text)
        (ETC / name).unlink(missing_ok=True)
        (ETC / name).symlink_to(folder / name)


def _left_over(link: Path) -> bool:
    """Whether ``link`` is one of ours into a folder that is gone."""
    return link.is_symlink() and PREFIX in os.readlink(link) and not link.exists()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": _path()}


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False, env=_environment()).stdout.strip()
