"""Damaged files of every kind: read, or refused in one line; no crash, no hang, no gigabytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "helpers" / "hostile_files.py"
PART = 5_000  # cases of one process


def fuzz(count: int, seed: int) -> None:
    for first in range(0, count, PART):
        command = [sys.executable, PROGRAM, str(min(PART, count - first)), str(seed), str(first)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"return code {done.returncode}, {done.stdout[-3000:]}, last: {done.stderr[-300:]}"


def test_two_thousand_damaged_files():
    fuzz(2_000, int(os.environ.get("PYMDM_RESEED", 0)))


@pytest.mark.slow
def test_many_damaged_files():
    fuzz(int(os.environ.get("PYMDM_FUZZ", 100_000)), int(os.environ.get("PYMDM_RESEED", 1)))
