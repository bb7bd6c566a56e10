#!/usr/bin/env python3
"""End jobs."""

import subprocess
import sys

from systems import cancel_command

if __name__ == "__main__":
    sys.exit(subprocess.run(cancel_command(sys.argv[1:]), check=False).returncode)
