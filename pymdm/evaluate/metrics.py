"""Statistics of samples that need no judge: entropy, repetition, distinct n-grams, self-BLEU.

Perplexity alone can be lowered by repeating oneself; these are printed beside it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np

SMOOTHING = 0.1  # matches put in place of none, "method 1" of Chen and Cherry 2014


def token_entropy(tokens: Any) -> float:
    """-sum p_k log p_k over the token counts of one sequence [L], in nats: the "entropy" of the field's tables.

    Source: Zheng et al., ICLR 2025, section 5.

    Example:
        >>> round(token_entropy([1, 1, 2, 2]), 4)
        0.6931
    """
    counts = np.unique(np.asarray(tokens), return_counts=True)[1]
    p = counts / counts.sum()
    return float(-(p * np.log(p)).sum()) + 0.0  # no -0.0


def words(text: str) -> list[str]:
    """Words and single marks of a text, in order.

    Example:
        >>> words("It's so, isn't it?")
        ["It's", 'so', ',', "isn't", 'it', '?']
    """
    return re.findall(r"\w+(?:'\w+)*|[^\w\s]", text)


def repetition(units: Sequence[Hashable], n: int = 4) -> float:
    """Share of a sequence's n-grams that occurred before in it, in [0, 1]; 0 for fewer than n units.

    Source: Welleck et al., ICLR 2020 (seq-rep-n).

    Example:
        >>> repetition("abababab", 2)
        0.7142857142857143
    """
    found = list(_grams(units, n))
    return 1.0 - len(set(found)) / len(found) if found else 0.0


def distinct_n(sequences: Sequence[Sequence[Hashable]], n: int) -> float:
    """Different n-grams over all n-grams of all sequences together; NaN if there are none. It falls with their number.

    Source: Li et al., NAACL 2016.

    Example:
        >>> distinct_n(["abc", "abd"], 2)
        0.75
    """
    found = [gram for sequence in sequences for gram in _grams(sequence, n)]
    return len(set(found)) / len(found) if found else math.nan


def self_bleu(sequences: Sequence[Sequence[Hashable]], n: int = 4) -> float:
    """Mean over the sequences of their BLEU-n with all others as references: near 1 where they repeat each other.

    Uniform weights, matches clipped at the largest count in one reference, brevity penalty from the reference of nearest
    length (the shorter of two), orders without a match smoothed to 0.1 matches.

    Args:
        sequences: at least two, of units such as words.
        n: largest order.

    Returns:
        Mean over the sequences that have a unit; NaN with fewer than two of them.

    Source: Papineni et al., ACL 2002; Zhu et al., SIGIR 2018 (self-BLEU); Chen and Cherry, WMT 2014 (smoothing).

    Example:
        >>> self_bleu(["abcde", "abcde"])
        1.0
    """
    kept = [s for s in sequences if len(s)]
    if len(kept) < 2:
        return math.nan
    lengths = [len(s) for s in kept]
    logs = np.zeros(len(kept))
    for order in range(1, n + 1):
        counts = [Counter(_grams(s, order)) for s in kept]
        best: dict[Any, tuple[int, int, int]] = {}  # gram -> (largest count, whose, second largest)
        for i, own in enumerate(counts):
            for gram, count in own.items():
                first, who, second = best.get(gram, (0, -1, 0))
                best[gram] = (count, i, first) if count > first else (first, who, max(second, count))
        for i, own in enumerate(counts):
            matches = 0
            for gram, count in own.items():
                first, who, second = best[gram]
                matches += min(count, second if who == i else first)
            logs[i] += math.log((matches or SMOOTHING) / max(1, sum(own.values()))) / n
    for i, length in enumerate(lengths):
        nearest = min(lengths[:i] + lengths[i + 1 :], key=lambda r: (abs(r - length), r))
        logs[i] += min(0.0, 1.0 - nearest / length)
    return float(np.exp(logs).mean())


def _grams(units: Sequence[Hashable], n: int) -> Iterator[tuple[Hashable, ...]]:
    if n < 1:
        raise ValueError(f"n-grams: n must be at least 1, got {n}")
    return (tuple(units[i : i + n]) for i in range(len(units) - n + 1))
