"""The whole proof of an implementation: every check, the laws of many random models, and the planted faults."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import factorial

import numpy as np

from pymdm.prove.check_samplers import ancestral, first_hitting
from pymdm.prove.checks import CHECKS, suite
from pymdm.prove.distance import total_variation
from pymdm.prove.faults import Caught, Fault, catch_all
from pymdm.prove.implementation import Implementation
from pymdm.prove.plan import ALPHA, Plan, Verdict, root_seed, sample_size
from pymdm.prove.tables import TableModel, random_models, random_prompt
from pymdm.prove.total_variation import Distance
from pymdm.reference import laws

Progress = Callable[[str], None]
Draw = Callable[[TableModel, int, np.ndarray], np.ndarray]  # (model, seed, sequence ids [B]) -> tokens [B, L]
MEASURED = ("consistent", "inconsistent", "five")  # models of the suite that approximate samplers are measured on
PER_MODEL = 18  # verdicts of one model, at most


@dataclass(frozen=True)
class Measured:
    """How far a sampler is from the exact law of a model."""

    sampler: str
    model: str
    distance: Distance


@dataclass(frozen=True)
class Cell:
    """A complete sequence of a model: its probability under the law, and how often a sampler gave it.

    Attributes:
        model: its name. sequence: tokens, "other" for what the law does not allow.
        law: probability. seen: frequency in n samples.
    """

    model: str
    sequence: str
    law: float
    seen: float
    n: int

    @property
    def error(self) -> float:
        """Standard error of `seen` under the law."""
        return float(np.sqrt(self.law * (1 - self.law) / self.n))

    @property
    def z(self) -> float:
        """Seen minus law, in standard errors; infinite where the law has none."""
        return (self.seen - self.law) / self.error if self.error else float(np.inf) * (self.seen > self.law)


@dataclass
class Proof:
    """Outcome of a run.

    Attributes:
        implementation: its name.
        plan: the plan with all verdicts, judged.
        caught: what became of every planted fault.
        approximations: (model, tokens per call, total variation from the exact law), enumerated, no sampling.
        distances: of the samplers that were only to be measured; of an audit, the sampler's on every model.
        cells: of an audit, the sequences whose frequencies differ most from the law.
        samples: of each test of an audit, None for those that the power aimed at takes.
        seconds: wall time by part of the run.
        facts: what was run where, for the report.
        fast: whether this was the fast subset.
    """

    implementation: str
    plan: Plan
    caught: list[Caught] = field(default_factory=list)
    approximations: list[tuple[str, int, float]] = field(default_factory=list)
    distances: list[Measured] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    samples: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    fast: bool = False

    @property
    def passed(self) -> bool:
        """Whether every law held and every fault was caught."""
        return all(v.passed for v in self.plan.verdicts) and all(c.caught for c in self.caught)


def model_verdicts(
    impl: Implementation, model: TableModel, plan: Plan, samples: int | None = None, cap: int | None = None
) -> list[Verdict]:
    """Every exact sampler on one model: first-hitting free, with given tokens and at a temperature; ancestral, both
    forms.

    Args:
        impl: the implementation.
        model: a table model.
        plan: gives level and seeds; which prompt, temperature and grid is drawn from them.
        samples: per sampler; default: what power 1 - 1e-6 at total variation 1% takes for this model's number of cells.
        cap: upper bound of that number.
    """
    rng = np.random.default_rng(plan.seed_for(f"options/{model.name}"))
    prompt = random_prompt(model, rng)
    temperature = float(rng.choice([0.5, 0.7, 0.9, 1.3]))
    steps, schedule = int(rng.integers(2, 6)), str(rng.choice(["linear", "cosine"]))

    def size(free: int, orders: bool) -> int:
        cells = max(model.vocab_size**free, factorial(free) if orders else 2)
        n = samples or sample_size(max(cells, 2), plan.level)
        return n if cap is None else min(n, cap)

    def seed(kind: str) -> int:
        return plan.seed_for(f"{kind}/{model.name}")

    length, free, level = model.length, int(np.sum(prompt == model.mask_id)), plan.level
    given = seed("given")
    verdicts = first_hitting(impl, model, size(length, True), seed("free"), level, schedule=schedule)
    verdicts += first_hitting(impl, model, size(free, True), given, level, prompt=prompt)
    warm = size(length, False)
    verdicts += first_hitting(
        impl, model, warm, seed("warm"), level, temperature=temperature, wanted=("tokens", "rare")
    )  # fmt: skip
    for form in ("choose-then-sample", "literal"):
        n = size(length, False)
        verdicts += ancestral(impl, model, n, seed(form), level, steps=steps, form=form, schedule=schedule)
    n = size(free, False)
    verdicts += ancestral(impl, model, n, seed("ancestral given"), level, steps=steps, prompt=prompt)
    return verdicts


def prove(
    impl: Implementation,
    *,
    fast: bool = False,
    models: Sequence[TableModel] | int = 50,
    faults: Sequence[Fault] = (),
    approximate: Mapping[str, Draw] | None = None,
    seed: int | None = None,
    alpha: float = ALPHA,
    progress: Progress | None = None,
) -> Proof:
    """Puts an implementation to the proof.

    Args:
        impl: the implementation.
        fast: small sample sizes: the fast subset of the checks, 8,192 samples per model and sampler.
        models: table models, or how many to draw.
        faults: planted faults to look for, as `pymdm.prove.faults.FAULTS`. They are broken copies of the reference, so
            they show what the checks can see, not anything about `impl`.
        approximate: samplers whose distance from the exact law is to be measured, by name.
        seed: root seed; default fixed, or new with PYMDM_RESEED.
        alpha: chance that a correct implementation fails anywhere in the run.
        progress: told one line per finished part.

    Returns:
        A `Proof`.
    """
    say = progress or (lambda line: None)
    seed = root_seed() if seed is None else seed
    table = random_models(models, seed) if isinstance(models, int) else list(models)
    checks = [c for c in CHECKS.values() if not fast or c.fast]
    plan = Plan(sum(c.tests for c in checks) + PER_MODEL * len(table), alpha, seed)
    proof = Proof(impl.name, plan, fast=fast)
    began = time.perf_counter()

    def lap(part: str) -> None:
        nonlocal began
        now = time.perf_counter()
        proof.seconds[part] = now - began
        began = now

    for check in checks:
        verdicts = check.run(impl, check.fast if fast else check.full, plan.seed_for(check.name), plan.level)
        plan.add(verdicts)
        say(f"check {check.name}: smallest p-value {min((v.p_value for v in verdicts), default=1.0):.2g}")
    lap("checks")
    for i, model in enumerate(table):
        verdicts = model_verdicts(impl, model, plan, 8192 if fast else None)
        plan.add(verdicts)
        say(f"model {i + 1}/{len(table)} {model.name}: smallest p-value {min(v.p_value for v in verdicts):.2g}")
    lap("random models")
    for model in table[:10]:
        exact = laws.first_hitting_law(model.mu)
        for k in (2, 3):
            apart = 0.5 * float(np.abs(laws.first_hitting_law(model.mu, tokens_per_call=k) - exact).sum())
            proof.approximations.append((model.name, k, apart))
    for name, draw in (approximate or {}).items():
        for model in (suite()[key] for key in MEASURED):
            root = plan.seed_for(f"distance/{name}/{model.name}")
            distance = total_variation(partial(draw, model, root), model, 1 << 13 if fast else 1 << 17)
            proof.distances.append(Measured(name, model.name, distance))
        say(f"distance of {name}: " + ", ".join(m.distance.text() for m in proof.distances[-len(MEASURED) :]))
    lap("distances")

    def told(caught: Caught) -> None:
        say(f"fault {caught.fault.name}: {'caught' if caught.caught else 'MISSED'} at n = {caught.n}")

    proof.caught = catch_all(plan, faults, told)
    lap("faults")
    plan.judge()
    return proof
