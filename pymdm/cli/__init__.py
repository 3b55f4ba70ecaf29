"""The `pymdm` command: one file a subcommand. This one imports nothing of weight, so that Ctrl-C is heard from the start."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any

INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Entry point of the `pymdm` command; bad options are one line and exit code 2, Ctrl-C is one line and 130."""
    heard = False

    def interrupt(number: int, frame: Any) -> None:
        nonlocal heard
        heard = True
        signal.default_int_handler(number, frame)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
        sys.unraisablehook = _unraisable
    try:
        from pymdm.cli.app import run
        from pymdm.cli.output import guarded

        code = guarded(run)
    except BaseException:  # what an import makes of an interrupt is any exception
        if not heard:
            raise
        _leave()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said and done
    sys.exit(code)


def _unraisable(unraisable: Any) -> None:
    """An interrupt where Python cannot raise, as in the end of an object, is not lost."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        _leave()
    sys.__unraisablehook__(unraisable)


def _leave() -> None:
    """Leaves at once: what is half imported may not be able to end in order."""
    with contextlib.suppress(OSError, ValueError):
        print(end="", flush=True)
        print("pymdm: interrupted", file=sys.stderr, flush=True)
    os._exit(INTERRUPTED)
