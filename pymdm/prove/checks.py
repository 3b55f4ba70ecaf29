"""The list of checks that any implementation is put through, each bound to the small models it is run on.

A check takes (implementation, n, seed, level) and returns verdicts. `n` is what it is about: addresses, draws, rows or
samples. The sampler laws over many random models are in `run`; here they are bound to a fixed suite, which is what the
planted faults are measured with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from pymdm.prove import check_choice, check_lookahead, check_precision, check_remask, check_samplers, check_stream
from pymdm.prove.implementation import Implementation
from pymdm.prove.plan import Verdict
from pymdm.prove.tables import TableModel, random_model


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: unique.
        run: (implementation, n, seed, level) -> verdicts.
        fast: n for the fast subset, 0 to leave it out; full: n for the whole proof.
        start: n that the search for a fault's sample count starts from.
        tests: upper bound of the verdicts it returns.
    """

    name: str
    run: Callable[[Implementation, int, int, float], list[Verdict]]
    fast: int
    full: int
    tests: int
    start: int = 64


@lru_cache(maxsize=1)
def suite() -> dict[str, TableModel]:
    """The fixed small models of the registry."""
    rng = np.random.default_rng(2409)
    models = {
        "pair": random_model(2, 2, "inconsistent", rng),
        "path": random_model(2, 3, "inconsistent", rng),
        "consistent": random_model(3, 3, "consistent", rng),
        "inconsistent": random_model(2, 4, "inconsistent", rng),
        "rare": random_model(4, 3, "inconsistent", rng, rare=True),
        "five": random_model(5, 3, "inconsistent", rng),
        "long": random_model(2, 5, "inconsistent", rng),
        "timed": random_model(3, 3, "timed", rng),
    }
    models["mask inside"] = replace(models["consistent"], name="consistent, mask 1 of 4", mask_at=1)
    models["blind"] = TableModel("blind", np.broadcast_to(models["long"].mu[:1], models["long"].mu.shape).copy())
    for half in ("float16", "bfloat16"):
        models[half] = replace(models["consistent"], name=f"consistent in {half}", half=half)
    return models


def _on(function: Any, model: str, **options: Any) -> Callable[[Implementation, int, int, float], list[Verdict]]:
    """Binds a sampler check to a model of the suite."""

    def run(impl: Implementation, n: int, seed: int, level: float) -> list[Verdict]:
        return function(impl, suite()[model], n, seed, level, **options)

    return run


def _prompt(model: str) -> Any:
    """Middle position given, in the suite's model of that name."""
    m = suite()[model]
    prompt = np.full(m.length, m.mask_id)
    prompt[1] = 1
    return prompt


def _given(function: Any, model: str, **options: Any) -> Callable[[Implementation, int, int, float], list[Verdict]]:
    def run(impl: Implementation, n: int, seed: int, level: float) -> list[Verdict]:
        return function(impl, suite()[model], n, seed, level, prompt=_prompt(model), **options)

    return run


_fh, _anc = check_samplers.first_hitting, check_samplers.ancestral
_tokens = partial(_on, _fh, wanted=("tokens",))
_again = check_remask.remasking
_LOOP: dict[str, Any] = dict(strategy="loop", steps=8, eta=0.3, t_on=0.7, t_off=0.2)
_FAST, _FULL = 1 << 15, 1 << 21

CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        Check("golden bits", check_stream.golden_bits, 2048, 1 << 16, 1),
        Check("address bits", check_stream.address_bits, 4096, 1 << 20, 2),
        Check("bit law", check_stream.bit_law, 1 << 15, 1 << 22, 3),
        Check("uniforms", check_stream.uniform_law, 1 << 15, 1 << 22, 2),
        Check("noise of given bits", check_stream.noise_edges, 4096, 1 << 18, 1),
        Check("Gumbel noise", check_stream.gumbel_law, 1 << 15, 1 << 22, 1),
        Check("choice oracle", check_choice.choose_oracle, 2048, 1 << 15, 1),
        Check("choice ties", check_choice.choose_ties, 64, 2048, 1),
        Check("choice filters", check_choice.choose_filters, 768, 1 << 14, 3),
        Check("choice law", check_choice.choose_law, _FAST, _FULL, 3),
        Check("noise kinds", check_precision.noise_kinds, 2048, 1 << 15, 4),
        Check("literal precision", check_precision.literal_precision, 0, 1 << 16, 2, start=1 << 16),
        Check("agreement", _on(check_samplers.agreement, "consistent"), 256, 1 << 14, 3),
        Check("invariance", _on(check_samplers.invariance, "consistent"), 128, 1 << 12, 1),
        Check("rows independent", _on(check_samplers.independence, "pair"), _FAST, _FULL, 4),
        Check("tokens, consistent", _tokens("consistent"), _FAST, _FULL, 1),
        Check("tokens, inconsistent", _tokens("inconsistent"), _FAST, _FULL, 1),
        Check("tokens, five symbols", _tokens("five"), _FAST, _FULL, 1),
        Check("rare tokens", _on(_fh, "rare", wanted=("tokens", "rare")), _FAST, _FULL, 2),
        Check("tokens, temperature 0.6", _tokens("consistent", temperature=0.6), _FAST, _FULL, 1),
        Check("tokens, two a call", _tokens("inconsistent", tokens_per_call=2), _FAST, _FULL, 1),
        Check("tokens, order 2", _tokens("inconsistent", tokens_per_call=2, order=2), _FAST, _FULL, 1),
        Check("tokens, order 2, unequal calls", _tokens("long", tokens_per_call=(1, 3), order=2), _FAST, _FULL, 1),
        Check("tokens, order 2, top-k", _tokens("five", tokens_per_call=2, order=2, top_k=2), _FAST, _FULL, 1),
        Check("tokens, top-k", _tokens("five", top_k=3), _FAST, _FULL, 1),
        Check("tokens, top-p", _tokens("five", temperature=1.3, top_p=0.8), _FAST, _FULL, 1),
        Check("tokens, bans", _tokens("five", banned=(False, True, False, False, True)), _FAST, _FULL, 1),
        Check("tokens, mixed prompts", _on(check_samplers.mixed_prompts, "consistent"), _FAST, _FULL, 1),
        Check("tokens, mixed prompts, top-k", _on(check_samplers.mixed_prompts, "five", top_k=2), _FAST, _FULL, 1),
        Check("tokens, float16 logits", _tokens("float16"), _FAST, _FULL, 1),
        Check("tokens, bfloat16 logits", _tokens("bfloat16"), _FAST, _FULL, 1),
        Check("tokens, time-conditioned, cosine", _tokens("timed", schedule="cosine"), _FAST, _FULL, 1),
        Check("tokens, time-conditioned, geometric", _tokens("timed", schedule="geometric"), _FAST, _FULL, 1),
        Check("tokens, given ones", _given(_fh, "inconsistent", wanted=("tokens",)), _FAST, _FULL, 1),
        Check("tokens, time-conditioned", _tokens("timed"), _FAST, _FULL, 1),
        Check("order", _on(_fh, "long", wanted=("order",)), _FAST, _FULL, 1),
        Check("order, given tokens", _given(_fh, "long", wanted=("order",)), _FAST, _FULL, 1),
        Check("path", _on(check_samplers.path_law, "path"), _FAST, 1 << 20, 1),
        Check("times", _on(_fh, "inconsistent", wanted=("times",)), _FAST, 1 << 20, 2),
        Check("times, cosine", _on(_fh, "inconsistent", wanted=("times",), schedule="cosine"), _FAST, 1 << 20, 2),
        Check("times, given tokens", _given(_fh, "inconsistent", wanted=("times",)), _FAST, 1 << 20, 2),
        Check("ancestral", _on(_anc, "inconsistent"), _FAST, _FULL, 2),
        Check("ancestral, given tokens", _given(_anc, "inconsistent"), _FAST, _FULL, 2),
        Check("ancestral, cosine", _on(_anc, "rare", schedule="cosine"), _FAST, _FULL, 2),
        Check("ancestral, five symbols", _on(_anc, "five", steps=2), _FAST, _FULL, 2),
        Check("literal", _on(_anc, "inconsistent", form="literal"), _FAST, _FULL, 2),
        Check("remask, conf", _on(_again, "path", strategy="conf", steps=5, eta=1.0), _FAST, _FULL, 1),
        Check("remask, conf, given tokens", _given(_again, "path", strategy="conf", steps=5, eta=1.0), _FAST, _FULL, 1),
        Check("remask, loop", _on(_again, "inconsistent", **_LOOP), _FAST, _FULL, 1),
        Check("remask, loop, given tokens", _given(_again, "inconsistent", **_LOOP), _FAST, _FULL, 1),
        Check("lookahead", _on(check_lookahead.agreement, "inconsistent"), 64, 1 << 12, 1, start=16),
        Check("rounds of lookahead", _on(check_lookahead.rounds, "blind"), 64, 1 << 12, 1, start=16),
        Check("tokens, mask inside with NaN", _tokens("mask inside"), _FAST, _FULL, 1),
        Check("literal, temperature 0.6", _on(_anc, "five", form="literal", temperature=0.6), _FAST, _FULL, 2),
    )
}
