"""Escapes control characters in text of others, such as samples and names of files and tensors, before a terminal shows it."""

from __future__ import annotations

import sys
import unicodedata
from typing import TextIO

KEPT = "\n\t"


def harmless(text: str, kept: str = KEPT) -> str:
    r"""A text with its control characters written as escapes, those too that turn the direction of writing.

    Args:
        text: of others.
        kept: control characters that stay.

    Example:
        >>> harmless("a\x1b[31mb\u202ec\n")
        'a\\x1b[31mb\\u202ec\n'
    """
    if text.isprintable():
        return text
    return "".join(c if c in kept or not _commands(c) else ascii(c)[1:-1] for c in text)


def _commands(c: str) -> bool:
    """Controls (Cc), formats (Cf) other than joiners of letters, and halves of surrogate pairs (Cs)."""
    return unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\u200c\u200d\u00ad"


def say(text: str, stream: TextIO | None = None) -> None:
    """Prints a text of others: as it is into a file or pipe, harmless on a terminal."""
    to = sys.stdout if stream is None else stream
    print(harmless(text) if to.isatty() else text, file=to)


def one_line(message: str) -> str:
    """A message as one harmless line.

    Example:
        >>> one_line("no tensor a\\x1b[2J\\n of that name")
        'no tensor a\\\\x1b[2J of that name'
    """
    return harmless(" ".join(message.split()), kept="")
