"""Interpolated Witten-Bell n-grams over characters: the plain baseline that a trained model has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ngram_bits(train: str, held_out: str, orders: tuple[int, ...] = (2, 3, 5)) -> dict[int, float]:
    """Bits per character of `held_out` under n-grams counted on `train`.

    An order-k model sees k - 1 characters of context. p_k(c|h) = (N(hc) + T(h) p_{k-1}(c|h')) / (N(h) + T(h)) with N
    the count, T(h) the number of different characters seen after h, and h' the context without its first character; a
    context never seen passes p_{k-1} on; p_0 is uniform over the characters of both texts. (Witten and Bell 1991.)

    Args:
        train: text to count on.
        held_out: text to score, with its own preceding characters as context from the second character on.
        orders: which k to report.

    Returns:
        order -> bits per character.

    Example:
        >>> round(ngram_bits("abababab", "abab", (2,))[2], 3)
        0.374
    """
    if not train or not held_out:
        raise ValueError("ngram_bits: both texts must have at least one character")
    if min(orders) < 1:
        raise ValueError(f"ngram_bits: orders must be at least 1, got {min(orders)}")
    return {k: float(bits.mean()) for k, bits in _character_bits(train, held_out, orders).items()}


def ngram_character_bits(train: str, text: str, order: int = 5) -> NDArray[np.float64]:
    """[characters] bits of each character of `text` under the n-gram of `ngram_bits`; their mean is its answer.

    Example:
        >>> ngram_character_bits("abababab", "abab", 2).shape
        (4,)
    """
    if not train or not text or order < 1:
        raise ValueError("ngram_character_bits: both texts must have a character and order must be at least 1")
    return _character_bits(train, text, (order,))[order]


def _character_bits(train: str, held_out: str, orders: tuple[int, ...]) -> dict[int, NDArray[np.float64]]:
    """Bits of each held-out character for each order."""
    alphabet = {c: i for i, c in enumerate(sorted(set(train) | set(held_out)))}
    size = len(alphabet)
    a, b = (np.array([alphabet[c] for c in text], dtype=np.int64) for text in (train, held_out))
    p: NDArray[np.float64] = np.full(len(b), 1.0 / size)
    context_a, context_b = np.zeros_like(a), np.zeros_like(b)  # one number per different context of k - 1 characters
    bits: dict[int, NDArray[np.float64]] = {}
    for k in range(1, min(max(orders), len(train)) + 1):
        grams_a = context_a * size + a[k - 1 :]
        grams_b = context_b * size + b[k - 1 :]
        p = _interpolate(p, grams_a, grams_b, size)
        if k in orders:
            bits[k] = -np.log2(p)
        _, ids = np.unique(np.concatenate([grams_a, grams_b]), return_inverse=True)  # small numbers again: no overflow
        context_a, context_b = ids[: len(grams_a)][:-1], ids[len(grams_a) :][:-1]
        if not len(context_b) and k < max(orders):  # held_out is shorter than k: longer contexts never occur
            return bits | {order: -np.log2(p) for order in orders if order > k}
    return bits | {order: -np.log2(p) for order in orders if order not in bits}


def _interpolate(
    lower: NDArray[np.float64], train: NDArray[np.int64], test: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    """Probabilities of each held-out character one order up; the first characters, without full context, keep theirs.

    Args:
        lower: of the order below, [N].
        train, test: context * size + character for each place with a full context; `test` belongs to the last of [N].
        size: characters in the alphabet.
    """
    grams, counts = np.unique(train, return_counts=True)
    contexts, starts = np.unique(grams // size, return_index=True)  # grams are sorted, so a context's are neighbours
    totals = np.add.reduceat(counts, starts)  # N(h)
    kinds = np.diff(np.append(starts, len(grams)))  # T(h)
    n_gram = _lookup(grams, counts, test)
    n_context = _lookup(contexts, totals, test // size)
    t_context = _lookup(contexts, kinds, test // size)
    p = lower.copy()
    tail = p[len(p) - len(test) :]
    seen = n_context > 0
    tail[seen] = ((n_gram + t_context * tail) / np.maximum(n_context + t_context, 1))[seen]
    return p


def _lookup(keys: NDArray[np.int64], values: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
