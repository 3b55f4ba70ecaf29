"""The interface of an implementation that the proof can test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass
class Batch:
    """Samples of one call.

    Attributes:
        tokens: [B, L] int64.
        times: [B, n] float64, hitting time of every event in order of events; empty for samplers without them.
        order: [B, n] int64, position unmasked by every event; empty for samplers without it.
    """

    tokens: NDArray[np.int64]
    times: NDArray[np.float64]
    order: NDArray[np.int64]

    @classmethod
    def by_position(cls, tokens: ArrayLike, times: ArrayLike, rank: ArrayLike) -> Batch:
        """From times [B, L] (NaN where given) and ranks of unmasking [B, L] (-1 where given) kept per position.

        Example:
            >>> Batch.by_position([[4, 2, 5]], [[0.1, float("nan"), 0.7]], [[1, -1, 0]]).order.tolist()
            [[2, 0]]
        """
        rank, when = np.asarray(rank, dtype=np.int64), np.asarray(times, dtype=np.float64)
        n = int((rank >= 0).sum(axis=1).max(initial=0))
        order = np.argsort(np.where(rank < 0, rank.shape[1], rank), axis=1, kind="stable")[:, :n]
        live = np.take_along_axis(rank, order, axis=1) >= 0
        times = np.where(live, np.take_along_axis(when, order, axis=1), np.nan)
        return cls(np.asarray(tokens, dtype=np.int64), times, np.where(live, order, -1))


class Implementation(Protocol):
    """Random stream, choice and samplers under one roof. Arrays of addresses broadcast; all results are numpy arrays.

    `model` is a `TableModel` (callable on numpy arrays and on torch tensors; it knows its `mask_id` and `length`), and
    `prompt` is [L] or [B, L] int64 with mask_id at the free positions, or None. `sequences` [B] are the sequence ids,
    default 0..B-1. `schedule` is "linear", "cosine" or "geometric".

    `uniforms`, `exponential_of`, `choose_noise`, `remask` and `ahead` may be absent: tests that need them are then left out.
    """

    name: str

    def bits(
        self, seed: int, sequence: ArrayLike, event: ArrayLike, purpose: int, index: ArrayLike
    ) -> NDArray[np.uint64]:
        """64 random bits at every address."""

    def uniforms(
        self, seed: int, sequence: ArrayLike, event: ArrayLike, purpose: int, index: ArrayLike
    ) -> NDArray[np.float64]:
        """The uniform of every address."""

    def exponential_of(self, bits: ArrayLike) -> NDArray[np.float64]:
        """The exponential that given bits turn into."""

    def gumbel_of(self, bits: ArrayLike) -> NDArray[np.float64]:
        """The Gumbel noise that given bits turn into."""

    def choose_noise(
        self, logits: ArrayLike, seed: int, sequence: ArrayLike, event: ArrayLike, kind: str
    ) -> NDArray[np.int64]:
        """A literal draw (purpose 5, base 0) with a kind of noise, as `pymdm.reference.gumbel` names them."""

    def choose(
        self,
        logits: ArrayLike,
        seed: int,
        sequence: ArrayLike = 0,
        event: ArrayLike = 0,
        *,
        base: ArrayLike = 0,
        temperature: float = 1.0,
        banned: ArrayLike | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> NDArray[np.int64]:
        """One class per row of logits [M, V], as `pymdm.reference.choose.choose`."""

    def first_hitting(
        self,
        model: Any,
        num_samples: int,
        seed: int,
        *,
        sequences: ArrayLike | None = None,
        prompt: ArrayLike | None = None,
        temperature: float = 1.0,
        tokens_per_call: int | Sequence[int] = 1,
        order: int = 1,
        schedule: str = "linear",
        time_conditioned: bool = False,
        **filters: Any,
    ) -> Batch:
        """First-hitting samples, as `pymdm.reference.first_hitting.first_hitting`; with order 2 as
        `pymdm.reference.second_order.extrapolated`. `filters`: banned [V], top_k, top_p of `choose`.
        """

    def ancestral(
        self,
        model: Any,
        num_samples: int,
        seed: int,
        *,
        steps: int = 4,
        form: str = "choose-then-sample",
        noise: str = "exact",
        sequences: ArrayLike | None = None,
        prompt: ArrayLike | None = None,
        temperature: float = 1.0,
        schedule: str = "linear",
        time_conditioned: bool = False,
    ) -> Batch:
        """Ancestral samples on an even grid, as `pymdm.reference.ancestral.ancestral`."""

    def remask(
        self,
        model: Any,
        num_samples: int,
        seed: int,
        *,
        steps: int,
        strategy: str,
        eta: float,
        sequences: ArrayLike | None = None,
        prompt: ArrayLike | None = None,
        temperature: float = 1.0,
        **shape: float,
    ) -> Batch:
        """Samples with remasking, as `pymdm.reference.remask.remask` on the grid of `strategy_grid`. `shape`: t_on, t_off,
        alpha_on of "loop".
        """

    def ahead(
        self, model: Any, num_samples: int, seed: int, window: int, *, sequences: ArrayLike | None = None
    ) -> tuple[Batch, NDArray[np.int64]]:
        """First-hitting samples with lookahead, as `pymdm.reference.lookahead`, and the rounds [B] of each sequence."""
