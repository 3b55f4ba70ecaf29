"""Who sees whom, for every kind of attention, in words turned into loops."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def sight(
    attention: str,
    known: NDArray[np.bool_],
    block_length: int = 0,
    rank: ArrayLike | None = None,
    causal_context: bool = False,
) -> NDArray[np.bool_]:
    """Which positions the row of a position sees, bool [B, L, L], the row in the second place.

    bidirectional: all. causal: those up to its own. block: those of the blocks up to its own; with a causal context those up
    to its own, where its block has no mask.
    any-order: a known token those that became known no later than itself, a mask all known tokens and itself.

    Args:
        attention: one of the four.
        known: bool [B, L], false at masks.
        block_length: K of "block".
        causal_context: of "block".
        rank: [B, L] of "any-order": when each token became known, -1 where it was given; None: all were given.

    >>> sight("any-order", np.array([[True, True, False]]), rank=[[1, 0, 9]])[0].astype(int).tolist()
    [[1, 1, 0], [0, 1, 0], [1, 1, 1]]
    """
    batch, length = known.shape
    when = np.full(known.shape, -1) if rank is None else np.asarray(rank)
    out = np.zeros((batch, length, length), dtype=bool)
    for b in range(batch):
        for i in range(length):
            for j in range(length):
                if attention == "bidirectional":
                    seen = True
                elif attention == "causal":
                    seen = j <= i
                elif attention == "block":
                    start = i // block_length * block_length
                    done = causal_context and known[b, start : start + block_length].all()
                    seen = j <= i if done else j < start + block_length
                elif known[b, i]:
                    seen = known[b, j] and when[b, j] <= when[b, i]
                else:
                    seen = known[b, j] or j == i
                out[b, i, j] = seen
    return out
