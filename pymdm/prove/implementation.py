"""What an implementation has to offer to be put to the proof."""

from __future__ import annotations

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


class Implementation(Protocol):
    """Random stream, choice and samplers under one roof. Arrays of addresses broadcast; all results are numpy arrays.

    `model` is a `TableModel` (callable on numpy arrays and on torch tensors; it knows its `mask_id` and `length`), and
    `prompt` is [L] or [B, L] int64 with mask_id at the free positions, or None. `sequences` [B] are the sequence ids,
    default 0..B-1. `schedule` is "linear", "cosine" or "geometric".
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
        tokens_per_call: int = 1,
        schedule: str = "linear",
        time_conditioned: bool = False,
    ) -> Batch:
        """First-hitting samples, as `pymdm.reference.first_hitting.first_hitting`."""

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
