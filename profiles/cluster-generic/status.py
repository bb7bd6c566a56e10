#!/usr/bin/env python3
"""Print how a job fares: running, success or failed."""

import sys

from systems import status

if __name__ == "__main__":
    print(status(sys.argv[1]))
