"""Checks of lookahead: the tokens and orders of plain first-hitting, in as few rounds as right guesses allow."""

from __future__ import annotations

import numpy as np

from pymdm.prove.batch_reference import BatchReference
from pymdm.prove.check_stream import exact
from pymdm.prove.implementation import Implementation
from pymdm.prove.plan import Verdict
from pymdm.prove.tables import TableModel

WINDOWS = (2, 3)


def agreement(impl: Implementation, model: TableModel, n: int, seed: int, level: float) -> list[Verdict]:
    """Tokens and order equal those of the oracle without lookahead, for n sequence ids and every window."""
    if not hasattr(impl, "ahead"):
        return []
    ids = np.random.default_rng(seed).integers(0, 2**56, size=n, dtype=np.uint64)
    plain, wrong = BatchReference().first_hitting(model, n, seed, sequences=ids), 0
    for window in WINDOWS:
        batch, _ = impl.ahead(model, n, seed, window, sequences=ids)
        wrong += int(np.any((batch.tokens != plain.tokens) | (batch.order != plain.order), axis=1).sum())
    law = "tokens and order are those of first-hitting without lookahead"
    return [exact("lookahead / agreement", law, wrong, n, f"{wrong} of {len(WINDOWS) * n} sequences differ")]


def rounds(impl: Implementation, model: TableModel, n: int, seed: int, level: float) -> list[Verdict]:
    """A network that does not look at the tokens makes every guess right: 1 + ceil((L - 1) / k) rounds."""
    if not hasattr(impl, "ahead"):
        return []
    ids, wrong = np.arange(n, dtype=np.uint64), 0
    for window in WINDOWS:
        _, found = impl.ahead(model, n, seed, window, sequences=ids)
        wrong += int((np.asarray(found) != 1 + -(-(model.length - 1) // window)).sum())
    law = "1 + ceil((L - 1) / k) rounds where the network does not look"
    return [exact("lookahead / rounds", law, wrong, n, f"{wrong} of {len(WINDOWS) * n} sequences take another number")]
