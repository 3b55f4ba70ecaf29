"""Checks of the samplers: laws of tokens, orders and times, independence of rows, invariances, agreement with the
oracle.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pymdm.prove.batch_reference import BatchReference
from pymdm.prove.check_stream import exact
from pymdm.prove.goodness import chi_square, combine
from pymdm.prove.implementation import Batch, Implementation
from pymdm.prove.plan import Verdict, chi_square_power
from pymdm.prove.tables import TableModel
from pymdm.prove.tally import Tally, states
from pymdm.reference import laws
from pymdm.reference.gumbel import CAP_FLOAT32
from pymdm.reference.laws import Counts
from pymdm.reference.schedule import SCHEDULES, grid
from pymdm.reference.second_order import extrapolated_law

BATCH = 1 << 16  # samples asked for in one call
EXACT_LAW = "P(x) = mean over orders of prod_e mu(x before e)[l_e][x_{l_e}]"
STEP_LAW = "in a step from m to s a mask becomes v with probability (m - s)/m mu(x)[l][v]; all steps enumerated"


def first_hitting(
    impl: Implementation,
    model: TableModel,
    n: int,
    seed: int,
    level: float,
    *,
    prompt: Any = None,
    temperature: float = 1.0,
    tokens_per_call: Counts = 1,
    order: int = 1,
    schedule: str = "linear",
    name: str = "first-hitting",
    wanted: tuple[str, ...] = ("tokens", "rare", "order", "times"),
    **filters: Any,
) -> list[Verdict]:
    """Laws of tokens, rare tokens, order and hitting times of the first-hitting sampler on one model, n samples."""
    late = model.late
    timed = late is not None
    if late is not None:
        if temperature != 1.0 or tokens_per_call != 1 or filters:
            raise ValueError(
                "first_hitting: a time-conditioned table is enumerated for one untempered token a call only"
            )
        when = SCHEDULES[schedule]().time  # the table mixes by time, the process runs in m
        law = laws.timed_law(lambda m: when(m) * model.mu + (1 - when(m)) * late, prompt)
    else:
        mu = model.conditionals(temperature, **filters)
        law = (extrapolated_law if order == 2 else _first_order)(mu, tokens_per_call, prompt)
    tally = Tally(model, law, prompt, schedule)
    for start in range(0, n, BATCH):
        ids = np.arange(start, min(n, start + BATCH), dtype=np.uint64)
        tally.add(
            impl.first_hitting(
                model,
                len(ids),
                seed,
                sequences=ids,
                prompt=prompt,
                temperature=temperature,
                tokens_per_call=tokens_per_call,
                schedule=schedule,
                time_conditioned=timed,
                **({"order": order} if order != 1 else {}),
                **filters,
            )
        )
    shown = dict(temperature=temperature, tokens_per_call=tokens_per_call, order=order, schedule=schedule, **filters)
    label = describe(name, model, prompt, **shown)
    formula = EXACT_LAW
    if tokens_per_call != 1:
        formula = (
            f"the same with {tokens_per_call} tokens from each output: prod_e mu(x before the call)[l_e][x_{{l_e}}]"
        )
    if order == 2:
        formula = (
            f"{tokens_per_call} tokens a call from mu_j + c (mu_j - mu_{{j-1}}), clipped at 0; all calls enumerated"
        )
    verdicts = []
    if "tokens" in wanted:
        verdicts.append(tally.token_verdict(label, formula, level))
    if "rare" in wanted and (rare := tally.rare_verdict(label, level)):
        verdicts.append(rare)
    if "order" in wanted:
        verdicts.append(tally.order_verdict(label, level))
    if "times" in wanted:
        verdicts += tally.time_verdicts(label, level)
    return verdicts


def mixed_prompts(
    impl: Implementation, model: TableModel, n: int, seed: int, level: float, **filters: Any
) -> list[Verdict]:
    """Joint law of (prompt, tokens) in batches whose rows have different prompts, one of them empty and one with one mask."""
    length, v = model.length, model.vocab_size
    prompts = np.full((4, length), v)
    prompts[1, 1] = prompts[2, 0] = 1
    prompts[3, :-1] = 0
    mu = model.conditionals(**filters)
    law = np.stack([np.append(laws.first_hitting_law(mu, prompt), 0.0) / len(prompts) for prompt in prompts])
    counts = np.zeros(law.shape, dtype=np.int64)
    for start in range(0, n, BATCH):
        ids = np.arange(start, min(n, start + BATCH) // 4 * 4, dtype=np.uint64)
        which = (ids % np.uint64(4)).astype(np.int64)
        batch = impl.first_hitting(model, len(ids), seed, sequences=ids, prompt=prompts[which], **filters)
        counts += np.bincount(which * law.shape[1] + states(batch.tokens, model), minlength=law.size).reshape(law.shape)
    fit = chi_square(counts, law)
    formula = "P(prompt, x) = 1/4 P(x | prompt), four prompts in turn in each batch"
    label = describe("first-hitting", model, None, **filters) + " / mixed prompts"
    return [Verdict(label, formula, fit, chi_square_power(int(counts.sum()), fit.cells, level))]


def _first_order(mu: Any, tokens_per_call: Counts, prompt: Any) -> Any:
    return laws.first_hitting_law(mu, prompt, tokens_per_call)


def describe(name: str, model: TableModel, prompt: Any, **options: Any) -> str:
    """Name of a test: sampler, model and whatever is not the default."""
    usual = {"temperature": 1.0, "tokens_per_call": 1, "order": 1, "schedule": "linear"}
    extra = [f"{key}={value}" for key, value in options.items() if usual.get(key) != value]
    return " / ".join([name, model.name, *extra, *(["given tokens"] if prompt is not None else [])])


def ancestral(
    impl: Implementation,
    model: TableModel,
    n: int,
    seed: int,
    level: float,
    *,
    steps: int = 3,
    form: str = "choose-then-sample",
    noise: str = "exact",
    prompt: Any = None,
    temperature: float = 1.0,
    schedule: str = "linear",
) -> list[Verdict]:
    """Law of the tokens of the ancestral sampler on an even grid, n samples; truncated noise against Proposition
    5.2.
    """
    m = SCHEDULES[schedule]().masked(grid(steps))
    cap = CAP_FLOAT32 if noise == "truncated" else None
    law = laws.ancestral_law(model.conditionals(temperature), m, prompt, cap)
    tally = Tally(model, law, prompt, schedule)
    for start in range(0, n, BATCH):
        ids = np.arange(start, min(n, start + BATCH), dtype=np.uint64)
        options = dict(steps=steps, form=form, noise=noise, prompt=prompt, temperature=temperature, schedule=schedule)
        tally.add(impl.ancestral(model, len(ids), seed, sequences=ids, **options))  # type: ignore[arg-type]
    label = describe(f"ancestral {form}", model, prompt, steps=steps, temperature=temperature, schedule=schedule)
    verdicts = [tally.token_verdict(label, STEP_LAW, level)]
    rare = tally.rare_verdict(label, level)
    return verdicts + ([rare] if rare else [])


def path_law(impl: Implementation, model: TableModel, n: int, seed: int, level: float) -> list[Verdict]:
    """Joint law of order and tokens: P(order, x) = (1/L!) prod_e mu(x before e)[l_e][x_{l_e}]."""
    length, v = model.length, model.vocab_size
    tally = Tally(model, laws.start_law(v, length))
    batch = impl.first_hitting(model, n, seed)
    every = laws.all_states(v, length)
    complete = np.flatnonzero(np.all(every < v, axis=1))
    orders = np.flatnonzero(tally.rank < len(tally.orders) - 1)  # base-L codes of the L! orders
    codes = (orders[:, None] // length ** np.arange(length)) % length
    law = np.zeros((len(orders), len(every)))
    for i, order in enumerate(codes):
        x = np.full((len(complete), length), v)
        p = np.full(len(complete), 1 / len(orders))
        for l in order:
            token = every[complete, l]
            p = p * model.mu[laws.state_index(x, v), l, token]
            x[:, l] = token
        law[tally.rank[orders[i]], complete] = p
    order = np.asarray(batch.order)
    proper = np.all((order >= 0) & (order < length), axis=1)
    rank = tally.rank[tally.digits(np.where(proper[:, None], order, 0))]
    state = states(batch.tokens, model)
    proper &= (rank < len(orders)) & (state < len(every))
    cell = np.where(proper, rank * len(every) + state, law.size)
    fit = chi_square(np.bincount(cell, minlength=law.size + 1), np.append(law.ravel(), 0.0))
    formula = "P(order, x) = (1/L!) prod_e mu(x before e)[l_e][x_{l_e}]"
    return [Verdict(f"first-hitting / {model.name} / path", formula, fit, chi_square_power(n, fit.cells, level))]


def independence(impl: Implementation, model: TableModel, n: int, seed: int, level: float) -> list[Verdict]:
    """Rows are independent of each other: pairs of sequence ids (i, i+1), (i, i+2^32) and of seeds (s, s+1), (s,
    s+2^32).
    """
    law = laws.first_hitting_law(model.mu)
    half = max(1, n // 2)
    even = np.arange(half, dtype=np.uint64) * np.uint64(2)
    both = np.arange(2 * half, dtype=np.uint64)
    together = impl.first_hitting(model, 2 * half, seed, sequences=both)

    def part(batch: Batch, rows: Any) -> Batch:
        return Batch(batch.tokens[rows], batch.times[rows], batch.order[rows])

    pairs = {
        "neighbours in a batch": (part(together, slice(0, None, 2)), part(together, slice(1, None, 2))),
        "sequence ids 2^32 apart": tuple(
            impl.first_hitting(model, half, seed, sequences=even + np.uint64(shift)) for shift in (0, 2**32)
        ),
        "seeds 1 apart": tuple(impl.first_hitting(model, half, seed + shift, sequences=even) for shift in (0, 1)),
        "seeds 2^32 apart": tuple(
            impl.first_hitting(model, half, seed + shift, sequences=even) for shift in (0, 2**32)
        ),
    }
    verdicts = []
    joint = np.append(law, 0.0)[:, None] * np.append(law, 0.0)[None, :]
    for name, (one, other) in pairs.items():
        pair = [states(batch.tokens, model) for batch in (one, other)]
        counts = np.bincount(pair[0] * len(joint) + pair[1], minlength=joint.size)
        token_fit = chi_square(counts, joint)
        bins = [np.minimum((np.asarray(b.times)[:, 0] ** model.length * 8).astype(np.int64), 7) for b in (one, other)]
        time_fit = chi_square(np.bincount(bins[0] * 8 + bins[1], minlength=64), np.full(64, 1 / 64))
        fit = combine([token_fit, time_fit])
        power = chi_square_power(half, fit.cells, level / 2)
        verdicts.append(Verdict(f"first-hitting / rows independent / {name}", "P(x, y) = P(x) P(y)", fit, power))
    return verdicts


def invariance(impl: Implementation, model: TableModel, n: int, seed: int, level: float) -> list[Verdict]:
    """A sequence's samples do not depend on the batch around it: permuted, split and single calls give the same."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 2**56, size=n, dtype=np.uint64)
    whole = impl.first_hitting(model, n, seed, sequences=ids)
    order = rng.permutation(n)
    shuffled = impl.first_hitting(model, n, seed, sequences=ids[order])
    wrong = int(np.sum(np.any(whole.tokens[order] != shuffled.tokens, axis=1)))
    wrong += int(np.sum(np.any(whole.times[order] != shuffled.times, axis=1)))
    start = 0
    for size in (1, 2, 3, 7, 16, 64):
        part = impl.first_hitting(model, len(ids[start : start + size]), seed, sequences=ids[start : start + size])
        wrong += int(np.sum(np.any(part.tokens != whole.tokens[start : start + size], axis=1)))
        start = (start + size) % n
    grid_whole = impl.ancestral(model, n, seed, sequences=ids)
    grid_part = impl.ancestral(model, n - n // 2, seed, sequences=ids[n // 2 :])
    wrong += int(np.sum(np.any(grid_whole.tokens[n // 2 :] != grid_part.tokens, axis=1)))
    law = "samples are a function of (seed, sequence id), not of the batch"
    return [exact("samplers / invariance", law, wrong, n, f"{wrong} sequences changed with the batch around them")]


def agreement(impl: Implementation, model: TableModel, n: int, seed: int, level: float) -> list[Verdict]:
    """Samples equal the oracle's, draw by draw: tokens and order exactly, hitting times to 1e-12."""
    oracle = BatchReference()
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 2**56, size=n, dtype=np.uint64)
    prompt = np.full(model.length, model.mask_id)
    prompt[rng.integers(model.length)] = rng.integers(model.vocab_size)
    wrong, verdicts = 0, []
    for options in ({}, {"prompt": prompt}, {"temperature": 0.7}, {"tokens_per_call": 2}, {"schedule": "cosine"}):
        mine, theirs = (i.first_hitting(model, n, seed, sequences=ids, **options) for i in (oracle, impl))  # type: ignore
        differ = np.any(mine.tokens != theirs.tokens, axis=1) | np.any(mine.order != theirs.order, axis=1)
        wrong += int(np.sum(differ))
        wrong += int(np.sum(~np.isclose(mine.times, theirs.times, rtol=1e-12, atol=0)))
    law = "tokens, times and order of each (seed, sequence id) as the oracle draws them"
    verdicts.append(exact("first-hitting / agreement with the oracle", law, wrong, n, f"{wrong} of {5 * n} differ"))
    for form in ("choose-then-sample", "literal"):
        mine, theirs = (i.ancestral(model, n, seed, sequences=ids, form=form) for i in (oracle, impl))
        wrong = int(np.sum(np.any(mine.tokens != theirs.tokens, axis=1)))
        verdicts.append(exact(f"ancestral {form} / agreement with the oracle", law, wrong, n, f"{wrong} of {n} differ"))
    return verdicts
