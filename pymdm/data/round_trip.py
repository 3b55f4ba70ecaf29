"""Measures how much of a text comes back from its tokens; bits per character count no other characters.

A tokenizer may lower-case, drop accents or put one unknown token in the place of words. A model of its tokens then pays
nothing for what was lost, so what was lost may not be counted as text that it has described.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher

PIECE = 512  # characters aligned at a time
REFUSED = 0.5  # share lost above which a tokenizer is none for this text
_WORDS = re.compile(r"\w+|\s|[^\w\s]")


class LostText(UserWarning):
    """A tokenizer does not give back all of a text."""


def kept_characters(text: str, back: str, again: Callable[[str], str]) -> int:
    """Characters of a text that come back from its tokens.

    A word counts where it comes back whole, in its place, a blank only beside such a word.

    Args:
        text: the text.
        back: what came back of it.
        again: the way to tokens and back for a piece of it, called only where something was lost.

    Example:
        >>> kept_characters("The cat sat", "the cat sat", str.lower)
        8
    """
    if back == text:
        return len(text)
    return sum(_common(piece, again(piece)) for piece in _pieces(text))


def _pieces(text: str) -> Iterator[str]:
    """Consecutive pieces of about PIECE characters, cut before a blank where there is one."""
    start = 0
    while start < len(text):
        end = len(text)
        if end - start > PIECE:
            blank = re.compile(r"\s").search(text, start + PIECE // 2, start + PIECE)
            end = blank.start() if blank else start + PIECE
        yield text[start:end]
        start = end


def _common(text: str, back: str) -> int:
    a, b = _WORDS.findall(text), _WORDS.findall(back)
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    runs = [a[m.a : m.a + m.size] for m in blocks]
    return sum(sum(map(len, run)) for run in runs if any(not word.isspace() for word in run))


def lost_share(texts: Sequence[str], kept: int, name: str) -> float:
    """The share of characters that do not come back, in [0, 1], with a warning where there are any.

    Args:
        texts: all of the text.
        kept: characters of it that come back (see `kept_characters`).
        name: of the text.

    Raises:
        ValueError: more than half is lost.
    """
    total = sum(map(len, texts))
    lost = (total - kept) / total if total else 0.0
    if lost > REFUSED:
        raise ValueError(
            f"tokenizer: {percent(lost)} of the characters of {name} do not come back from their tokens; "
            "this tokenizer is not for this text"
        )
    if lost:
        warnings.warn(LostText(lost_words(lost, name)), stacklevel=3)
    return lost


def percent(share: float) -> str:
    """A share in percent, three digits, never rounded to none.

    >>> percent(0.0316), percent(1e-9)
    ('3.16%', 'under 0.01%')
    """
    return f"{100 * share:.3g}%" if share >= 1e-4 else "under 0.01%"


def lost_words(lost: float, name: str) -> str:
    """One sentence on what does not come back."""
    return f"{percent(lost)} of the characters of {name} do not come back from their tokens and are not counted"
