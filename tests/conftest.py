"""Fixtures shared by the tests. `--reseed` draws new seeds for statistical tests, prints them, and new Hypothesis examples.

The same can be asked with PYMDM_RESEED=1 in the environment, or a given seed repeated with PYMDM_RESEED=<seed>.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest
from hypothesis import settings

from pymdm.prove.plan import root_seed


def pytest_addoption(parser: Any) -> None:
    parser.addoption("--reseed", action="store_true", default=False, help="draw new seeds for the statistical tests")


def pytest_configure(config: Any) -> None:
    os.environ.pop("COLUMNS", None)  # pytest-xdist gives its own terminal's to the workers
    # A shell's background jobs ignore SIGINT, and so would every process that a test starts and interrupts.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    reseed = config.getoption("--reseed")
    # Without --reseed one tree has one result: Hypothesis derives its examples from the test's own source.
    settings.register_profile("pymdm", derandomize=not reseed)
    settings.load_profile("pymdm")
    if reseed:
        root_seed(reseed=True)  # sets PYMDM_RESEED, which workers inherit


@pytest.fixture(scope="session")
def proof_seed() -> int:
    """Root seed of the statistical tests of this run."""
    return root_seed()
