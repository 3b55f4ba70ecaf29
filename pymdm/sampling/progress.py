"""The bar of `pymdm.sample(progress=True)`: of rich on a terminal, a rewritten line in a notebook, else a line a tenth."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

EVERY = 0.1  # seconds between refreshes
Watch = Callable[[Any], None]


@contextmanager
def progress_bar(total: int, stream: TextIO | None = None) -> Iterator[Watch]:
    """A bar over the tokens of a run on stderr; it appears with the first network call.

    Args:
        total: masked positions when the run begins.
        stream: stands for stderr.

    Yields:
        A function for `watch`.

    Example:
        >>> with progress_bar(8, sys.stdout) as watch:
        ...     pass
    """
    to = sys.stderr if stream is None else stream
    show, close = _rich(total) if to.isatty() else _plain(total, to, in_notebook())
    seen = 0.0

    def watch(state: Any) -> None:
        nonlocal seen
        done, now = total - int(state.remaining.sum()), time.perf_counter()
        if done >= total or now - seen >= EVERY:
            seen = now
            show(done, int(state.calls))

    try:
        yield watch
    finally:
        close()


def beside(bar: Watch, watch: Any) -> Watch:
    """One function that calls the bar, and shows a `C.Watch` the state when that is due."""

    def told(state: Any) -> None:
        bar(state)
        if watch.due():
            watch.show(state)

    return told


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def _rich(total: int) -> tuple[Callable[[int, int], None], Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    counted = TextColumn("tokens, {task.fields[calls]} network calls")
    columns = (TextColumn("sampling"), BarColumn(), MofNCompleteColumn(), counted, TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("sampling", total=total, calls=0)

    def show(done: int, calls: int) -> None:
        bar.start()  # bad input has been reported by then
        bar.update(task, completed=done, calls=calls)

    def close() -> None:
        if bar.live.is_started:
            bar.stop()

    return show, close


def _plain(total: int, to: TextIO, rewrite: bool) -> tuple[Callable[[int, int], None], Callable[[], None]]:
    begun, tenths = time.perf_counter(), 0

    def show(done: int, calls: int) -> None:
        nonlocal tenths
        share = done / max(total, 1)
        if not rewrite and int(10 * share) <= tenths:
            return
        tenths = int(10 * share)
        filled = round(20 * share)
        line = f"{'#' * filled}{'.' * (20 - filled)} {done:,} of {total:,} tokens, {calls:,} network calls"
        to.write(("\r" if rewrite else "") + f"{line}, {time.perf_counter() - begun:.1f} s" + ("" if rewrite else "\n"))
        to.flush()

    def close() -> None:
        if rewrite:
            to.write("\n")
            to.flush()

    return show, close
