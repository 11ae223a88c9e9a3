"""Tests that run in the lab alone (see tests/lab/test_lab.py); elsewhere they are not even looked at."""

from pathlib import Path

INSIDE = " lab.root=" in Path("/proc/cmdline").read_text()
collect_ignore_glob = [] if INSIDE else ["test_*"]
