"""First-hitting sampling, with one or more tokens a call."""

from __future__ import annotations

from dataclasses import dataclass

from pymdm._native import C
from pymdm.sampling.call_schedule import CallSchedule
from pymdm.sampling.check import boolean, integer
from pymdm.sampling.samplers.common import (
    MAX_TOKENS,
    NOISES,
    FixedStep,
    Sampler,
    ahead,
    listed,
    noise_warnings,
    one_of,
    token_counts,
)
from pymdm.sampling.schedules import Schedule, as_schedule


@dataclass(frozen=True)
class FirstHitting(Sampler):
    """First-hitting sampler: one network call per token of a sequence, whatever the batch.

    Law: positions leave the mask in uniformly random order, token l ~ mu(x)[l] given the tokens x before it, and
    tau_{n-1} = alpha^{-1}(1 - u^{1/n} (1 - alpha(tau_n))). *Exact* with one token a call: the law of the continuous-time
    reverse process, for time-conditioned networks too; with `block_length`, of that process block after block.
    *Approximate* with more, as tokens of one call do not see each
    other; `order=2` and `corrector=True` are second order at no extra calls, the latter for networks that
    answer at unmasked positions too (docs/samplers.md).

    Args:
        tokens_per_call: tokens unmasked by one network call, at least 1; or a sequence, whose last entry repeats; or what
            `pymdm.schedule` gives, with its certificate. NFE of a sequence with n masks is ceil(n / tokens_per_call).
        order: 1, or 2 for extrapolation: the line through the two latest outputs, after temperature, top-k and top-p, with
            the coefficient that makes interactions of two tokens right on average for any tokens_per_call.
        corrector: correct the tokens of a call by the next call's output at their positions. Needs a network whose
            output at an unmasked position is its conditional given all others.
        schedule: noise schedule, a name or a `pymdm.Schedule`; default that of a time-conditioned network's training, else
            "linear". It sets the times; a time-free network does not see it.
        lookahead: the same tokens, order and times in fewer rounds of calls: later tokens are guessed under their own noise,
            and the next call checks the guesses on copies of the sequence. A number of copies at most in a call, 1 (off)
            to 32; or a chance between 0 and 1: copies as long as all guesses in them are predicted right with at least
            that; or "auto": as many as pay by the cost of a call, measured on the run. Where a network's rows depend on
            the batch around them the tokens may differ, the law does not.
        block_length: K, blocks of so many positions from the left, counted from position 0, each in uniformly random order;
            the times of a block run from 1 to 0. 1 is left to right. Default: what the network asks for, its own blocks of
            attention "block", 1 of a causal one, and one block of all others.
        noise: "exact", or the coarse noise of published samplers, to measure what it does (see `Ancestral`).

    Raises:
        ValueError: a value out of range; order 2, the corrector or lookahead together with each other or with coarse
            noise.

    Source: Zheng et al., ICLR 2025, Proposition 4.1 and section 4; the corrector is ours.

    >>> FirstHitting().law, FirstHitting(tokens_per_call=4).law
    ('exact', 'approximate')
    """

    tokens_per_call: int | tuple[int, ...] | CallSchedule = 1
    order: int = 1
    corrector: bool = False
    schedule: Schedule | str | None = None
    noise: str = "exact"
    lookahead: int | float | str = 1
    block_length: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.tokens_per_call, CallSchedule):  # checked where it is made
            object.__setattr__(self, "tokens_per_call", token_counts(self.tokens_per_call))
        object.__setattr__(self, "order", integer("order", self.order))
        object.__setattr__(self, "corrector", boolean("corrector", self.corrector))
        if self.order not in (1, 2):
            raise ValueError(f"sample: order must be 1 or 2, got {self.order}")
        if self.corrector and self.order == 2:
            raise ValueError("sample: give order=2 or corrector=True, not both")
        if self.block_length is not None:
            object.__setattr__(self, "block_length", integer("block_length", self.block_length, 1, MAX_TOKENS))
            if self.corrector:
                raise ValueError("sample: block_length is for first-hitting without a corrector")
        one_of("noise", self.noise, NOISES)
        if self.noise != "exact" and (self.order == 2 or self.corrector):
            raise ValueError("sample: coarse noise is for plain first-hitting sampling only")
        if ahead(self.lookahead)["window"] > 1 and (self.order == 2 or self.corrector or self.noise != "exact"):
            raise ValueError("sample: lookahead is for first-hitting with order=1, no corrector and exact noise")
        as_schedule(self.schedule)

    def counts(self) -> list[int]:
        """Tokens of each call, the last entry for all calls after it."""
        counts = self.tokens_per_call
        return list(counts) if isinstance(counts, CallSchedule) else listed(counts)

    @property
    def law(self) -> str:
        plain = self.order == 1 and not self.corrector and self.noise == "exact" and self.block_length is None
        if isinstance(self.tokens_per_call, CallSchedule) and plain:  # whose certificate is of a uniform order
            return self.tokens_per_call.law
        return "exact" if self._alone() and self.noise == "exact" else "approximate"

    @property
    def warnings(self) -> tuple[str, ...]:
        return noise_warnings(self.noise)

    def _alone(self) -> bool:
        """Whether every call draws one token."""
        return set(self.counts()) == {1} or self.block_length == 1

    def _plain(self) -> bool:
        """Whether tokens are drawn from the latest output alone; one token a call leaves nothing to refine."""
        return self._alone() or not (self.corrector or self.order == 2)

    def fixed_step(self) -> FixedStep | None:
        """The step where every call draws as many tokens, from anywhere, with exact noise.

        A chosen number of guesses, or a chance, is checked by the loop on the host; "auto" is free to guess nothing.
        """
        counts, looks = self.counts(), ahead(self.lookahead)
        guesses = looks["window"] > 1 and not looks["timed"]
        if len(set(counts)) > 1 or not self._plain() or self.noise != "exact" or self.block_length or guesses:
            return None
        return FixedStep(counts[0], as_schedule(self.schedule).native())

    def native(self) -> C.Sampler:
        schedule, counts = as_schedule(self.schedule).native(), self.counts()
        if self._plain():
            return C.first_hitting(
                schedule, counts, C.Noise.__members__[self.noise], **ahead(self.lookahead), block=self.block_length or 0
            )
        return (
            C.corrected(schedule, counts)
            if self.corrector
            else C.extrapolated(schedule, counts, self.block_length or 0)
        )
