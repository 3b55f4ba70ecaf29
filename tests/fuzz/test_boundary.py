"""Hostile arguments to `pymdm._C`: an error of Python, never the end of the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "helpers" / "hostile_calls.py"


def fuzz(count: int, seed: int) -> None:
    done = subprocess.run([sys.executable, PROGRAM, str(count), str(seed)], capture_output=True, text=True)
    assert done.returncode == 0, f"seed {seed}, return code {done.returncode}, last: {done.stderr[-300:]}"
    assert int(done.stdout.split()[0]) > 40  # functions that were found


def test_two_thousand_hostile_calls():
    fuzz(2_000, int(os.environ.get("PYMDM_RESEED", 0)))


@pytest.mark.slow
def test_many_hostile_calls():
    fuzz(int(os.environ.get("PYMDM_FUZZ", 100_000)), int(os.environ.get("PYMDM_RESEED", 1)))
