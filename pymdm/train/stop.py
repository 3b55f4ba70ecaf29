"""Ctrl-C and SIGTERM while a run has something to lose: heard, answered after the step, by saving first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stopped(KeyboardInterrupt):
    """A run that was asked to stop and has saved itself.

    Attributes:
        signal: what asked, SIGINT or SIGTERM.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


@contextmanager
def heard_signals(wanted: bool = True) -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list for the time of the block; a second Ctrl-C interrupts at once.

    Nothing changes where signals cannot be caught (not the main thread), are ignored already (as under nohup), or not `wanted`.
    """
    heard: list[int] = []
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield heard
        return

    def note(number: int, frame: Any) -> None:
        again = number == signal.SIGINT and number in heard
        heard.append(number)
        if again:
            raise KeyboardInterrupt

    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    changed = [n for n, old in before.items() if old not in (signal.SIG_IGN, None)]
    for number in changed:
        signal.signal(number, note)
    try:
        yield heard
    finally:
        for number in changed:
            signal.signal(number, before[number])
