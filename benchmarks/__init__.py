"""Runs that measure or break the whole system; each prints a report and its exit status is its verdict."""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # as the workers have it: before numpy is loaded
