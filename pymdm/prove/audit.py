"""Tests a user's own sampler function: does it sample the law that its network defines?"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymdm.prove.check_stream import exact
from pymdm.prove.goodness import binomial, contingency
from pymdm.prove.implementation import Batch
from pymdm.prove.plan import ALPHA, Plan, Verdict, binomial_power, chi_square_power, root_seed, sample_size
from pymdm.prove.run import Cell, Measured, Proof
from pymdm.prove.tables import TableModel, random_model, random_prompt
from pymdm.prove.tally import Tally, states
from pymdm.prove.total_variation import COVERAGE
from pymdm.reference import laws

CELLS = 20  # cells that a report shows
Sampler = Callable[..., Any]
_EMPTY: Any = np.empty((0, 0))


class WideModel:
    """Token 0 has probability 1/2 everywhere, the V - 1 others share the rest: each is rare, half of the tokens are.

    With noise capped at M, an ancestral sampler of N steps starts the rare tokens late by 2 c N V, c = exp(-M), in its
    first step (Zheng et al. 2025, section 5). At the cap of float32 uniforms and V = 262,144 token 0 then comes 73% of
    the time for N = 100, 81% for 200, 91% for 1,000, and 50% with exact noise. A first-hitting sampler never draws the
    mask and hardly suffers.

    tokens [B, L] torch or numpy -> logits [B, L, V] float32 of the same kind.
    """

    def __init__(self, vocab_size: int, length: int):
        self.vocab_size, self.length, self.mask_id = vocab_size, length, vocab_size
        self._logits = np.full(vocab_size, -np.log(vocab_size - 1), dtype=np.float32)
        self._logits[0] = 0.0
        rest = np.exp(np.float64(self._logits[1])) * (vocab_size - 1)  # 1 but for the rounding of the logit
        self.common = 1.0 / (1.0 + rest)

    def __call__(self, tokens: Any, time: Any = None) -> Any:
        shape = (*tokens.shape, self.vocab_size)
        if isinstance(tokens, np.ndarray):
            return np.broadcast_to(self._logits, shape)
        import torch  # only callers that hold tensors need it

        return torch.from_numpy(self._logits).to(tokens.device).expand(shape)

    def rows(self, tokens: Any, positions: Any, time: Any = None) -> Any:
        """Logits [M, V] of chosen positions."""
        return np.broadcast_to(self._logits, (len(tokens), self.vocab_size))


def audit_models(seed: int) -> list[TableModel]:
    """Six small models: consistent and inconsistent, two to five symbols, one with rare tokens."""
    rng = np.random.default_rng(seed)
    shapes = (
        (2, 3, "inconsistent", False),
        (3, 3, "consistent", False),
        (2, 5, "inconsistent", False),
        (4, 3, "inconsistent", True),
        (5, 3, "consistent", False),
        (3, 4, "inconsistent", False),
    )
    return [random_model(v, l, kind, rng, rare=rare) for v, l, kind, rare in shapes]


def audit(
    sampler: Sampler,
    *,
    models: Sequence[TableModel] | None = None,
    samples: int | None = None,
    batch: int = 8192,
    wide: bool = True,
    seed: int | None = None,
    alpha: float = ALPHA,
    name: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Proof:
    """Audits a sampler function against the exact law of a masked model sampled in uniformly random order.

    Args:
        sampler: `sampler(model, mask_id, length, num_samples, seed) -> tokens [num_samples, length]` integers, torch or
            numpy. `model(tokens [B, L]) -> logits [B, L, V]` takes torch or numpy and answers in kind. If it also takes
            a parameter `prompt` ([length], mask_id where free), infilling is audited too.
        models: table models; default six.
        samples: per test, at least 2; default: as many as power 1 - 1e-6 at total variation 1% takes. With fewer, a sampler
            that passes has passed at the power that its verdicts carry.
        batch: rows asked for in one call, each call with a new seed.
        wide: also sample 96 tokens over a vocabulary of 262,144, which shows noise of low precision in ancestral
            samplers of about 200 steps or more.
        seed: root seed; default fixed, or new with PYMDM_RESEED.
        alpha: chance that a correct sampler fails anywhere.
        name: for the report; default the function's name.
        progress: told one line per finished test.

    Returns:
        A `Proof` whose verdicts carry p-value and power, with the total variation from the law of every model (intervals
        that hold together with probability 95%) and the sequences whose frequencies differ most.

    Raises:
        ValueError: fewer than 2 samples, or the sampler returned something that is not [num_samples, length] integers.

    Example:
        >>> from pymdm.prove.batch_reference import BatchReference
        >>> def mine(model, mask_id, length, num_samples, seed):
        ...     return BatchReference().first_hitting(model, num_samples, seed).tokens
        >>> audit(mine, samples=2000, wide=False).passed
        True
    """
    if samples is not None and samples < 2:
        raise ValueError(f"audit: samples must be at least 2, got {samples}")
    say = progress or (lambda line: None)
    seed = root_seed() if seed is None else seed
    table = audit_models(seed) if models is None else list(models)
    infills = "prompt" in inspect.signature(sampler).parameters
    plan = Plan(2 * len(table) * (2 if infills else 1) + 3, alpha, seed)
    proof = Proof(name or str(getattr(sampler, "__name__", "sampler")), plan, samples=samples)
    coverage = 1 - (1 - COVERAGE) / (len(table) * (2 if infills else 1))
    began = time.perf_counter()

    def draw(model: Any, count: int, call_seed: int, **extra: Any) -> NDArray[np.int64]:
        tokens = sampler(model, model.mask_id, model.length, count, call_seed, **extra)
        tokens = np.asarray(tokens.cpu().numpy() if hasattr(tokens, "cpu") else tokens)
        if tokens.shape != (count, model.length) or not np.issubdtype(tokens.dtype, np.integer):
            raise ValueError(
                f"audit: the sampler must return integers of shape ({count}, {model.length}), "
                f"got {tokens.dtype} of shape {tokens.shape}"
            )
        return tokens.astype(np.int64)

    def law_of(model: TableModel, prompt: Any) -> list[Verdict]:
        law = laws.first_hitting_law(model.mu, prompt)
        n = samples or sample_size(max(2, int((law > 0).sum())), plan.level)
        tally = Tally(model, law, prompt)
        label = f"{model.name}{'' if prompt is None else ' / given tokens'}"
        root = plan.seed_for(label)
        extra = {} if prompt is None else {"prompt": prompt.copy()}
        for start in range(0, n, batch):
            tally.add(Batch(draw(model, min(batch, n - start), root + start // batch, **extra), _EMPTY, _EMPTY))
        proof.distances.append(Measured(proof.implementation, label, tally.distance(coverage)))
        proof.cells = sorted(proof.cells + cells(tally, label), key=lambda c: -abs(c.z))[:CELLS]
        rare = tally.rare_verdict(label, plan.level)
        return [tally.token_verdict(label, "mean over orders of the product of conditionals", plan.level)] + (
            [rare] if rare else []
        )

    def tell(verdicts: list[Verdict]) -> None:
        plan.add(verdicts)
        for verdict in verdicts:
            say(f"{verdict.name}: p-value {verdict.p_value:.2g}" + f", power {verdict.power:.3g}" * verdict.statistical)

    for model in table:
        tell(law_of(model, None))
    proof.seconds["laws"] = time.perf_counter() - began
    if infills:
        rng = np.random.default_rng(plan.seed_for("prompts"))
        for model in table:
            tell(law_of(model, random_prompt(model, rng)))
    tell(independence(draw, plan, samples or 1 << 18, batch))
    if wide:
        tell([wide_vocabulary(draw, plan)])
    proof.seconds["all"] = time.perf_counter() - began
    plan.judge()
    return proof


def cells(tally: Tally, model: str) -> list[Cell]:
    """Every sequence that the law allows, and all others as one."""
    law, seen = tally.law, tally.counts / max(tally.n, 1)
    base, length = tally.model.vocab_size + 1, tally.model.length
    found = []
    for i in np.flatnonzero(law):
        tokens = " ".join(str(t) for t in np.unravel_index(i, (base,) * length))
        found.append(Cell(model, tokens, float(law[i]), float(seen[i]), tally.n))
    other = 1 - sum(c.seen for c in found)
    return found + ([Cell(model, "other", 0.0, other, tally.n)] if other > 0.5 / max(tally.n, 1) else [])


def independence(draw: Any, plan: Plan, n: int, batch: int) -> list[Verdict]:
    """Neighbouring rows of a batch are independent, whatever their law, and two seeds do not give the same batch."""
    model = random_model(2, 2, "inconsistent", np.random.default_rng(plan.seed_for("pair")))
    size = (model.vocab_size + 1) ** model.length + 1
    pairs = np.zeros((size, size), dtype=np.int64)
    root = plan.seed_for("rows")
    for start in range(0, n - 1, batch):
        state = states(draw(model, min(batch, n - start), root + start // batch), model)
        even = len(state) // 2 * 2
        np.add.at(pairs, (state[:even:2], state[1:even:2]), 1)
    fit = contingency(pairs)
    power = chi_square_power(fit.n, fit.cells, plan.level)
    one, other = draw(model, 256, root), draw(model, 256, root + 1)
    same = int(np.array_equal(one, other))
    return [
        Verdict("rows of a batch", "P(x, y) = P(x) P(y) for neighbours, with the sampler's own P", fit, power),
        exact("seeds", "two seeds give different batches", same, 2, "two seeds gave the same 256 sequences"),
    ]


def wide_vocabulary(draw: Any, plan: Plan, vocab_size: int = 1 << 18, length: int = 6, count: int = 16) -> Verdict:
    """How often the common token of `WideModel` comes, by an exact binomial test over all positions."""
    model = WideModel(vocab_size, length)
    tokens = draw(model, count, plan.seed_for("wide")).ravel()
    name, law = f"wide vocabulary / {vocab_size:,} tokens", "P(token 0) = 1/2 (power for 3/4)"
    illegal = int(np.sum((tokens < 0) | (tokens >= vocab_size)))
    if illegal:
        return exact(name, law, illegal, len(tokens), f"{illegal} of {len(tokens)} are no tokens")
    fit = binomial(int(np.sum(tokens == 0)), len(tokens), model.common)
    return Verdict(name, law, fit, binomial_power(len(tokens), model.common, plan.level))
