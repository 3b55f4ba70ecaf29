"""Checks of the remasking sampler against its law, enumerated step by step."""

from __future__ import annotations

from typing import Any

import numpy as np

from pymdm.prove.check_samplers import BATCH, describe
from pymdm.prove.implementation import Implementation
from pymdm.prove.plan import Verdict
from pymdm.prove.tables import TableModel
from pymdm.prove.tally import Tally
from pymdm.reference.remask import confident_law, remask_law, strategy_grid

LAW = "a drawn token is masked again with probability sigma, a mask leaves with (m - s + sigma (1 - m)) / m; enumerated"
CONF = "sigma times each drawn token's share of exp(-p), p what it was drawn with, a mask leaves with (m - s) / m; enumerated"


def remasking(
    impl: Implementation,
    model: TableModel,
    n: int,
    seed: int,
    level: float,
    *,
    strategy: str,
    steps: int,
    eta: float,
    prompt: Any = None,
    temperature: float = 1.0,
    **shape: float,
) -> list[Verdict]:
    """Law of the tokens of `Remask`, n samples; none where the implementation does not offer it."""
    if not hasattr(impl, "remask"):
        return []
    levels, sigma = strategy_grid(strategy, steps, eta, **shape)  # type: ignore[arg-type]
    enumerated = confident_law if strategy == "conf" else remask_law
    tally = Tally(model, enumerated(model.conditionals(temperature), levels, sigma, prompt), prompt)
    for start in range(0, n, BATCH):
        ids = np.arange(start, min(n, start + BATCH), dtype=np.uint64)
        options = dict(steps=steps, strategy=strategy, eta=eta, prompt=prompt, temperature=temperature, **shape)
        tally.add(impl.remask(model, len(ids), seed, sequences=ids, **options))  # type: ignore[arg-type]
    label = describe(f"remask {strategy}", model, prompt, steps=steps, eta=eta, temperature=temperature)
    return [tally.token_verdict(label, CONF if strategy == "conf" else LAW, level)]
