"""The terminal that reports are printed on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

FILE_WIDTH = 160  # columns where the output is no terminal


def console(stderr: bool = False) -> Console:
    """A console as wide as the terminal, or 160 columns in a file or a pipe."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else FILE_WIDTH, highlight=False, soft_wrap=False)
