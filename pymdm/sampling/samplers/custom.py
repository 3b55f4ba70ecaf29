"""Samplers that users write in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pymdm._native import C
from pymdm.sampling.samplers.common import Sampler


@dataclass(frozen=True)
class SequenceState:
    """One sequence between two steps, as a sampler sees it.

    Attributes:
        sequence_id, seed: its random address.
        tokens: int64 [L], `mask_id` where still masked.
        event: the number of its next event.
        level: m = 1 - alpha of the process, 1 at the start.
        mask_id: of the mask.
    """

    sequence_id: int
    tokens: Tensor
    event: int
    level: float
    seed: int
    mask_id: int

    @property
    def masked(self) -> list[int]:
        """Positions that are masked, from the left."""
        return (self.tokens == self.mask_id).nonzero().flatten().tolist()


@dataclass(frozen=True)
class Step:
    """What a `CustomSampler` wants next of one sequence.

    Attributes:
        positions: masked positions whose logits it reads, at least one.
        time: what a time-conditioned network is told, and what `Samples.times` records; default the level.
        level: m after the step; default in proportion to the masks left.
    """

    positions: Sequence[int]
    time: float | None = None
    level: float | None = None


@dataclass(frozen=True)
class Rows:
    """The rows that the network has scored, of all sequences of a batch together.

    Attributes:
        seed: of the run.
        sequence_ids, events, positions: int64 [M]. Row j of a step at event e has event e + j, so that every row has an
            address of its own.
        log_mu: float64 [M, V], the logarithms of what may be drawn, after temperature, bans, top-k and top-p.
    """

    seed: int
    sequence_ids: Tensor
    events: Tensor
    positions: Tensor
    log_mu: Tensor


class CustomSampler(Sampler):
    """A sampler written in Python: derive from it, say the law, and give `plan`.

    It runs in the same loop as the compiled samplers, with every option of `pymdm.sample`, and `pymdm audit module:Class`
    puts its law to the test. Samples do not depend on the batch as long as `plan` and `write` are functions of what they are
    given; for noise of your own use `pymdm.random` at the sequence's id and event.

    Attributes:
        law: "exact" or "approximate".
        warnings: what a reader of the samples must know.

    >>> class LeftToRight(CustomSampler):
    ...     law = "approximate"  # exact for a network that only looks to the left
    ...     def plan(self, sequence):
    ...         return Step(sequence.masked[:1])
    >>> from pymdm.sampling.sample import sample
    >>> out = sample(lambda x: torch.zeros(*x.shape, 4), mask_id=4, length=5, seed=1, sampler=LeftToRight())
    >>> out.rank.tolist()
    [[0, 1, 2, 3, 4]]
    """

    law: str = "approximate"
    warnings: tuple[str, ...] = ()

    def init(self, sequence: SequenceState) -> None:
        """Sees every sequence before the first step; raise ValueError for one that cannot be sampled."""

    def plan(self, sequence: SequenceState) -> Step:
        """Which positions of a sequence are scored next, a function of the sequence alone; it has a masked position."""
        raise NotImplementedError(f"sample: {type(self).__name__} has no plan")

    def write(self, rows: Rows) -> Tensor:
        """Tokens [M] int64 for the scored rows, or -1 to leave a position masked.

        The default draws each row by exact Gumbel-max at (seed, sequence id, event), as `pymdm.choose` does.
        """
        raise NotImplementedError

    def native(self) -> C.Sampler:
        """The compiled form, which calls back."""
        writes = type(self).write is not CustomSampler.write
        return C.python_sampler(self._init, self._plan, self._write if writes else None)

    def _init(self, view: tuple[Any, ...]) -> None:
        self.init(SequenceState(*view))

    def _plan(self, view: tuple[Any, ...]) -> tuple[list[int], float, float, int]:
        sequence = SequenceState(*view)
        step, name = self.plan(sequence), type(self).__name__
        if not isinstance(step, Step):
            raise TypeError(f"sample: {name}.plan must give a Step, got {type(step).__name__}")
        positions = [int(p) for p in step.positions]
        if not positions or len(set(positions)) != len(positions):
            raise ValueError(f"sample: {name}.plan must give different positions, at least one, got {positions}")
        masks = len(sequence.masked)
        level = sequence.level * (masks - len(positions)) / masks if step.level is None else float(step.level)
        time = sequence.level if step.time is None else float(step.time)
        if not (0 <= level <= sequence.level and 0 <= time <= 1):
            raise ValueError(
                f"sample: {name}.plan must give a level in [0, {sequence.level}] and a time in [0, 1], got {level} and {time}"
            )
        return positions, time, level, sequence.event + len(positions)

    def _write(self, seed: int, ids: Tensor, events: Tensor, positions: Tensor, log_mu: Tensor) -> Tensor:
        return torch.as_tensor(self.write(Rows(seed, ids, events, positions, log_mu)), dtype=torch.int64)
