"""Start states: which tokens are given, which positions are masked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pymdm.data.tokenizer import Vocabulary

Prompt: TypeAlias = "str | Tensor | Sequence[int] | Sequence[str] | Sequence[Sequence[int]] | Sequence[Tensor]"

_HOLE = re.compile(r"\[MASK(?::(\d+))?\]")


def parse_infill(text: str, vocabulary: Vocabulary, mask_id: int) -> list[int]:
    """Tokens of a text in which [MASK] is one masked position and [MASK:n] stands for n of them.

    >>> from pymdm.data.tokenizer import Vocabulary
    >>> letters = Vocabulary.train(["abc"], "char")
    >>> parse_infill("a[MASK:2]c", letters, letters.mask_id) == [*letters.encode("a"), 3, 3, *letters.encode("c")]
    True
    """
    tokens: list[int] = []
    end = 0
    for hole in _HOLE.finditer(text):
        tokens += vocabulary.encode(text[end : hole.start()]) if hole.start() > end else []
        count = int(hole[1]) if hole[1] else 1
        if count < 1:
            raise ValueError(f"sample: a hole needs at least one position, got {hole[0]}")
        tokens += [mask_id] * count
        end = hole.end()
    return tokens + (vocabulary.encode(text[end:]) if end < len(text) else [])


def _as_list(prompt: Prompt, what: str) -> list[str | list[int]]:
    """One entry a prompt: texts stay texts, tokens become lists of int."""
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt, Tensor):
        if prompt.dim() not in (1, 2) or prompt.is_floating_point() or prompt.dtype == torch.bool:
            raise TypeError(
                f"sample: {what} must be integer tokens [L] or [B, L], got {prompt.dtype} {tuple(prompt.shape)}"
            )
        return prompt.reshape(-1, prompt.shape[-1]).tolist()
    entries = list(prompt)
    if all(isinstance(e, int) for e in entries):
        return [entries]  # type: ignore[list-item]
    out: list[str | list[int]] = []
    for entry in entries:
        if isinstance(entry, str):
            out.append(entry)
        elif isinstance(entry, Tensor | Sequence) and not isinstance(entry, int):
            out.append([int(t) for t in entry])
        else:
            raise TypeError(f"sample: {what} must be texts or integer tokens, got {type(entry).__name__}")
    return out


def start_tokens(
    *,
    prompt: Prompt | None,
    infill: Prompt | None,
    length: int | Sequence[int] | None,
    num_samples: int,
    mask_id: int,
    default_length: int | None,
    vocabulary: Vocabulary | None,
) -> list[list[int]]:
    """Token lists of the sequences to sample, `mask_id` where a token is to be drawn.

    A prompt is a prefix and is followed by masks up to `length`; an infill text or token list is the whole sequence, holes
    included. With several prompts each gives `num_samples` sequences, one after the other.
    """
    if num_samples < 1:
        raise ValueError(f"sample: num_samples must be at least 1, got {num_samples}")
    if prompt is not None and infill is not None:
        raise ValueError("sample: give prompt or infill, not both")
    given = infill if infill is not None else prompt
    what = "infill" if infill is not None else "prompt"
    starts: list[list[int]] = []
    for entry in [[]] if given is None else _as_list(given, what):
        if isinstance(entry, str):
            if vocabulary is None:
                raise ValueError(f"sample: a text {what} needs a vocabulary; give tokens instead")
            try:
                entry = parse_infill(entry, vocabulary, mask_id) if infill is not None else vocabulary.encode(entry)
            except ValueError as error:
                raise ValueError(f"sample: {what}: {error}") from None
        starts += [list(entry) for _ in range(num_samples)]
    if infill is not None:
        if length is not None:
            raise ValueError("sample: an infill has its own length; leave length out")
        lengths = [len(start) for start in starts]
    elif isinstance(length, Sequence):
        if len(length) != len(starts):
            raise ValueError(f"sample: expected {len(starts)} lengths, got {len(length)}")
        lengths = list(length)
    elif length is not None or default_length is not None:
        lengths = [length if length is not None else default_length] * len(starts)  # type: ignore[list-item]
    else:
        raise ValueError("sample: length is needed for a network without a length of its own")
    for start, wanted in zip(starts, lengths, strict=True):
        if wanted < 1:
            raise ValueError(f"sample: length must be at least 1, got {wanted}")
        if default_length is not None and wanted > default_length:
            raise ValueError(f"sample: length must be at most the model's {default_length}, got {wanted}")
        if len(start) > wanted:
            raise ValueError(f"sample: the prompt has {len(start)} tokens, more than the length {wanted}")
        start += [mask_id] * (wanted - len(start))
    return starts
