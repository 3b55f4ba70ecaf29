"""Ancestral sampling on a time grid."""

from __future__ import annotations

from dataclasses import dataclass

from pymdm._native import C
from pymdm.sampling.check import boolean, integer, numbers
from pymdm.sampling.samplers.common import MAX_STEPS, NOISES, Sampler, ahead, even_times, noise_warnings, one_of
from pymdm.sampling.schedules import Schedule, as_schedule

FORMS = ("choose-then-sample", "literal")


@dataclass(frozen=True)
class Ancestral(Sampler):
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
        schedule: noise schedule, a name or a `pymdm.Schedule`; default that of a time-conditioned network's training, else
            "linear".
        lookahead: fewer rounds of calls for the same tokens, as in `FirstHitting`; choose-then-sample form only.

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
    schedule: Schedule | str | None = None
    lookahead: int | float | str = 1

    def __post_init__(self) -> None:
        steps = integer("steps", self.steps, None, MAX_STEPS)
        if (self.times is None) == (steps == 0):
            raise ValueError("sample: ancestral sampling needs steps or times, one of them")
        if self.times is None and steps < 1:
            raise ValueError(f"sample: steps must be at least 1, got {steps}")
        if self.times is not None:
            object.__setattr__(self, "times", numbers("times", self.times))
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "cache", boolean("cache", self.cache))
        one_of("form", self.form, FORMS)
        one_of("noise", self.noise, NOISES)
        if self.noise != "exact" and self.form != "literal":
            raise ValueError('sample: coarse noise is for form="literal" only')
        if ahead(self.lookahead)["window"] > 1 and self.form == "literal":
            raise ValueError('sample: lookahead is for form="choose-then-sample" only')
        self.native()

    @property
    def warnings(self) -> tuple[str, ...]:
        return noise_warnings(self.noise)

    def native(self) -> C.Sampler:
        times = self.times or even_times(self.steps)
        schedule = as_schedule(self.schedule).native()
        if self.form == "literal":
            return C.literal(list(times), schedule, self.cache, C.Noise.__members__[self.noise])
        return C.ancestral(list(times), schedule, self.cache, **ahead(self.lookahead))
