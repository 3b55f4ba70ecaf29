"""Decides what happens where stdout or stderr fails: a reader that has gone, an encoding without a character, a full disk.

| what fails | what happens | exit code |
|---|---|---|
| the reader of stdout has gone (`pymdm info \\| head -1`) | nothing is said | 141, as of a process that SIGPIPE ended |
| stdout cannot be written (full disk) | all output is kept in a temporary file, which one line names | 74, EX_IOERR |
| a file cannot be written (full disk) | one line names it; what was there stays | 74 |
| a character that the encoding lacks | it is written as an escape, like \\u2500 | as without |
| stderr cannot be written | nobody can be told; the work goes on | as without |
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

BROKEN_PIPE, NOT_WRITTEN = 141, 74


class Output:
    """Stands for a text stream: remembers what failed, and, if told to, all that was written.

    Attributes:
        stream: the stream itself.
        keep: remember what is written, and raise where the reader has gone; else failures are ignored.
        failure: the first error that was not a reader who had gone.
        broken: whether the reader has gone.
    """

    def __init__(self, stream: Any, keep: bool) -> None:
        self.stream, self.keep, self.broken = stream, keep, False
        self.failure: OSError | None = None
        self.text: list[str] = []
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write, or note why not."""
        if self.keep and not self.stream.isatty():  # a terminal is never full
            self.text.append(text)
        self._try(self.stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush, or note why not."""
        self._try(self.stream.flush)

    def hush(self) -> None:
        """Let what is still in buffers go nowhere, so that the interpreter's end is quiet."""
        with contextlib.suppress(OSError, ValueError):
            handle = os.open(os.devnull, os.O_WRONLY)
            os.dup2(handle, self.stream.fileno())
            os.close(handle)

    def _try(self, call: Callable[..., Any], *arguments: Any) -> None:
        if self.broken and self.keep:
            raise BrokenPipeError
        if self.failure is not None or self.broken:
            return
        try:
            call(*arguments)
        except BrokenPipeError:
            self.broken = True
            if self.keep:
                raise
        except OSError as error:
            self.failure = error


def guarded(command: Callable[[], int]) -> int:
    """Run a command with stdout and stderr guarded -> the exit code that its own and the table above give."""
    before = sys.stdout, sys.stderr
    out, err = Output(sys.stdout, keep=True), Output(sys.stderr, keep=False)
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    try:
        try:
            code = command()
            out.flush()
        except BrokenPipeError:
            code = BROKEN_PIPE
        except SystemExit as left:  # also how rich and click leave when the reader has gone
            code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
            with contextlib.suppress(BrokenPipeError):
                out.flush()
        if out.broken:
            code = BROKEN_PIPE
        elif out.failure is not None:
            reason = out.failure.strerror or out.failure
            print(f"pymdm: cannot write the output: {reason}; {_kept(''.join(out.text))}", file=err)
            code = NOT_WRITTEN
        err.flush()
        for stream in (out, err):
            if stream.broken or stream.failure is not None:
                stream.hush()
        return code
    finally:
        sys.stdout, sys.stderr = before


def _kept(text: str) -> str:
    """Put the text into a file where one can be written; what to tell of it."""
    for folder in (tempfile.gettempdir(), os.getcwd(), os.path.expanduser("~")):
        with contextlib.suppress(OSError):
            handle, name = tempfile.mkstemp(prefix="pymdm-output-", suffix=".txt", dir=folder)
            try:
                with open(handle, "w", encoding="utf-8", errors="backslashreplace") as f:
                    f.write(text)
                    f.flush()
                    os.fsync(f.fileno())
            except OSError:
                Path(name).unlink()
                raise
            return f"all of it is in {name}"
    return "nor can any other file"
