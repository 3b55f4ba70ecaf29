"""The law of a sampler that reveals one token a call, by enumerating the orders in which it may: a mean over orders of
prod_e mu(x before e, in the order in which it became known)[l_e][x_{l_e}].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations, product

import numpy as np
from numpy.typing import ArrayLike, NDArray

Score = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]


def block_orders(free: list[int], block_length: int = 0) -> Iterator[tuple[int, ...]]:
    """The equally likely orders of the free positions: all of them, or blocks from the left with all orders in each.

    >>> list(block_orders([0, 1, 2], 2))
    [(0, 1, 2), (1, 0, 2)]
    """
    blocks: dict[int, list[int]] = {}
    for l in sorted(free):
        blocks.setdefault(l // block_length if block_length else 0, []).append(l)
    for parts in product(*(permutations(block) for block in blocks.values())):
        yield tuple(l for part in parts for l in part)


def order_law(
    score: Score, vocab_size: int, length: int, prompt: ArrayLike | None = None, block_length: int = 0
) -> NDArray[np.float64]:
    """The law over sequences of L tokens.

    Args:
        score: (tokens [N, L] int64 with V at the masks, rank [N, L] with -1 at tokens that were given and 0, 1, ... at
            those that became known, in this order) -> logits [N, L, V].
        vocab_size, length: V and L.
        prompt: [L] with V at the free positions; None: all are free.
        block_length: K, blocks from the left; 0: any order.

    Returns:
        float64 [V] * L, which sums to 1.
    """
    V = vocab_size
    start = np.full(length, V) if prompt is None else np.asarray(prompt, dtype=np.int64)
    law = np.zeros((V,) * length)
    orders = list(block_orders(np.flatnonzero(start == V).tolist(), block_length))
    for order in orders:
        tokens, mass = start[None].copy(), np.ones(1)
        rank = np.full((1, length), -1)
        for event, l in enumerate(order):
            logits = np.asarray(score(tokens, rank), dtype=np.float64)[:, l]
            p = np.exp(logits - logits.max(-1, keepdims=True))
            mass = (mass[:, None] * p / p.sum(-1, keepdims=True)).ravel()
            tokens, rank = np.repeat(tokens, V, axis=0), np.repeat(rank, V, axis=0)
            tokens[:, l], rank[:, l] = np.tile(np.arange(V), len(tokens) // V), event
        np.add.at(law, tuple(tokens.T), mass / len(orders))
    return law
