"""How far a set of sequences differ from each other, and how far each repeats itself: proteins, molecules or text."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from pymdm.data.letters import SMILES
from pymdm.data.sequences import FORMATS
from pymdm.evaluate.metrics import distinct_n, repetition, words

CELLS = (
    1 << 28
)  # of the tables of all pairs together: a second or two; of more sequences, evenly spread ones are compared
ORDERS = (1, 2, 3)


def units(text: str, form: str) -> list[str]:
    """What a sequence is counted in: residues of "fasta", symbols of "smiles", words of "text".

    >>> units("CC(=O)Cl", "smiles"), units("M K\\nT", "fasta")
    (['C', 'C', '(', '=', 'O', ')', 'Cl'], ['M', 'K', 'T'])
    """
    if form == "text":
        return words(text)
    plain = "".join(text.split())
    return re.findall(SMILES, plain) if form == "smiles" else list(plain)


def diversity(sequences: Sequence[Sequence[Hashable]]) -> dict[str, Any]:
    """Figures of diversity and of repetition, JSON-ready.

    Args:
        sequences: at least one, of units such as residues.

    Returns:
        "sequences"; "distinct", how many different ones; "distinct_n", n -> different n-grams over all (`distinct_n`);
        "identity", mean over "pairs" pairs of different sequences' `identities`, None without a pair or where one pair would
        take ten times `CELLS`; "longest_run", units of the longest run of one unit; "longest_repeat", units of the longest
        stretch that occurs at two places of a sequence (they may overlap), and "mean_repeat", its mean over the sequences;
        "repetition4", mean share of 4-grams that occurred before in their sequence (`repetition`).

    Raises:
        ValueError: no sequence.

    >>> found = diversity(["ABAB", "ABAB", "CCCD"])
    >>> found["distinct"], found["longest_run"], found["longest_repeat"], round(found["identity"], 3)
    (2, 3, 2, 0.333)
    """
    if not sequences:
        raise ValueError("diversity: expected at least one sequence")
    rows = [tuple(s) for s in sequences]
    repeats = [longest_repeat(row) for row in rows]
    table = max(1, max(map(len, rows))) ** 2
    most = max(math.isqrt(2 * CELLS // table), 2 if table <= 10 * CELLS else 0)
    spread = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int))
    compared = identities([rows[i] for i in spread])
    return {
        "sequences": len(rows),
        "distinct": len(set(rows)),
        "distinct_n": {str(n): None if math.isnan(d := distinct_n(rows, n)) else d for n in ORDERS},
        "identity": float(compared.mean()) if len(compared) else None,
        "pairs": len(compared),
        "longest_run": max(max((len(list(run)) for _, run in groupby(row)), default=0) for row in rows),
        "longest_repeat": max(repeats),
        "mean_repeat": float(np.mean(repeats)),
        "repetition4": float(np.mean([repetition(row) for row in rows])),
    }


def identities(sequences: Sequence[Sequence[Hashable]]) -> np.ndarray:
    """1 - d / max(length) of every pair, [N (N - 1) / 2]; d is Levenshtein's distance: units to replace, put in or leave out.

    Two empty sequences are identical.

    Source: Levenshtein, Soviet Physics Doklady 1966.

    >>> identities(["ABCD", "BCD", "ABXD"]).tolist()
    [0.75, 0.75, 0.5]
    """
    number: dict[Hashable, int] = {}
    lengths = np.array([len(s) for s in sequences], dtype=np.int64)
    table = np.full((len(sequences), max(lengths, default=0)), -1, dtype=np.int32)
    for row, sequence in zip(table, sequences, strict=True):
        row[: len(sequence)] = [number.setdefault(unit, len(number)) for unit in sequence]
    found = []
    for i in range(len(sequences) - 1):
        others, sizes = table[i + 1 :], lengths[i + 1 :]
        columns = np.arange(table.shape[1] + 1, dtype=np.int32)
        cost = np.broadcast_to(columns, (len(others), len(columns))).copy()  # row 0: put in j units
        for unit in table[i, : lengths[i]]:
            below = cost + 1  # left out
            below[:, 1:] = np.minimum(below[:, 1:], cost[:, :-1] + (others != unit))
            cost = np.minimum.accumulate(below - columns, axis=1) + columns  # put in, any number of times
        distance = np.take_along_axis(cost, sizes[:, None], 1)[:, 0]
        found.append(1.0 - distance / np.maximum(np.maximum(sizes, lengths[i]), 1))
    return np.concatenate(found) if found else np.zeros(0)


def longest_repeat(sequence: Sequence[Hashable]) -> int:
    """Units of the longest stretch that occurs at two places of a sequence, which may overlap.

    >>> longest_repeat("banana"), longest_repeat("AAAA"), longest_repeat("abc")
    (3, 3, 0)
    """
    number: dict[Hashable, int] = {}
    L = len(sequence)
    same = [np.array([number.setdefault(unit, len(number)) for unit in sequence], dtype=np.int64)]
    # same[k][i] is equal for places i whose next 2^k units are; a stretch of n units is two of 2^k that may overlap.

    def classes(k: int, n: int) -> np.ndarray:
        ends = n - (1 << k)
        return np.unique(same[k][: L - n + 1] * (L + 1) + same[k][ends : ends + L - n + 1], return_inverse=True)[1]

    while 2 << len(same) - 1 <= L:
        same.append(classes(len(same) - 1, 2 << len(same) - 1))
    low, high = 0, max(L - 1, 0)
    while low < high:  # if n units repeat, so do n - 1
        n = (low + high + 1) // 2
        low, high = (n, high) if classes(n.bit_length() - 1, n).max() < L - n else (low, n - 1)
    return low


def figures(texts: Sequence[str], form: str) -> dict[str, Any]:
    """`diversity` of texts in units of their form, which it adds as "units".

    Raises:
        ValueError: no text, or an unknown form.
    """
    if form not in FORMATS:
        raise ValueError(f"diversity: the form must be one of {', '.join(FORMATS)}, got {form}")
    return {"units": UNITS[form]} | diversity([units(text, form) for text in texts])


UNITS = {"text": "words", "fasta": "residues", "smiles": "symbols"}


def lines(found: dict[str, Any]) -> list[str]:
    """The figures as lines of text."""
    share = lambda value: "-" if value is None else f"{value:.3f}"  # noqa: E731
    grams = ", ".join(f"{share(value)} of {n}" for n, value in found["distinct_n"].items())
    return [
        f"distinct sequences   {found['distinct']:,} of {found['sequences']:,}",
        f"distinct n-grams     {grams} {found['units']}",
        f"pairwise identity    {share(found['identity'])}, mean of {found['pairs']:,} pairs",
        f"repeated 4-grams     {share(found['repetition4'])}",
        f"longest repeat       {found['longest_repeat']} {found['units']}, mean {found['mean_repeat']:.1f}; "
        f"longest run of one {found['longest_run']}",
    ]
