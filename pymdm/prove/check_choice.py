"""Checks of `choose`: the float64 arg-max itself, ties, filters, and its law."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymdm.prove.check_stream import exact
from pymdm.prove.goodness import binomial, chi_square, combine
from pymdm.prove.implementation import Implementation
from pymdm.prove.plan import Verdict, binomial_power, chi_square_power
from pymdm.reference import philox
from pymdm.reference.choose import choose, filtered
from pymdm.reference.gumbel import gumbel


def random_logits(rng: np.random.Generator, rows: int, classes: int) -> NDArray[np.float64]:
    """[rows, classes] logits of every temper: flat, huge ranges, ties, -inf, far from zero (where float32 is
    coarse).
    """
    scale = 10.0 ** rng.uniform(-2, 3, size=(rows, 1))
    logits = rng.normal(size=(rows, classes)) * scale
    logits[rng.random((rows, classes)) < 0.1] = -np.inf
    coarse = rng.random(rows) < 0.3
    logits[coarse] = np.round(logits[coarse])
    logits[:, int(rng.integers(classes))] = 0.0  # at least one finite class
    far = rng.random((rows, 1)) < 0.2
    return logits + np.where(far, rng.choice([-1.0, 1.0], (rows, 1)) * 10.0 ** rng.uniform(2, 6, size=(rows, 1)), 0.0)


def near_ties(rng: np.random.Generator, noise: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Logits that undo most of the noise they will meet, so that all scores are within 1e-9 to 1 of each other.

    Rows that a sieve decides on bounds of the noise show their mistakes only when scores are this close.
    """
    jitter = rng.random(noise.shape) * 10.0 ** rng.uniform(-9, 0, size=(len(noise), 1))
    return (jitter - noise) * temperature


def choose_oracle(impl: Implementation, n: int, seed: int, level: float) -> list[Verdict]:
    """n rows of logits, random or close to a tie, give the oracle's class: the arg-max over every float64 score."""
    rng = np.random.default_rng(seed)
    wrong = done = 0
    while done < n:
        rows, classes = min(64, n - done), int(rng.choice([1, 2, 3, 5, 17, 64, 257]))
        logits = random_logits(rng, rows, classes)
        temperature = float(rng.choice([1.0, 1.0, 0.25, 0.7, 3.0]))
        sequence, event = rng.integers(0, 2**56, rows, np.uint64), int(rng.integers(0, 1000))
        base = int(rng.integers(0, 100)) * 4
        if rng.random() < 0.5:
            bits = philox.bits(seed, sequence[:, None], event, philox.TOKEN, base + np.arange(classes))
            logits = near_ties(rng, gumbel(bits), temperature)
        mine = choose(logits, seed, sequence, event, base=base, temperature=temperature)
        theirs = impl.choose(logits, seed, sequence, event, base=base, temperature=temperature)
        wrong += int(np.sum(mine != np.asarray(theirs)))
        done += rows
    law = "arg-max over v of logit_v / T + g_v, every term in float64"
    return [exact("choice / oracle", law, wrong, n, f"{wrong} of {n} rows differ")]


def choose_ties(impl: Implementation, n: int, seed: int, level: float) -> list[Verdict]:
    """At temperature 0, equal logits go to the lowest index; n rows of every width up to 5,000."""
    rng = np.random.default_rng(seed)
    wrong = 0
    for _ in range(n):
        classes = int(rng.integers(2, 5000)) if rng.random() < 0.5 else int(rng.integers(2, 40))
        row = rng.normal(size=classes)
        winners = np.sort(rng.choice(classes, size=min(classes, 3), replace=False))
        row[winners] = 9.0
        wrong += int(impl.choose(row[None], seed, temperature=0.0)[0]) != int(winners[0])
    return [exact("choice / ties", "ties to the lowest index", wrong, n, f"{wrong} of {n} ties went elsewhere")]


def choose_filters(impl: Implementation, n: int, seed: int, level: float) -> list[Verdict]:
    """Bans, top-k and top-p: n rows agree with the oracle, with ties on the border of top-k."""
    rng = np.random.default_rng(seed)
    wrong = {"banned": 0, "top_k": 0, "top_p": 0}
    for _ in range(max(1, n // 24)):
        classes = int(rng.choice([3, 9, 40]))
        logits = np.round(rng.normal(size=(8, classes)) * 2, 1)
        banned = rng.random(classes) < 0.4
        banned[int(rng.integers(classes))] = False
        options: dict[str, dict[str, Any]] = {
            "banned": {"banned": banned},
            "top_k": {"top_k": int(rng.integers(1, classes + 1))},
            "top_p": {"top_p": float(rng.uniform(0.05, 0.99))},
        }
        sequence = rng.integers(0, 2**40, 8, np.uint64)
        for name, kwargs in options.items():
            temperature = float(rng.choice([1.0, 0.6]))
            mine = choose(logits, seed, sequence, temperature=temperature, **kwargs)
            theirs = impl.choose(logits, seed, sequence, temperature=temperature, **kwargs)
            wrong[name] += int(np.sum(mine != np.asarray(theirs)))
    return [
        exact(f"choice / {name}", f"arg-max over the classes that {name} leaves", bad, n // 3)
        for name, bad in wrong.items()
    ]


def choose_law(impl: Implementation, n: int, seed: int, level: float) -> list[Verdict]:
    """Frequencies of n rows follow the softmax at temperatures 1 and 0.6, rare classes (1e-4, 1e-5) by exact
    binomial.
    """
    p = np.array([0.30, 0.2, 0.2, 0.1, 0.08, 0.05, 0.04, 0.02, 0.009, 0.00089, 1e-4, 1e-5])
    p /= p.sum()
    verdicts = []
    for temperature in (1.0, 0.6):
        law = np.exp(filtered(np.log(p)[None], temperature)[0])
        law /= law.sum()
        counts = np.zeros(len(p), dtype=np.int64)
        for start in range(0, n, 1 << 15):
            ids = np.arange(start, min(n, start + (1 << 15)))
            logits = np.broadcast_to(np.log(p), (len(ids), len(p)))
            drawn = impl.choose(logits, seed, ids, 3, base=8, temperature=temperature)
            counts += np.bincount(np.asarray(drawn), minlength=len(p))
        name = f"choice / law at temperature {temperature:g}"
        power = chi_square_power(n, len(p), level)
        verdicts.append(Verdict(name, "softmax(logits / T)", chi_square(counts, law), power))
        if temperature == 1.0:
            rare = combine([binomial(int(counts[i]), n, float(law[i])) for i in (9, 10, 11)])
            power = binomial_power(n, float(law[9]), level / 3)
            verdicts.append(Verdict("choice / rare classes", "each rare class at its probability", rare, power))
    return verdicts
