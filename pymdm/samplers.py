"""The samplers, as small frozen descriptions; the work is done by the compiled core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from pymdm._native import C
from pymdm.schedules import Schedule, as_schedule


class Sampler(Protocol):
    """What `pymdm.sample` needs of a sampler."""

    @property
    def law(self) -> str:
        """ "exact" or "approximate"."""

    def native(self) -> Any:
        """The compiled sampler."""


@dataclass(frozen=True)
class FirstHitting:
    """First-hitting sampler: one network call per token, whatever the batch.

    Law: the positions leave the mask in uniformly random order, token l ~ mu(x)[l] given the tokens x before it, and
    tau_{n-1} = alpha^{-1}(1 - u^{1/n} (1 - alpha(tau_n))). *Exact* with one token a call: the law of the continuous-time
    reverse process. *Approximate* (first order) with more: tokens of one call do not see each other.

    Args:
        tokens_per_call: tokens unmasked by one network call, at least 1. NFE of a sequence with n masks: ceil(n / this).
        schedule: noise schedule, a name or a `pymdm.Schedule`. It sets the times; a time-free network does not see it.

    Raises:
        ValueError: tokens_per_call below 1.

    Source: Zheng et al., ICLR 2025, Proposition 4.1.

    >>> FirstHitting().law
    'exact'
    """

    tokens_per_call: int = 1
    schedule: Schedule | str = "linear"

    def __post_init__(self) -> None:
        if self.tokens_per_call < 1:
            raise ValueError(f"sample: tokens_per_call must be at least 1, got {self.tokens_per_call}")
        as_schedule(self.schedule)

    @property
    def law(self) -> str:
        return "exact" if self.tokens_per_call == 1 else "approximate"

    def native(self) -> Any:
        return C.first_hitting(as_schedule(self.schedule).native(), self.tokens_per_call)
