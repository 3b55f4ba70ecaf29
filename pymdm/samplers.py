"""The samplers, as small frozen descriptions; the work is done by the compiled core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pymdm._native import C
from pymdm.schedules import Schedule, as_schedule

NOISES = ("exact", "float32", "float64", "truncated")
FORMS = ("choose-then-sample", "literal")
RULES = ("probability", "margin", "entropy", "random")
STRATEGIES = {"cap": 0.008, "rescale": 0.015, "conf": 1.0, "loop": 0.02}  # with the published eta


class Sampler(Protocol):
    """What `pymdm.sample` needs of a sampler."""

    @property
    def law(self) -> str:
        """ "exact" or "approximate"."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the samples must know."""

    def native(self) -> Any:
        """The compiled sampler."""


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"sample: {name} must be one of {', '.join(choices)}, got {value!r}")


def _noise_warnings(noise: str) -> tuple[str, ...]:
    if noise in ("exact", "float64"):
        return ()
    return (f"{noise} noise distorts the samples (truncated Gumbel, Proposition 5.2): for measurement only",)


@dataclass(frozen=True)
class FirstHitting:
    """First-hitting sampler: one network call per token of a sequence, whatever the batch.

    Law: positions leave the mask in uniformly random order, token l ~ mu(x)[l] given the tokens x before it, and
    tau_{n-1} = alpha^{-1}(1 - u^{1/n} (1 - alpha(tau_n))). *Exact* with one token a call: the law of the continuous-time
    reverse process, for time-conditioned networks too. *Approximate* with more, as tokens of one call do not see each
    other; `order=2` and `corrector=True` are second order at no extra calls, the latter for networks that
    answer at unmasked positions too (docs/samplers.md).

    Args:
        tokens_per_call: tokens unmasked by one network call, at least 1; or a sequence, whose last entry repeats. NFE of
            a sequence with n masks is ceil(n / tokens_per_call).
        order: 1, or 2 for extrapolation in time (Lagrange line through the two latest outputs).
        corrector: correct the tokens of a call by the next call's output at their positions. Needs a network whose
            output at an unmasked position is its conditional given all others.
        schedule: noise schedule, a name or a `pymdm.Schedule`. It sets the times; a time-free network does not see it.
        noise: "exact", or the coarse noise of published samplers, to measure what it does (see `Ancestral`).

    Raises:
        ValueError: a value out of range, order 2 together with the corrector, or either of them with coarse noise.

    Source: Zheng et al., ICLR 2025, Proposition 4.1 and section 4; the corrector is ours.

    >>> FirstHitting().law, FirstHitting(tokens_per_call=4).law
    ('exact', 'approximate')
    """

    tokens_per_call: int | tuple[int, ...] = 1
    order: int = 1
    corrector: bool = False
    schedule: Schedule | str = "linear"
    noise: str = "exact"

    def __post_init__(self) -> None:
        counts = self._counts()
        if not counts or any(not isinstance(k, int) or k < 1 for k in counts):
            raise ValueError(f"sample: tokens_per_call must be at least 1, got {self.tokens_per_call}")
        if self.order not in (1, 2):
            raise ValueError(f"sample: order must be 1 or 2, got {self.order}")
        if self.corrector and self.order == 2:
            raise ValueError("sample: give order=2 or corrector=True, not both")
        _one_of("noise", self.noise, NOISES)
        if self.noise != "exact" and (self.order == 2 or self.corrector):
            raise ValueError("sample: coarse noise is for plain first-hitting sampling only")
        as_schedule(self.schedule)

    def _counts(self) -> list[int]:
        return list(self.tokens_per_call) if isinstance(self.tokens_per_call, Sequence) else [self.tokens_per_call]

    @property
    def law(self) -> str:
        return "exact" if set(self._counts()) == {1} and self.noise == "exact" else "approximate"

    @property
    def warnings(self) -> tuple[str, ...]:
        return _noise_warnings(self.noise)

    def native(self) -> Any:
        schedule, counts = as_schedule(self.schedule).native(), self._counts()
        if set(counts) == {1} or not (self.corrector or self.order == 2):  # one token a call leaves nothing to refine
            return C.first_hitting(schedule, counts, NOISES.index(self.noise))
        return (C.corrected if self.corrector else C.extrapolated)(schedule, counts)


@dataclass(frozen=True)
class Ancestral:
    """Ancestral sampling on a time grid 1 = t_0 > ... > t_N = 0.

    Law: in the step from t to s every masked token leaves the mask with probability (m(t) - m(s)) / m(t), m = 1 - alpha,
    independently, and is drawn from mu(x_t)[l]. *Approximate* for the continuous-time process; exact as N -> infinity.
    The form "choose-then-sample" draws first which tokens move; "literal" draws the mask as one more class, as published
    code does. In exact arithmetic their laws are equal.

    Args:
        steps: N, at least 1, for an even grid.
        times: a grid of your own instead, from 1 to 0.
        form: "choose-then-sample" or "literal".
        cache: call the network only where its input changed, sequence by sequence. Right for time-free networks;
            choose-then-sample is right with it for every network. Expected calls for one sequence at the linear
            schedule: N (1 - (1 - 1/N)^L).
        noise: literal form only: "exact", or "float32", "float64", "truncated" to reproduce the defect of section 5.
        schedule: noise schedule, a name or a `pymdm.Schedule`.

    Raises:
        ValueError: a value out of range, or coarse noise outside the literal form.

    Source: Zheng et al., ICLR 2025, sections 4 and 5.

    >>> Ancestral(steps=64).law
    'approximate'
    """

    steps: int = 0
    times: tuple[float, ...] | None = None
    form: str = "choose-then-sample"
    cache: bool = True
    noise: str = "exact"
    schedule: Schedule | str = "linear"

    def __post_init__(self) -> None:
        if (self.times is None) == (self.steps == 0):
            raise ValueError("sample: ancestral sampling needs steps or times, one of them")
        if self.times is None and self.steps < 1:
            raise ValueError(f"sample: steps must be at least 1, got {self.steps}")
        _one_of("form", self.form, FORMS)
        _one_of("noise", self.noise, NOISES)
        if self.noise != "exact" and self.form != "literal":
            raise ValueError('sample: coarse noise is for form="literal" only')
        self.native()

    @property
    def law(self) -> str:
        return "approximate"

    @property
    def warnings(self) -> tuple[str, ...]:
        return _noise_warnings(self.noise)

    def native(self) -> Any:
        times = self.times or [1 - i / self.steps for i in range(self.steps)] + [0.0]
        schedule = as_schedule(self.schedule).native()
        if self.form == "literal":
            return C.literal(list(times), schedule, self.cache, NOISES.index(self.noise))
        return C.ancestral(list(times), schedule, self.cache)


@dataclass(frozen=True)
class Confidence:
    """Unmasks where the network is most sure, as LLaDA, Dream and Fast-dLLM do.

    Law: none in closed form (*approximate*): order and tokens depend on each other, so samples do not follow the reverse
    process, and they repeat themselves more. At each call every masked position of the current block proposes a token;
    the most confident take theirs.

    Args:
        rule: "probability" of the proposed token (LLaDA low confidence, Dream maskgit_plus), "margin" between the two most
            likely tokens, negative "entropy" (Dream), or "random" order (LLaDA random remasking).
        tokens_per_call: positions unmasked by each call, at least.
        threshold: also unmask every position whose confidence is above this (Fast-dLLM: rule "probability", 0.9).
        block_length: semi-autoregressive blocks of this many positions, left to right.

    Raises:
        ValueError: a value out of range.

    Source: Nie et al., arXiv 2502.09992 (LLaDA); Ye et al., arXiv 2508.15487 (Dream); Wu et al., arXiv 2505.22618 (Fast-dLLM).

    >>> Confidence("margin", tokens_per_call=2).law
    'approximate'
    """

    rule: str = "probability"
    tokens_per_call: int = 1
    threshold: float | None = None
    block_length: int | None = None

    def __post_init__(self) -> None:
        _one_of("rule", self.rule, RULES)
        if self.tokens_per_call < 1:
            raise ValueError(f"sample: tokens_per_call must be at least 1, got {self.tokens_per_call}")
        if self.block_length is not None and self.block_length < 1:
            raise ValueError(f"sample: block_length must be at least 1, got {self.block_length}")
        if self.threshold is not None and self.threshold != self.threshold:
            raise ValueError("sample: threshold must be a number, got nan")

    @property
    def law(self) -> str:
        return "approximate"

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    def native(self) -> Any:
        off = 2.0  # no confidence is above it
        threshold = off if self.threshold is None else self.threshold
        return C.confidence(RULES.index(self.rule), self.tokens_per_call, threshold, self.block_length or 0)


@dataclass(frozen=True)
class Remask:
    """Ancestral sampling that may mask drawn tokens again, so that early choices can be revised (ReMDM).

    Law: in the step from level m to s, m = 1 - alpha, given the tokens x before it and independently, a drawn token is
    masked again with probability sigma and a masked one leaves with probability (m - s + sigma (1 - m)) / m for a token
    from mu(x)[l]. *Approximate*: for true conditionals mu a step keeps the masked process, each token masked with
    probability s, up to the dependence of tokens that leave together; with sigma = 0 it is `Ancestral`. Given tokens stay.

    Args:
        steps: N, at least 1; a sequence takes part in at most N network calls.
        strategy: "cap", sigma = min(eta, sigma_max), sigma_max = min(1, s / (1 - m)); "rescale", sigma = eta sigma_max;
            "conf", eta sigma_max times each drawn token's share of exp(-p_l), p_l the probability it was drawn with, and
            0 in the formula for masked ones (the levels are then not kept); "loop", as "cap", but only while the level
            is held (below).
        eta: in [0, 1]; default the published 0.008, 0.015, 1 and 0.02.
        switch: mask again only in steps that begin at a time <= switch (ReMDM-switch; not with "loop").
        t_on, t_off, alpha_on: loop only: 1 - m rises evenly to alpha_on until t_on, stays there until t_off, and
            rises to 1 at 0.
        schedule: noise schedule, a name or a `pymdm.Schedule`; the levels of "loop" do not depend on it.

    Raises:
        ValueError: a value out of range.

    Source: Wang et al., arXiv 2503.00307 (ReMDM), section 4.

    >>> Remask(steps=64).law, Remask(steps=4, strategy="loop", alpha_on=0.75).levels()
    ('approximate', [1.0, 0.5833333333333334, 0.25, 0.25, 0.0])
    """

    steps: int
    strategy: str = "cap"
    eta: float | None = None
    switch: float = 1.0
    t_on: float = 0.55
    t_off: float = 0.05
    alpha_on: float = 0.9
    schedule: Schedule | str = "linear"

    def __post_init__(self) -> None:
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"sample: steps must be at least 1, got {self.steps}")
        _one_of("strategy", self.strategy, tuple(STRATEGIES))
        if self.eta is not None and not 0 <= self.eta <= 1:
            raise ValueError(f"sample: eta must be in [0, 1], got {self.eta}")
        if not 0 <= self.switch <= 1:
            raise ValueError(f"sample: switch must be in [0, 1], got {self.switch}")
        if not 0 < self.t_off < self.t_on < 1:
            raise ValueError(f"sample: needs 0 < t_off < t_on < 1, got t_off {self.t_off} and t_on {self.t_on}")
        if not 0 < self.alpha_on < 1:
            raise ValueError(f"sample: alpha_on must be in (0, 1), got {self.alpha_on}")
        self.native()

    @property
    def law(self) -> str:
        return "approximate"

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    def _times(self) -> list[float]:
        return [1 - i / self.steps for i in range(self.steps)] + [0.0]

    def levels(self) -> list[float]:
        """m at the N + 1 times of the grid, from 1 to 0."""
        inner = self._times()[1:-1]
        if self.strategy != "loop":
            schedule = as_schedule(self.schedule).native()
            return [1.0, *(schedule.masked(t) for t in inner), 0.0]
        held = 1 - self.alpha_on

        def level(t: float) -> float:
            if t > self.t_on:
                return 1 - (1 - t) * self.alpha_on / (1 - self.t_on)
            return held if t > self.t_off else t * held / self.t_off

        return [1.0, *(level(t) for t in inner), 0.0]

    def sigmas(self) -> list[float]:
        """Probability of masking again in each of the N steps (before the shares of "conf")."""
        eta = STRATEGIES[self.strategy] if self.eta is None else self.eta
        levels, found = self.levels(), []
        for t, m, s in zip(self._times()[:-1], levels[:-1], levels[1:], strict=True):
            most = min(1.0, s / (1 - m)) if m < 1 else float(s > 0)
            active = m == s if self.strategy == "loop" else t <= self.switch
            sigma = min(eta, most) if self.strategy in ("cap", "loop") else eta * most
            found.append(sigma if active else 0.0)
        return found

    def native(self) -> Any:
        return C.remask(self.levels(), self.sigmas(), as_schedule(self.schedule).native(), self.strategy == "conf")
