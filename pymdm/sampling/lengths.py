"""Lengths drawn before the sequences: one for each, at an address of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pymdm._native import C
from pymdm.sampling.check import integer, number

PURPOSE = 10  # of the draw's address: which length


def drawn_lengths(law: Mapping[Any, Any], seed: int, sequence_ids: Sequence[int]) -> list[int]:
    """One length for each sequence, independent, with probability proportional to its weight.

    The draw is of address (seed, sequence, event 0, purpose 10, index 0): a sequence's length depends on nothing else.
    It is the first length whose cumulative weight exceeds u W, u = (r + 1/2) / 2^64, in the order of the lengths.

    Args:
        law: length -> weight, such as counts of a data set.
        seed: in [0, 2^64).
        sequence_ids: of the sequences.

    Raises:
        ValueError, TypeError: no length, one below 1, weights that are negative, not finite or all 0.

    >>> drawn_lengths({5: 1.0}, 1, [0, 1])
    [5, 5]
    """
    found = sorted((integer("lengths", length, 1), number("weights of lengths", w)) for length, w in law.items())
    weights = torch.tensor([w for _, w in found], dtype=torch.float64)
    if (
        not found
        or not bool(torch.isfinite(weights).all())
        or bool((weights < 0).any())
        or not float(weights.sum()) > 0
    ):
        raise ValueError("sample: a law of lengths needs weights that are finite, at least 0 and not all 0")
    ids = torch.tensor(list(sequence_ids), dtype=torch.int64)
    zero = torch.zeros_like(ids)
    u = C.uniform_of_bits(C.random_bits_at(seed, ids, zero, PURPOSE, zero))
    at = torch.searchsorted(weights.cumsum(0), u * weights.sum(), right=True).clamp(max=len(found) - 1)
    return [found[i][0] for i in at.tolist()]
