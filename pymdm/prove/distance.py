"""Measures how far an approximate sampler is from the exact law."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pymdm.prove.implementation import Batch
from pymdm.prove.tables import TableModel
from pymdm.prove.tally import Tally
from pymdm.prove.total_variation import Distance
from pymdm.reference import laws


def total_variation(
    draw: Callable[[np.ndarray], Any], model: TableModel, n: int, prompt: Any = None, batch: int = 1 << 16
) -> Distance:
    """Measures a sampler's distance from the exact first-hitting law of a table model.

    Args:
        draw: sequence ids [B] uint64 -> tokens [B, L].
        model: table model (time-conditioned ones are enumerated for the linear schedule).
        n: number of samples.
        prompt: [L] or None; what `draw` was told is given.
        batch: samples of one call.

    Returns:
        A `Distance`.

    Example:
        >>> from pymdm.prove.batch_reference import BatchReference
        >>> from pymdm.prove.checks import suite
        >>> model = suite()["inconsistent"]
        >>> def two_a_call(ids):
        ...     return BatchReference().first_hitting(model, len(ids), 1, sequences=ids, tokens_per_call=2).tokens
        >>> total_variation(two_a_call, model, 20_000).low > 0.01
        True
    """
    late = model.late
    if late is None:
        law = laws.first_hitting_law(model.mu, prompt)
    else:
        law = laws.timed_law(lambda m: m * model.mu + (1 - m) * late, prompt)
    tally, empty = Tally(model, law, prompt), np.empty((0, 0))
    for start in range(0, n, batch):
        tokens = draw(np.arange(start, min(n, start + batch), dtype=np.uint64))
        tokens = np.asarray(tokens.cpu().numpy() if hasattr(tokens, "cpu") else tokens)
        tally.add(Batch(tokens, empty, empty.astype(np.int64)))
    return tally.distance()
