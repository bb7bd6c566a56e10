"""How each batch system is asked to run a job, how the job fares, and how to stop it; the standard library is enough."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

SYSTEM = os.environ.get("HEADCAST_BATCH", "sge")  # ← sge, pbs or lsf (PBS Pro, OpenPBS; Slurm has a profile of its own)
QUEUE: list[str] = []  # ← e.g. ["-q", "long"]; a project or account goes here too
# ← SGE sites name things themselves: the parallel environment with all slots on one host, how memory is booked (h_vmem would limit
# the address space, which CUDA exceeds by far; {slot_mb} is the share of one slot), how GPUs are booked.
SGE = {"slots": "smp", "memory": "mem_free={mem_mb}M", "gpu": "gpu={gpu}"}
LOGS = Path(".snakemake/cluster_logs")
TRIES, PAUSE = 4, 5.0  # s, longer every time: accounting may lag behind the end of a job


@dataclass(frozen=True)
class Job:
    """What a rule asks for: memory in MB of all threads together, time in minutes."""

    rule: str
    threads: int
    mem_mb: int
    runtime: int
    gpu: int

    @classmethod
    def read(cls, script: Path) -> Job:
        """The properties that Snakemake writes into the second line or so of a job script."""
        text = script.read_text(encoding="utf-8")
        found = re.search(r"^# properties = (\{.*\})$", text, re.M)
        if found is None:
            raise SystemExit(f"headcast: {script}: has no properties; it is not a job script of Snakemake")
        properties = json.loads(found[1])
        wanted = properties["resources"]
        name = properties.get("rule") or properties.get("groupid", "group")
        return cls(name, properties["threads"], wanted["mem_mb"], wanted["runtime"], wanted.get("gpu", 0))


def hand_on(script: Path, names: tuple[str, ...] = ("PATH", "HEADCAST_GPU")) -> None:
    """Let the job find the Python that Snakemake was started beside: a login shell on the node may set another PATH."""
    first, rest = script.read_text(encoding="utf-8").split("\n", 1)
    exports = [f"export {name}={shlex.quote(os.environ[name])}" for name in names if name in os.environ]
    script.write_text("\n".join([first, *exports, rest]), encoding="utf-8")


def submit_command(job: Job, script: Path, system: str = SYSTEM) -> list[str]:
    """The command that queues ``script`` with what ``job`` asks for."""
    name, log = f"headcast-{job.rule}", str(LOGS)
    if system == "sge":
        memory = SGE["memory"].format(mem_mb=job.mem_mb, slot_mb=-(-job.mem_mb // job.threads))
        wanted = [memory, f"h_rt={job.runtime * 60}"] + [SGE["gpu"].format(gpu=job.gpu)] * (job.gpu > 0)
        flags = ["-terse", "-V", "-cwd", "-j", "y", "-r", "y", "-o", log, "-N", name, "-pe", SGE["slots"], str(job.threads)]
        return ["qsub", *flags, "-l", ",".join(wanted), *QUEUE, str(script)]
    if system == "pbs":
        chunk = f"select=1:ncpus={job.threads}:mem={job.mem_mb}mb" + f":ngpus={job.gpu}" * (job.gpu > 0)
        flags = ["-V", "-j", "oe", "-r", "y", "-o", f"{log}/", "-N", name[:15], "-l", chunk, "-l", f"walltime={job.runtime * 60}"]
        return ["qsub", *flags, *QUEUE, str(script)]
    if system == "lsf":
        flags = ["-J", name, "-r", "-o", f"{log}/%J.log", "-n", str(job.threads), "-R", "span[hosts=1]"]
        flags += ["-M", f"{job.mem_mb}MB", "-R", f"rusage[mem={job.mem_mb}MB]", "-W", str(job.runtime)]
        flags += ["-gpu", f"num={job.gpu}"] * (job.gpu > 0)
        return ["bsub", *flags, *QUEUE, str(script)]
    raise SystemExit(f"headcast: profiles/cluster-generic/systems.py: SYSTEM is {system!r}; set it to sge, pbs or lsf")


def job_number(said: str, system: str = SYSTEM) -> str:
    """The job's number in what the submission printed."""
    pattern = {"sge": r"^(\d+)\s*$", "pbs": r"^(\d+\S*)\s*$", "lsf": r"^Job <(\d+)>"}[system]
    found = re.search(pattern, said, re.M)
    if found is None:
        raise SystemExit(f"headcast: {system}: no job number in {said!r}")
    return found[1]


def status(number: str, system: str = SYSTEM) -> str:
    """``running`` (queued, too), ``success`` or ``failed``; a job that the system no longer knows of has failed."""
    ask = {"sge": _sge, "pbs": _pbs, "lsf": _lsf}[system]
    for attempt in range(TRIES):
        answer = ask(number)
        if answer is not None:
            return answer
        time.sleep(PAUSE * (attempt + 1))
    return "failed"


def cancel_command(numbers: list[str], system: str = SYSTEM) -> list[str]:
    """The command that ends jobs; they get SIGTERM first and save their state."""
    return ["bkill" if system == "lsf" else "qdel", *numbers]


def _sge(number: str) -> str | None:
    if _answer("qstat", "-j", number) is not None:
        return "running"
    account = _answer("qacct", "-j", number)
    return None if account is None else _ended(_field(account, r"^failed\s+(\d+)") or _field(account, r"^exit_status\s+(\d+)"))


def _pbs(number: str) -> str | None:
    job = _answer("qstat", "-x", "-f", number)
    if job is None:
        return None
    return _ended(_field(job, r"Exit_status = (-?\d+)")) if "job_state = F" in job else "running"


def _lsf(number: str) -> str | None:
    state = _answer("bjobs", "-noheader", "-o", "stat", number)
    if not state:
        return None
    return {"DONE": "success", "EXIT": "failed"}.get(state.strip(), "running")


def _ended(code: int) -> str:
    return "failed" if code else "success"


def _field(text: str, pattern: str) -> int:
    found = re.search(pattern, text, re.M)
    return int(found[1]) if found else 1


def _answer(*command: str) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None
