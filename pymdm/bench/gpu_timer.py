"""Time on a card, and what the card is, for `pymdm bench gpu`."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

Seconds = dict[str, list[float]]
WAKE_SECONDS = 0.3  # of matrix products before the first timing: an idle card runs at a fraction of its clock
QUEUE_CYCLES = 200_000  # that a card is busy with while the host queues the calls that are timed


class Timer:
    """Seconds of calls, by CUDA events on a card, by the clock on the CPU."""

    def __init__(self, device: torch.device, rounds: int) -> None:
        self.device, self.rounds, self._awake = device, rounds, device.type == "cpu"

    def __call__(self, forms: Mapping[str, Callable[[], Any]], inner: int = 5) -> Seconds:
        """Interleaved rounds of `inner` calls each, after two untimed calls of each form."""
        seconds: Seconds = {name: [] for name in forms}
        for form in forms.values():
            form(), form()
        self._wake()
        for _ in range(self.rounds):
            for name, form in forms.items():
                seconds[name].append(self._once(form, inner) / inner)
        return seconds

    def _wake(self) -> None:
        if self._awake:
            return
        x = torch.randn(4096, 4096, device=self.device, dtype=torch.bfloat16)
        end = time.perf_counter() + WAKE_SECONDS
        while time.perf_counter() < end:
            for _ in range(20):
                x @ x
            torch.cuda.synchronize(self.device)
        self._awake = True

    def _once(self, form: Callable[[], Any], inner: int) -> float:
        if self.device.type == "cpu":
            began = time.perf_counter()
            for _ in range(inner):
                form()
            return time.perf_counter() - began
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(QUEUE_CYCLES)  # else the first call's way to an empty queue would be counted
        start.record()
        for _ in range(inner):
            form()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3


def host_seconds(form: Callable[[], Any], device: torch.device, calls: int = 20) -> float:
    """Host time of queueing one call while the device is busy with those before."""
    wait(device)
    began = time.perf_counter()
    for _ in range(calls):
        form()
    spent = (time.perf_counter() - began) / calls
    wait(device)
    return spent


def wait(device: torch.device) -> None:
    """Waits for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def card(device: torch.device) -> dict[str, Any]:
    """Name, clocks and power as they are found; nothing is set."""
    found: dict[str, Any] = {"card": "none: the kernels are walked on the CPU"}
    if device.type != "cuda":
        return found
    properties = torch.cuda.get_device_properties(device)
    found = {"card": properties.name, "multiprocessors": properties.multi_processor_count, "cuda": torch.version.cuda}
    query = "clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.limit,driver_version"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader", f"--id={device.index}"]
    try:
        words = (
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip().split(", ")
        )
        found |= dict(zip(query.split(","), words, strict=False))
    except (OSError, subprocess.SubprocessError) as error:
        found["clocks"] = f"nvidia-smi: {error}"
    return found


def card_text(found: dict[str, Any]) -> str:
    """`card` in one line."""
    words = [str(found["card"])]
    words += [f"{name} {value}" for name, value in found.items() if name != "card"]
    return ", ".join(words)
