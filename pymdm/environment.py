"""What a measurement ran on: processor, threads, versions, commit."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

import pymdm
from pymdm._native import C


def environment() -> dict[str, Any]:
    """The record that every result carries."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "processor": processor(),
        "features": [name for name, present in C.cpu_features().items() if present],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pymdm": pymdm.__version__,
        "commit": commit(),
    }


class OtherWork:
    """Share of all processors that other processes used since it was made; the ratios suffer from it.

    torch's threads wait for one another, so that one which is kept from its processor holds up all of them.
    """

    def __init__(self) -> None:
        self.start = self._seconds()

    def share(self) -> float | None:
        """The share, in [0, 1]; None on a system that does not tell."""
        now = self._seconds()
        if now is None or self.start is None or now[0] <= self.start[0]:
            return None
        total, idle, own = (b - a for a, b in zip(self.start, now, strict=True))
        return round(min(max((total - idle - own) / total, 0.0), 1.0), 3)

    @staticmethod
    def _seconds() -> tuple[float, float, float] | None:
        """Processor seconds so far: of all processors, idle among them, and of this process with its children."""
        try:
            with open("/proc/stat") as lines:
                ticks = [int(word) for word in lines.readline().split()[1:9]]  # guest time is in user time
        except (OSError, ValueError):
            return None
        unit, own = os.sysconf("SC_CLK_TCK"), os.times()
        return sum(ticks) / unit, (ticks[3] + ticks[4]) / unit, sum(own[:4])


def processor() -> str:
    """Model name, with family and model where they are told apart only by these (AMD EPYC, family 25, model 17)."""
    facts: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                name, colon, value = line.partition(":")
                if colon:
                    facts.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    name = facts.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in facts and "model" in facts:
        name += f", family {facts['cpu family']}, model {facts['model']}"
    return name


def commit() -> str | None:
    """Short commit of the tree that this package runs from, with + where files differ from it; None if not in one.

    PYMDM_COMMIT in the environment names it where the tree is a copy without its repository.
    """
    if os.environ.get("PYMDM_COMMIT"):
        return os.environ["PYMDM_COMMIT"]
    folder = Path(pymdm.__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # an environment inside somebody's tree is not that tree
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/pymdm", ":/bench", ":/csrc")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
