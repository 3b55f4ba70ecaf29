"""What sampling returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """One sequence: its tokens and how they came to be.

    tokens [L] int64; text or None; times [L] float64, when each position was unmasked (NaN where it was given); order [L]
    int64, its rank among them (-1 where given); nfe, network evaluations it took part in; sequence_id, its random address.
    """

    tokens: Tensor
    text: str | None
    times: Tensor
    order: Tensor
    nfe: int
    sequence_id: int


@dataclass(frozen=True)
class Samples:
    """The result of `pymdm.sample`: a sequence of `Sample`, and the facts of the run.

    law is "exact" or "approximate"; seed reproduces the run; calls counts network calls of the whole batch, draws the
    categorical draws; seconds is wall time. `state` is the final state: `state.to_dict()` is plain data that
    `pymdm.resume` goes on from.
    """

    state: Any = field(repr=False)
    sampler: Any
    seconds: float
    vocabulary: Any = field(default=None, repr=False)

    @property
    def law(self) -> str:
        return self.sampler.law

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.sampler.warnings

    @property
    def seed(self) -> int:
        return self.state.seed

    @property
    def calls(self) -> int:
        return self.state.calls

    @property
    def draws(self) -> int:
        return self.state.draws

    @cached_property
    def tokens(self) -> Tensor | list[Tensor]:
        """[B, L] int64; a list of [L_b] if the lengths differ."""
        return self._by_sequence(self.state.tokens)

    @cached_property
    def times(self) -> Tensor | list[Tensor]:
        """[B, L] float64 hitting times; a list if the lengths differ."""
        return self._by_sequence(self.state.times)

    @cached_property
    def order(self) -> Tensor | list[Tensor]:
        """[B, L] int64 ranks of unmasking; a list if the lengths differ."""
        return self._by_sequence(self.state.order)

    @cached_property
    def nfe(self) -> list[int]:
        """Network calls that each sequence took part in, one after another."""
        return self.state.rounds.tolist()

    @property
    def rounds(self) -> int:
        """Most network calls that a sequence had to wait for, one after another; fewer than its tokens with lookahead."""
        return max(self.nfe)

    @property
    def rows(self) -> int:
        """Sequences scored in all network calls together, the copies of lookahead among them."""
        return int(self.state.rows.sum())

    @cached_property
    def sequence_ids(self) -> list[int]:
        return self.state.sequence.tolist()

    @property
    def text(self) -> list[str | None]:
        return [self._text(tokens) for tokens in self.tokens]

    def __len__(self) -> int:
        return len(self.nfe)

    def __getitem__(self, i: int) -> Sample:
        tokens = self.tokens[i]
        return Sample(tokens, self._text(tokens), self.times[i], self.order[i], self.nfe[i], self.sequence_ids[i])

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def _text(self, tokens: Tensor) -> str | None:
        return self.vocabulary.decode(tokens.tolist()) if self.vocabulary is not None else None

    def _by_sequence(self, flat: Tensor) -> Tensor | list[Tensor]:
        lengths = self.state.offsets.diff().tolist()
        if len(set(lengths)) == 1:
            return flat.view(len(lengths), lengths[0])
        return list(flat.split(lengths))
