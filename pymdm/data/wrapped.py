"""Wraps tokenizers of `tokenizers` and `transformers` in one form: text <-> ids, special tokens, frame."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import tokenizers

from pymdm.data.foreign import even_out, guarded, parse_tokenizer
from pymdm.data.tokenizer import MASK_GLYPH, Tokenizer

_UNUSED = re.compile(r"[\[<]unused_?\d+[\]>]")
_ENDS = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>")


class WrappedTokenizer:
    """A tokenizer of someone else's model, in the form that prompts and results use.

    Args:
        tokenizer: a `tokenizers.Tokenizer`, or a tokenizer of `transformers`.
        mask_id: the mask's id; default the tokenizer's own mask token.
        ends: ids after which a text is over; decoded text stops there.

    Attributes:
        size: ids are below it. mask_id: None where the tokenizer has no mask. banned: special tokens but the ends, and
        ids that stand for nothing. frame: ids that the tokenizer puts before and after a text. turn_ends: ids that end a
        turn of a conversation.

    Raises:
        TypeError: something else.

    Example:
        >>> from tokenizers import Tokenizer, models
        >>> words = WrappedTokenizer(Tokenizer(models.WordLevel({"a": 0, "[M]": 1}, "a")), mask_id=1)
        >>> words.decode([0, 1])
        'a░'
    """

    spaced = False  # whether a text's spaces come back exactly

    def __init__(self, tokenizer: Any, mask_id: int | None = None, ends: tuple[int, ...] = ()) -> None:
        inner = getattr(tokenizer, "backend_tokenizer", tokenizer)  # of fast tokenizers of transformers
        fast = isinstance(inner, tokenizers.Tokenizer)
        if not fast and not (hasattr(tokenizer, "convert_ids_to_tokens") and hasattr(tokenizer, "get_vocab")):
            raise TypeError(
                "tokenizer: expected a pymdm.Tokenizer, a tokenizers.Tokenizer or a fast tokenizer of transformers, "
                f"got {type(tokenizer).__name__}"
            )
        self.ends = ends
        own = getattr(tokenizer, "mask_token_id", None)
        named = set(getattr(tokenizer, "all_special_ids", ()))
        if fast:
            name = type(tokenizer).__name__
            text = guarded(f"tokenizer: cannot copy the {name}", inner.to_str)
            tokenizer, _ = parse_tokenizer(text, f"the {name}")
            even_out(tokenizer)
        self._tokenizer, self._fast = tokenizer, fast
        pieces: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True) if fast else tokenizer.get_vocab()
        self._pieces = pieces
        self.size = max(pieces.values(), default=-1) + 1
        if own is None:
            own = next(
                (
                    pieces[t]
                    for t in ("[MASK]", "<mask>", "<|mask|>", "<|mdm_mask|>", "<|MASK|>", "|<MASK>|")
                    if t in pieces
                ),
                None,
            )
        self.mask_id: int | None = mask_id if mask_id is not None else own
        if fast:
            named |= {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        special = {int(i) for i in named}
        if own is None and pieces.get("*") in special:  # AbLang's mask
            own = pieces["*"]
            self.mask_id = own if mask_id is None else mask_id
        unused = set(range(self.size)) - set(pieces.values())
        unused |= {i for piece, i in pieces.items() if _UNUSED.fullmatch(piece)}
        self.turn_ends = frozenset(pieces[t] for t in _ENDS if t in pieces)
        kept = {*ends, *self.turn_ends}
        self.specials = frozenset(special)
        self.banned = tuple(sorted((special | unused) - kept - {self.mask_id}))
        self.frame = self._frame()

    def _frame(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What stands before and after the ids of a text; none where the tokenizer does not put them on both sides."""
        piece = next((i for i in range(self.size) if i not in self.specials and i != self.mask_id), None)
        if piece is None:
            return (), ()
        if self._fast:
            text = str(self._tokenizer.id_to_token(piece))
            whole = guarded("tokenizer: cannot encode", lambda: list(self._tokenizer.encode(text).ids))
        else:
            whole = list(self._tokenizer(str(self._tokenizer.convert_ids_to_tokens(piece)))["input_ids"])
        inner = [n for n, i in enumerate(whole) if i not in self.specials]
        if not inner:
            return (), ()
        return tuple(whole[: inner[0]]), tuple(whole[inner[-1] + 1 :])

    def id_of(self, piece: str) -> int | None:
        """The id of a piece by its own text; None where it is none."""
        return self._pieces.get(piece)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, without the frame; a special token's own text ("[MASK]") becomes its id."""
        if self._fast:
            return guarded("encode", lambda: list(self._tokenizer.encode(text, add_special_tokens=False).ids))
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def decode(self, ids: Iterable[int], start: int = 0) -> str:
        """Text of ids up to the first end of text from `start` on, "░" for each mask, without the frame's tokens.

        Args:
            ids: of a sequence.
            start: ends before it are part of the text, such as those of the turns of a conversation that was given.

        Raises:
            ValueError: an id outside 0..size-1 that is not the mask.
        """
        row = [int(i) for i in ids]
        for i in row:
            if not 0 <= i < self.size and i != self.mask_id:
                raise ValueError(f"decode: token ids must be in 0..{self.size - 1}, got {i}")
        before, after = self.frame
        if before and tuple(row[: len(before)]) == before:
            row, start = row[len(before) :], start - len(before)
        if after and tuple(row[-len(after) :]) == after:
            row = row[: -len(after)]
        end = next((n for n, i in enumerate(row) if n >= start and i in self.ends), len(row))
        text: list[str] = []
        for masked, run in groupby(row[:end], lambda i: i == self.mask_id):
            some = list(run)
            text.append(MASK_GLYPH * len(some) if masked else self._decoded(some))
        return "".join(text)

    def _decoded(self, ids: list[int]) -> str:
        return guarded("decode", lambda: str(self._tokenizer.decode(ids, skip_special_tokens=False)))


def text_of(tokenizer: Any, tokens: Sequence[int], rank: Sequence[int], mask_id: int) -> str:
    """Text of a sequence; an end of text that was given before the first other token does not end it.

    Args:
        tokenizer: of ours or of others.
        tokens: [L]. rank: [L], -1 where they were given. mask_id: stands where nothing is drawn yet.
    """
    if not getattr(tokenizer, "ends", ()):
        return str(tokenizer.decode(tokens))
    return str(tokenizer.decode(tokens, first_free(tokens, rank, mask_id)))


def first_free(tokens: Sequence[int], rank: Sequence[int], mask_id: int) -> int:
    """The first position that was not given; L where all were.

    >>> first_free([7, 8, 5, 9], [-1, -1, 0, -1], 9)
    2
    """
    return next((n for n, (i, r) in enumerate(zip(tokens, rank, strict=True)) if r >= 0 or i == mask_id), len(tokens))


def as_tokenizer(
    value: Any, mask_id: int | None = None, ends: tuple[int, ...] = ()
) -> Tokenizer | WrappedTokenizer | None:
    """What a user gives as a tokenizer, in the form that prompts and results use; arguments as of `WrappedTokenizer`.

    Raises:
        TypeError: it is neither None nor of a known kind.
    """
    if value is None or isinstance(value, Tokenizer | WrappedTokenizer):
        return value
    return WrappedTokenizer(value, mask_id, ends)
