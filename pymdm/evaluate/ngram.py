"""Interpolated Witten-Bell n-grams over characters: the plain baseline that a trained model has to beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CODE_POINTS = 0x110000
COUNTED = 20_000_000  # tokens of a large training side that n-grams are counted on
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Level:
    """Counts of one order k; a gram is (id of its first k - 1 characters one level down) * size + last character."""

    grams: Ints  # sorted, each once; a gram's id is its place here
    counts: Ints  # N(hc), as grams
    totals: Ints  # N(h), by id of h one level down
    kinds: Ints  # T(h), likewise


class NGram:
    """Character n-gram: p_k(c|h) = (N(hc) + T(h) p_{k-1}(c|h')) / (N(h) + T(h)), the same for every text it scores.

    N counts the training text, T(h) is the number of different characters seen after h, h' the context without its
    first character; a context never seen passes p_{k-1} on. p_0 is 1 / (A + 1) for each of the A characters of the
    alphabet, and the rest uniform over all other code points, so probabilities of all texts of a length sum to one.

    Args:
        train: text to count on.
        order: k of the model, with k - 1 characters of context.
        alphabet: closes the alphabet: with these and those of `train` p_0 is 1 / A, and no others can be scored.

    Raises:
        ValueError: an empty text or an order below 1.

    Source: Witten and Bell 1991; Chen and Goodman 1998, section 2.

    Example:
        >>> model = NGram("abababab", 2)
        >>> model.bits(["abab", "a"])[0].shape
        (4,)
    """

    def __init__(self, train: str, order: int = 5, alphabet: str | None = None) -> None:
        if not train:
            raise ValueError("ngram: the training text must have at least one character")
        if order < 1:
            raise ValueError(f"ngram: order must be at least 1, got {order}")
        characters = sorted(set(train) | set(alphabet or ""))
        self.order, self.open = order, alphabet is None
        self._codes = {c: i for i, c in enumerate(characters)}
        self._size = len(characters) + 1  # the last code is any other character
        self._levels: list[_Level] = []
        codes = self._encode(train)
        ids, below = np.zeros(len(codes) + 1, dtype=np.int64), 1  # ids[i]: of the context before character i
        for k in range(1, min(order, len(codes)) + 1):
            keys = ids[: len(codes) - k + 1] * self._size + codes[k - 1 :]
            grams, ids, counts = np.unique(keys, return_inverse=True, return_counts=True)
            contexts = grams // self._size
            totals = np.bincount(contexts, counts, minlength=below).astype(np.int64)
            self._levels.append(_Level(grams, counts, totals, np.bincount(contexts, minlength=below)))
            below = len(grams)

    def bits(self, texts: Sequence[str], context: str = "") -> list[NDArray[np.float64]]:
        """Bits of every character of each text, each text on its own after `context`, which is not scored.

        Raises:
            ValueError: a character outside a closed alphabet.
        """
        *_, last = self.bits_by_order(texts, context)
        return last

    def bits_by_order(self, texts: Sequence[str], context: str = "") -> Iterator[list[NDArray[np.float64]]]:
        """`bits` under the models of order 1, 2, ... up to `order`."""
        lengths = np.array([len(context) + len(t) for t in texts], dtype=np.int64)
        codes = self._encode("".join(context + t for t in texts))
        place = np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)  # in its own text
        known = len(self._codes)
        p = np.full(len(codes), 1.0 / (known + self.open))
        if self.open:
            p[codes == known] /= CODE_POINTS - known
        elif (codes == known).any():
            raise ValueError("ngram: a character is outside the alphabet")
        ids = np.zeros(len(codes), dtype=np.int64)  # of the last k - 1 characters up to and with this one, -1 unseen
        for k in range(1, self.order + 1):
            if k <= len(self._levels):
                level = self._levels[k - 1]
                before = np.concatenate([[0 if k == 1 else -1], ids[:-1]])[: len(codes)]
                before[place < k - 1] = -1
                keys = np.where(before >= 0, before * self._size + codes, -1)
                at = np.minimum(np.searchsorted(level.grams, keys), len(level.grams) - 1)
                seen = level.grams[at] == keys
                total = np.where(before >= 0, level.totals[before], 0)
                kinds = level.kinds[before]
                mixed = (np.where(seen, level.counts[at], 0) + kinds * p) / np.maximum(total + kinds, 1)
                p = np.where(total > 0, mixed, p)
                ids = np.where(seen, at, -1)
            parts = np.split(-np.log2(p), np.cumsum(lengths)[:-1]) if len(texts) else []
            yield [part[len(context) :] for part in parts]

    def _encode(self, text: str) -> Ints:
        other = len(self._codes)
        return np.array([self._codes.get(c, other) for c in text], dtype=np.int64)


def ngram_bits(train: str, held_out: str, orders: tuple[int, ...] = (2, 3, 5)) -> dict[int, float]:
    """Bits per character of `held_out` under n-grams counted on `train`, with the closed alphabet of both texts.

    Args:
        train: text to count on.
        held_out: text to score, with its own preceding characters as context from the second character on.
        orders: which k to report (see `NGram`).

    Returns:
        order -> bits per character.

    Raises:
        ValueError: an empty text, or an order below 1.

    Example:
        >>> round(ngram_bits("abababab", "abab", (2,))[2], 3)
        0.374
    """
    if not train or not held_out:
        raise ValueError("ngram_bits: both texts must have at least one character")
    if min(orders) < 1:
        raise ValueError(f"ngram_bits: orders must be at least 1, got {min(orders)}")
    by_order = NGram(train, max(orders), alphabet=held_out).bits_by_order([held_out])
    return {k: float(bits[0].mean()) for k, bits in enumerate(by_order, 1) if k in orders}
