"""Packs documents into batches: one long row of tokens, cut anew each epoch; every batch is a pure function of its number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pymdm.data.tokenizer import Tokenizer


def pack(tokenizer: Tokenizer, documents: Sequence[str]) -> tuple[NDArray[np.int64], int]:
    """Tokens of all documents in one row, int64 [T], and how many of their characters come back from them."""
    rows = tokenizer.encode_all(documents)
    tokens = np.fromiter((i for row in rows for i in row), dtype=np.int64, count=sum(map(len, rows)))
    return tokens, tokenizer.kept(documents, rows)


class Batches:
    """Training sequences of L tokens: each epoch cuts the row at a new offset and shuffles the pieces.

    Args:
        tokens: ids [T] of any integer dtype, T >= L; may be memory-mapped.
        length: L.
        batch_size: B.
        seed: of offsets and order.

    Raises:
        ValueError: fewer tokens than one sequence.
    """

    def __init__(self, tokens: NDArray[np.integer[Any]], length: int, batch_size: int, seed: int) -> None:
        if len(tokens) < length:
            raise ValueError(f"train: the text has {len(tokens)} tokens, fewer than one sequence of {length}")
        self.tokens, self.length, self.batch_size, self.seed = tokens, length, batch_size, seed
        self.per_epoch = max(1, (len(tokens) - length) // length)
        self._epoch: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, dtype=np.int64))

    def at(self, step: int) -> Tensor:
        """Batch number `step`, int64 [B, L]; depends on the seed and the number only."""
        first = step * self.batch_size
        starts = [self._start(i) for i in range(first, first + self.batch_size)]
        return torch.from_numpy(np.stack([self.tokens[s : s + self.length] for s in starts]).astype(np.int64))

    def _start(self, index: int) -> int:
        epoch, place = divmod(index, self.per_epoch)
        if self._epoch[0] != epoch:
            rng = np.random.default_rng([self.seed, 1, epoch])
            spare = len(self.tokens) - self.per_epoch * self.length
            offset = rng.integers(0, spare + 1)
            self._epoch = (epoch, offset + self.length * rng.permutation(self.per_epoch))
        return int(self._epoch[1][place])


def windows(tokens: NDArray[np.integer[Any]], length: int, batch_size: int = 16) -> Iterator[Tensor]:
    """All tokens once, in order, as int64 [b, L] groups of sequences; the last group may be one shorter sequence."""
    whole = len(tokens) // length
    for first in range(0, whole, batch_size):
        last = min(whole, first + batch_size)
        yield torch.from_numpy(tokens[first * length : last * length].reshape(last - first, length).astype(np.int64))
    if whole * length < len(tokens):
        yield torch.from_numpy(tokens[whole * length :].astype(np.int64))[None]
