"""What sampling returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    categorical draws; seconds is wall time. `state` can be saved and continued.
    """

    samples: list[Sample]
    law: str
    sampler: Any
    seed: int
    calls: int
    draws: int
    seconds: float
    state: Any
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> Sample:
        return self.samples[i]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @property
    def tokens(self) -> Tensor | list[Tensor]:
        """[B, L] int64; a list of [L_b] if the lengths differ."""
        return _stack([s.tokens for s in self.samples])

    @property
    def times(self) -> Tensor | list[Tensor]:
        """[B, L] float64 hitting times; a list if the lengths differ."""
        return _stack([s.times for s in self.samples])

    @property
    def order(self) -> Tensor | list[Tensor]:
        """[B, L] int64 ranks of unmasking; a list if the lengths differ."""
        return _stack([s.order for s in self.samples])

    @property
    def text(self) -> list[str | None]:
        return [s.text for s in self.samples]

    @property
    def nfe(self) -> list[int]:
        """Network evaluations of each sequence."""
        return [s.nfe for s in self.samples]


def _stack(parts: list[Tensor]) -> Tensor | list[Tensor]:
    import torch

    return torch.stack(parts) if len({len(p) for p in parts}) == 1 else parts
