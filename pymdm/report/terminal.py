"""The terminal that reports are printed on."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

FILE_WIDTH = 160  # columns where the output is no terminal


def console(stderr: bool = False) -> Console:
    """A console as wide as the terminal; in a file or a pipe of the columns that COLUMNS says, or 160."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    said = os.environ.get("COLUMNS", "")
    width = int(said) if said.isdigit() and int(said) > 0 else FILE_WIDTH
    return Console(stderr=stderr, width=None if stream.isatty() else width, highlight=False, soft_wrap=False)
