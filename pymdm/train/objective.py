"""Training objectives: which tokens the network sees, which it must predict, and with what weight.

All objectives but the autoregressive one estimate the same bound (arXiv 2409.02908, Propositions 3.1 and 3.2):
count: n uniform on 1..L, n positions masked, weight 1/n each;
order-agnostic: a uniform order of the positions and a place l in it; what comes from l on is masked, weight 1/(L-l+1);
continuous: t uniform, each position masked with probability m(t) = 1 - alpha(t), weight m'(t)/m(t) each;
autoregressive: every position from those before it, weight 1: the exact likelihood, of a causal network;
any-order: every position from those before it in a uniformly random order, in one pass over known tokens and queries. A
    quarter of the rows begin with a group that was given, as prompts are, and have no part in the number that is told;
block: in each block n uniform on 1..K, n positions masked, weight 1/n each, given the blocks before, in one pass over a
    clean and a noisy copy (the bound of Proposition 3.1 in every block).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pymdm.data.masking import causal_inputs, draw_masks
from pymdm.network.attention import Sight, two_copies, two_streams
from pymdm.sampling.schedules import Schedule
from pymdm.train.loss import count_weights, draw_counts, draw_uniforms

OBJECTIVES = ("count", "order-agnostic", "continuous", "autoregressive", "any-order", "block")
ATTENTION = {"autoregressive": "causal", "any-order": "any-order", "block": "block"}  # of the others: bidirectional
GIVEN = 0.25  # share of any-order's rows that begin with a given group
WEIGHTED = ("count", "order-agnostic")  # those that draw mask counts, which may be weighted
SCHEDULES = ("linear", "cosine", "geometric")


@dataclass(frozen=True)
class Noise:
    """What is drawn for B sequences of L tokens.

    Attributes:
        masks: bool [B, L], the positions to be named.
        weights: float64 [B], of each masked token of a row, or [B, L]; their weighted losses, averaged over rows, are the loss.
        bound_weights: alike, with which the average is the bound in nats per token.
        times: float64 [B], of a time-conditioned network; counts of masks averaged over Beta(L-n+1, n) of alpha.
        rank: int64 [B, L] of "any-order", when each token becomes known; -1 in the group that is given.
    """

    masks: NDArray[np.bool_]
    weights: NDArray[np.float64]
    bound_weights: NDArray[np.float64]
    times: NDArray[np.float64]
    rank: NDArray[np.int64] | None = None

    def part(self, rows: NDArray[np.int64]) -> Noise:
        """The draws of some rows, by number."""
        rank = None if self.rank is None else self.rank[rows]
        return Noise(self.masks[rows], self.weights[rows], self.bound_weights[rows], self.times[rows], rank)


@dataclass(frozen=True)
class Objective:
    """A way to draw noise for training.

    Args:
        name: one of `OBJECTIVES`.
        draw: of counts or times: "low-discrepancy", "stratified" or "independent".
        schedule: of "continuous", and of the times of a time-conditioned network.
        weight_power: of counts: w_n = (n/L)^(1-p); 1 is the bound.
        weights: any positive w_1..w_L of counts instead.
        block_length: K of "block".

    Raises:
        ValueError: weights where they have no meaning.
    """

    name: str = "count"
    draw: str = "low-discrepancy"
    schedule: str = "linear"
    weight_power: float = 1.0
    weights: Sequence[float] | None = None
    block_length: int = 0

    def __post_init__(self) -> None:
        if self.name not in OBJECTIVES:
            raise ValueError(f"objective: expected one of {', '.join(OBJECTIVES)}, got {self.name!r}")
        if self.name not in WEIGHTED and (self.weight_power != 1.0 or self.weights is not None):
            raise ValueError(f"objective: weights w_n belong to mask counts, not to the {self.name} objective")

        if (self.name == "block") != (self.block_length > 0):
            raise ValueError(
                "objective: block_length of at least 1 belongs to the block objective, got "
                f"{self.block_length} with {self.name}"
            )

    def noise(self, rows: int, length: int, rng: np.random.Generator) -> Noise:
        """Draw for B = rows sequences of L = length tokens."""
        if self.name == "autoregressive":
            ones = np.full(rows, 1.0 / length)
            return Noise(np.ones((rows, length), dtype=bool), ones, ones, np.zeros(rows))
        if self.name == "any-order":
            return self._any_order(rows, length, rng)
        if self.name == "block":
            return self._block(rows, length, rng)
        schedule = Schedule(self.schedule)
        if self.name == "continuous":
            times = 1.0 - draw_uniforms(rows, rng, self.draw)  # in (0, 1]
            masked = np.array([schedule.mask_rate(t) for t in times])
            weights = np.array([schedule.rate(t) for t in times]) / length
            return Noise(rng.random((rows, length)) < masked[:, None], weights, weights, times)
        if self.name == "count":
            counts = draw_counts(rows, length, rng, self.draw)
            masks = draw_masks(counts, length, rng)
        else:
            place = draw_counts(rows, length, rng, self.draw) - 1  # tokens that come before, 0..L-1
            order = np.stack([rng.permutation(length) for _ in range(rows)])  # rank of each position
            masks, counts = order >= place[:, None], length - place
        times = np.array([schedule.time_of(m) for m in rng.beta(counts, length - counts + 1)])
        weights = count_weights(counts, length, self.weight_power, self.weights)
        return Noise(masks, weights, 1.0 / counts, times)

    @staticmethod
    def _any_order(rows: int, length: int, rng: np.random.Generator) -> Noise:
        rank = np.stack([rng.permutation(length) for _ in range(rows)])
        given = np.zeros(rows, dtype=np.int64)
        share = rows * GIVEN if length > 1 else 0.0
        with_group = int(share) if share == int(share) else int(share + rng.random())  # its mean is the share
        given[:with_group] = rng.integers(1, length, with_group)
        rank = np.maximum(rank - given[:, None], -1)
        weights = np.full(rows, 1.0 / length)
        told = weights * (given == 0) * (rows / (rows - share))
        return Noise(rank >= 0, weights, told, np.zeros(rows), rank)

    def _block(self, rows: int, length: int, rng: np.random.Generator) -> Noise:
        masks, weights = np.zeros((rows, length), dtype=bool), np.zeros((rows, length))
        for start in range(0, length, self.block_length):
            size = min(self.block_length, length - start)
            counts = rng.permutation(draw_counts(rows, size, rng, self.draw))
            masks[:, start : start + size] = draw_masks(counts, size, rng)
            weights[:, start : start + size] = (size / length / counts)[:, None]
        return Noise(masks, weights, weights, np.zeros(rows))

    def inputs(self, tokens: Tensor, masks: Tensor, mask_id: int) -> Tensor:
        """What the network sees of tokens [B, L]; the autoregressive one sees them one place later, after a mask.

        Those with a `sight` see [B, 2 L], the tokens and then what stands at the positions that are to be named.
        """
        if self.name == "autoregressive":
            return causal_inputs(tokens, mask_id)
        if self.name == "any-order":
            return torch.cat([tokens, torch.full_like(tokens, mask_id)], 1)
        noisy = tokens.masked_fill(masks, mask_id)
        return torch.cat([tokens, noisy], 1) if self.name == "block" else noisy

    def sight(self, tokens: Tensor, noise: Noise) -> Sight | None:
        """What the rows of `inputs` see; None where they are the sequences themselves."""
        if self.name == "any-order":
            return two_streams(torch.as_tensor(noise.rank, device=tokens.device))
        return two_copies(tokens, self.block_length) if self.name == "block" else None
