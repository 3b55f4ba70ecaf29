"""Noise schedules: when a token is masked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pymdm._native import C
from pymdm.sampling.check import described


@dataclass(frozen=True)
class Schedule:
    """A noise schedule given by m(t) = 1 - alpha(t), the probability that a token is masked at time t, and its inverse.

    Args:
        name: "linear" (m = t), "cosine" (m = sin(pi t / 2)), "geometric" (exp(-sigma), sigma from `sigma_min` to
            `sigma_max` along a geometric line, scaled to alpha(0) = 1 and alpha(1) = 0), or "user" with the two functions
            below.
        masked: increasing function from [0, 1] onto [0, 1].
        time_of_masked: its inverse.

    Raises:
        ValueError: the name is not one of these, or a user's pair does not invert itself.

    Source: Zheng et al., ICLR 2025, section 2.

    >>> Schedule("cosine").mask_rate(0.5)
    0.7071067811865475
    """

    name: str = "linear"
    sigma_min: float = 1e-5
    sigma_max: float = 20.0
    masked: Callable[[float], float] | None = None
    time_of_masked: Callable[[float], float] | None = None

    def __post_init__(self) -> None:
        if self.name not in ("linear", "cosine", "geometric", "user"):
            raise ValueError(f"schedule: expected linear, cosine, geometric or user, got {self.name!r}")
        if (self.name == "user") != (self.masked is not None and self.time_of_masked is not None):
            raise ValueError("schedule: `user`, and only it, needs both masked and time_of_masked")
        self.native()
        if self.masked is not None and self.time_of_masked is not None:
            previous = -1.0
            for i in range(65):
                m = self.masked(i / 64)
                if not 0 <= m <= 1 or m <= previous or abs(self.time_of_masked(m) - i / 64) > 1e-6:
                    raise ValueError(
                        f"schedule: masked must increase from 0 to 1 and time_of_masked invert it, not so at t={i / 64}"
                    )
                previous = m
            if self.masked(0.0) != 0 or self.masked(1.0) != 1:
                raise ValueError("schedule: masked must run from 0 at t=0 to 1 at t=1")

    def native(self) -> C.Schedule:
        """The compiled schedule."""
        if self.name == "linear":
            return C.linear_schedule()
        if self.name == "cosine":
            return C.cosine_schedule()
        if self.name == "geometric":
            return C.geometric_schedule(self.sigma_min, self.sigma_max)
        assert self.masked is not None and self.time_of_masked is not None
        return C.user_schedule(self.masked, self.time_of_masked)

    def mask_rate(self, time: float) -> float:
        """m(t) = 1 - alpha(t)."""
        return self.native().masked(time)

    def time_of(self, masked: float) -> float:
        """The time at which a share `masked` of the tokens is masked."""
        return self.native().time_of_masked(masked)

    def rate(self, time: float) -> float:
        """m'(t) / m(t) = -alpha'(t) / (1 - alpha(t)), the weight of a masked token in the continuous-time bound.

        Args:
            time: t in (0, 1].

        >>> Schedule("linear").rate(0.25)
        4.0
        """
        if self.name == "linear":
            return 1.0 / time
        if self.name == "cosine":
            return 0.5 * math.pi / math.tan(0.5 * math.pi * time)
        if self.name == "geometric":
            growth = math.log(self.sigma_max / self.sigma_min)
            sigma = self.sigma_min * math.exp(growth * time)
            return sigma * growth / math.expm1(self.sigma_min * math.expm1(growth * time))
        low, high = max(0.0, time - 1e-6), min(1.0, time + 1e-6)
        return (self.mask_rate(high) - self.mask_rate(low)) / (high - low) / self.mask_rate(time)


def as_schedule(schedule: Schedule | str | None) -> Schedule:
    """A schedule from its name, or itself; the linear one by default."""
    if schedule is None:
        return Schedule()
    if not isinstance(schedule, Schedule | str):
        raise TypeError(f"sample: schedule must be a name or a pymdm.Schedule, got {described(schedule)}")
    return schedule if isinstance(schedule, Schedule) else Schedule(schedule)
