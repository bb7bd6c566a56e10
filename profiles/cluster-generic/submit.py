#!/usr/bin/env python3
"""Queue a job script of Snakemake and print the job's number."""

import subprocess
import sys
from pathlib import Path

from systems import LOGS, Job, hand_on, job_number, submit_command

if __name__ == "__main__":
    script = Path(sys.argv[1])
    LOGS.mkdir(parents=True, exist_ok=True)
    hand_on(script)
    command = submit_command(Job.read(script), script)
    print(job_number(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
