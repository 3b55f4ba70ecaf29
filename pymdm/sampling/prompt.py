"""Start states: which tokens are given, which positions are masked."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from pymdm.data.round_trip import LostText
from pymdm.sampling.check import described, entries, integer

if TYPE_CHECKING:
    from pymdm.data.tokenizer import Tokenizer

Prompt: TypeAlias = "str | Tensor | Sequence[int] | Sequence[str] | Sequence[Sequence[int]] | Sequence[Tensor]"

_HOLE = re.compile(r"(\\*)(\[\s*mask\b[^\[\]]*\])", re.IGNORECASE)  # and what was meant for one
_SPELLED = re.compile(r"\[MASK(?::([0-9]+))?\]")
LONGEST = 1 << 24  # positions of an infill for a network that names no length
DEFAULT = 1024  # positions where nobody says how many: 131,072 of Dream are what it could read, not a text to draw
MOST = 1 << 28  # positions of all sequences of one call


def parse_infill(text: str, tokenizer: Tokenizer, mask_id: int, longest: int | None = None) -> list[int]:
    r"""Tokens of a text in which [MASK] is one masked position and [MASK:n] stands for n of them.

    A backslash before it makes it text: \[MASK] is the word, \\[MASK] a backslash and a hole. Where the tokenizer joins a
    space to the word after it, the space right before a hole is left to the hole, whose first token brings its own.

    Args:
        text: with holes.
        tokenizer: text <-> ids.
        mask_id: of the mask.
        longest: positions at most; default 2^24.

    Raises:
        ValueError: no hole, one that is spelled otherwise, of no position or of too many; a text that cannot be encoded.

    >>> from pymdm.data.tokenizer import Tokenizer
    >>> letters = Tokenizer.train(["abc"], "char")
    >>> parse_infill("a[MASK:2]c", letters, letters.mask_id) == [*letters.encode("a"), 3, 3, *letters.encode("c")]
    True
    """
    limit = longest or LONGEST
    texts, holes = [""], list[int]()  # what stands before each hole and at the end; the holes' positions
    end = 0
    for found in _HOLE.finditer(text):
        backslashes, word = found[1], found[2]
        texts[-1] += text[end : found.start()] + backslashes[: len(backslashes) // 2]
        end = found.end()
        if len(backslashes) % 2:
            texts[-1] += word
            continue
        hole = _SPELLED.fullmatch(word)
        if hole is None:
            raise ValueError(f"a hole is [MASK] or [MASK:n], got {word[:60]}; as text it is written \\{word[:60]}")
        digits = (hole[1] or "1").lstrip("0")
        if not digits:
            raise ValueError(f"a hole needs at least one position, got {word}")
        if len(digits) > len(str(limit)) or int(digits) > limit:
            raise ValueError(f"the hole {word[:40]} is longer than {limit} positions, the longest sequence")
        texts.append("")
        holes.append(int(digits))
    if not holes:
        whole = _encode(text, tokenizer)
        if mask_id in whole:  # in the tokenizer's own spelling
            return whole
        raise ValueError(f"it has no hole such as [MASK:4], got {text!r}")
    tokens: list[int] = []
    for before, count in zip(texts, holes, strict=False):
        tokens += _encode(_left_to_the_hole(before, tokenizer), tokenizer)
        if len(tokens) + count > limit:
            raise ValueError(f"it has more than {limit} positions, the longest sequence")
        tokens += [mask_id] * count
    return tokens + _encode(texts[-1] + text[end:], tokenizer)


def _left_to_the_hole(text: str, tokenizer: Tokenizer) -> str:
    """A text before a hole without its last space where that space belongs to the token after it, as in " word"."""
    if not text.endswith(" "):
        return text
    alone = tokenizer.encode(text)
    try:
        followed = tokenizer.encode(text + "a")
    except ValueError:  # a tokenizer without this letter
        return text
    return text if followed[: len(alone)] == alone else text[:-1]


def _encode(text: str, tokenizer: Tokenizer) -> list[int]:
    """Tokens of a text; a warning where it does not come back from them."""
    if not text:
        return []
    tokens = tokenizer.encode(text)
    back = tokenizer.decode(tokens)
    spaced = getattr(tokenizer, "spaced", True)  # words of others' tokenizers may come back with other spaces between
    if (back != text) if spaced else (back.split() != text.split() and tokenizer.mask_id not in tokens):
        warnings.warn(LostText(f"sample: the tokenizer takes {text!r} as {back!r}"), stacklevel=4)
    return tokens


def _as_list(prompt: Prompt, what: str) -> list[str | list[int]]:
    """One entry a prompt: texts stay texts, tokens become lists of int."""
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt, Tensor | np.ndarray):
        kind = np.dtype(str(prompt.dtype).removeprefix("torch.")).kind if prompt.dtype != torch.bfloat16 else "f"
        if prompt.ndim not in (1, 2) or kind not in "iuU":
            raise TypeError(
                f"sample: {what} must be integer tokens [L] or [B, L], got {prompt.dtype} {tuple(prompt.shape)}"
            )
        prompt = prompt.tolist() if prompt.ndim == 2 or kind == "U" else [prompt.tolist()]
    parts = entries(what, prompt)
    if parts and all(hasattr(part, "__index__") and getattr(part, "ndim", 0) == 0 for part in parts):
        parts = [parts]
    return [str(part) if isinstance(part, str) else _tokens(part, what) for part in parts]


def _tokens(given: Any, what: str) -> list[int]:
    """Token ids of one sequence; floats are refused, not cut."""
    if isinstance(given, Tensor | np.ndarray):
        given = given.tolist()
    try:
        parts = entries(what, given)
    except TypeError:
        raise TypeError(f"sample: {what} must be texts or integer tokens, got {described(given)}") from None
    if not all(type(part) is int for part in parts):
        parts = [integer(f"tokens of {what}", part) for part in parts]
    for token in parts:
        if not 0 <= token < 2**63:
            raise ValueError(f"sample: tokens of {what} must be in [0, 2^63), got {described(token)}")
    return parts


def _lengths(length: Any, count: int, num_samples: int, default_length: int | None) -> list[int]:
    """L of each of `count` sequences."""
    if length is None:
        if default_length is None:
            raise ValueError("sample: length is needed for a network without a length of its own")
        return [min(default_length, DEFAULT)] * count
    if hasattr(length, "__len__") and getattr(length, "ndim", 1) > 0 and not isinstance(length, str):
        found = [integer("length", n, 1) for n in entries("length", length)]
        if len(found) != count:
            raise ValueError(
                f"sample: length must be one number or one for each of the {count} sequences (num_samples is "
                f"{num_samples}), got {len(found)} of them"
            )
    else:
        found = [integer("length", length, 1)] * count
    for wanted in found:
        if default_length is not None and wanted > default_length:
            raise ValueError(f"sample: length must be at most the model's {default_length}, got {described(wanted)}")
    return found


def start_tokens(
    *,
    prompt: Prompt | None,
    infill: Prompt | None,
    length: int | Sequence[int] | None,
    num_samples: int,
    mask_id: int,
    default_length: int | None,
    tokenizer: Tokenizer | None,
) -> list[list[int]]:
    """Token lists of the sequences to sample, `mask_id` where a token is to be drawn.

    A prompt is a prefix and is followed by masks up to `length`; an infill text or token list is the whole sequence, holes
    included. With several prompts each gives `num_samples` sequences, one after the other.
    """
    num_samples = integer("num_samples", num_samples, 1, MOST)
    if prompt is not None and infill is not None:
        raise ValueError("sample: give prompt or infill, not both")
    if infill is not None and length is not None:
        raise ValueError("sample: an infill has its own length; leave length out")
    given = infill if infill is not None else prompt
    what = "infill" if infill is not None else "prompt"
    distinct: list[list[int]] = []
    for entry in [[]] if given is None else _as_list(given, what):
        if isinstance(entry, str):
            if tokenizer is None:
                raise ValueError(f"sample: a text {what} needs a tokenizer; give tokens instead")
            try:
                if infill is not None:
                    entry = parse_infill(entry, tokenizer, mask_id, default_length)
                else:
                    entry = _encode(entry, tokenizer)
            except ValueError as error:
                raise ValueError(f"sample: {what}: {error}") from None
        distinct.append(entry)
    count = len(distinct) * num_samples
    if count > MOST:
        raise ValueError(f"sample: {count} sequences are too many for one call; draw them in parts, with sequence_ids")
    if infill is not None:
        lengths = [_infill_length(start, default_length) for start in distinct for _ in range(num_samples)]
    else:
        lengths = _lengths(length, count, num_samples, default_length)
    if sum(lengths) > MOST:
        raise ValueError(
            f"sample: {count} sequences of {sum(lengths)} tokens in all are too many for one call, which may have {MOST}; "
            "draw them in parts, with sequence_ids"
        )
    starts: list[list[int]] = []
    for i, wanted in enumerate(lengths):
        start = distinct[i // num_samples]
        if len(start) > wanted:
            own = "" if length is not None else "; give length"
            raise ValueError(f"sample: the prompt has {len(start)} tokens, more than the length {wanted}{own}")
        starts.append(start + [mask_id] * (wanted - len(start)))
    return starts


def prompt_count(prompt: Prompt | None) -> int:
    """How many prompts these are; none is one."""
    return 1 if prompt is None else len(_as_list(prompt, "prompt"))


def _infill_length(start: list[int], default_length: int | None) -> int:
    if not start:
        raise ValueError("sample: length must be at least 1, got an empty infill")
    if default_length is not None and len(start) > default_length:
        raise ValueError(f"sample: length must be at most the model's {default_length}, got an infill of {len(start)}")
    return len(start)


def framed(tokens: list[int], frame: tuple[tuple[int, ...], tuple[int, ...]]) -> list[int]:
    """The sequence between the frame's tokens, each side added where it is not there yet.

    >>> framed([5, 6], ((1,), (2,))), framed([1, 5, 2], ((1,), (2,)))
    ([1, 5, 6, 2], [1, 5, 2])
    """
    before, after = frame
    front = [] if tuple(tokens[: len(before)]) == before else list(before)
    back = [] if not after or tuple(tokens[-len(after) :]) == after else list(after)
    return [*front, *tokens, *back]
