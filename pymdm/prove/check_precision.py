"""The published precision defect, measured: literal draws with capped noise against Proposition 5.2.

Uniform prediction over V tokens with total weight r, mask with weight 1 - r: with noise capped at M the tokens start
late by c V / r, c = exp(-M), and the position moves with probability r * F, F about exp(-c V / r). V = 16,384 and c V /
r = 3 give F near 0.05.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pymdm.prove.check_stream import exact
from pymdm.prove.goodness import binomial
from pymdm.prove.plan import Verdict, binomial_power
from pymdm.reference import philox
from pymdm.reference.gumbel import CAP_FLOAT32, NOISE_KINDS, gumbel
from pymdm.reference.truncated import truncated_law

VOCAB = 1 << 14
MOVE = float(np.exp(-CAP_FLOAT32)) * VOCAB / 3
ROWS = 64  # rows of one call


def noise_kinds(impl: Any, n: int, seed: int, level: float) -> list[Verdict]:
    """Every kind of noise picks the oracle's class; in float32 any class within 1e-4 of the best score will do.

    Needs `choose_noise`, as `literal_precision` does; float32 logarithms may differ in the last bit between libraries.
    """
    if not hasattr(impl, "choose_noise"):
        return []
    rng = np.random.default_rng(seed)
    verdicts = []
    for kind in NOISE_KINDS:
        logits = rng.normal(size=(n, 33)) * 3
        ids = np.arange(n, dtype=np.uint64)
        noise = gumbel(philox.bits(seed, ids[:, None], 5, philox.LITERAL, np.arange(33)), kind)
        scores = logits + noise
        chosen = np.asarray(impl.choose_noise(logits, seed, ids, 5, kind))
        slack = 1e-4 if kind == "float32" else 1e-12
        wrong = int(np.sum(scores[np.arange(n), chosen] < scores.max(axis=1) - slack))
        verdicts.append(
            exact(
                f"choice / {kind} noise",
                "arg-max over v of logit_v + g_v, noise of this kind",
                wrong,
                n,
                f"{wrong} of {n} differ",
            )
        )
    return verdicts


def literal_precision(impl: Any, n: int, seed: int, level: float) -> list[Verdict]:
    """n literal draws each with exact and with truncated noise: how many move, by exact binomial tests.

    Needs `choose_noise(logits [M, K], seed, sequence, event, kind) -> [M]` on the implementation; without it nothing is
    tested and nothing returned.
    """
    if not hasattr(impl, "choose_noise"):
        return []
    weights = np.append(np.full(VOCAB, MOVE / VOCAB), 1 - MOVE)
    logits = np.broadcast_to(np.log(weights), (ROWS, VOCAB + 1))
    verdicts = []
    for kind, rate in (("exact", MOVE), ("truncated", 1 - float(truncated_law(weights, CAP_FLOAT32)[-1]))):
        moved = 0
        for start in range(0, n, ROWS):
            ids = np.arange(start, min(n, start + ROWS), dtype=np.uint64)
            moved += int(np.sum(impl.choose_noise(logits[: len(ids)], seed, ids, 0, kind) < VOCAB))
        law = "P(leave the mask) = (m - s)/m" if kind == "exact" else "P(leave the mask) by Proposition 5.2"
        power = binomial_power(n, rate, level)
        verdicts.append(Verdict(f"literal / {kind} noise, {VOCAB} classes", law, binomial(moved, n, rate), power))
    return verdicts
