"""Two readings of a masked network: along one order of the positions, and at random times."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pymdm.network.mu import log_mu
from pymdm.sampling.schedules import Schedule


@torch.no_grad()
def order_nats(model: Callable[[Tensor], Tensor], tokens: Tensor, order: Iterable[int], mask_id: int) -> float:
    """-log p(x) of one sequence int64 [L] when a masked network names its tokens one by one in `order`, in nats.

    Its mean over all orders is the bound of Proposition 3.1 (order-agnostic autoregressive reading).
    """
    seen, total = torch.full_like(tokens, mask_id), 0.0
    for l in order:
        total -= float(log_mu(model(seen[None])[0, l].double(), mask_id)[tokens[l]])
        seen[l] = tokens[l]
    return total


class BetaTimes(nn.Module):
    """A time-conditioned network as `evaluate_bound` calls one: a row with n of L masks gets the time of a drawn alpha.

    Given n masks alpha follows Beta(L-n+1, n), so the mean of log-predictions over draws is the continuous-time bound.

    Args:
        model: forward(tokens, time, rows).
        mask_id: id whose occurrences are counted.
        schedule: alpha(t) that the network was trained with.
        seed: of the draws.
    """

    def __init__(self, model: nn.Module, mask_id: int, schedule: str | Schedule = "linear", seed: int = 0) -> None:
        super().__init__()
        self.model, self.mask_id = model, mask_id
        self.schedule = schedule if isinstance(schedule, Schedule) else Schedule(schedule)
        self.rng = np.random.default_rng([seed, 11])

    def times(self, counts: NDArray[np.int64], length: int) -> NDArray[np.float64]:
        """Times [B] for rows with counts [B] masks of `length`, each at least 1."""
        return np.array([self.schedule.time_of(m) for m in self.rng.beta(counts, length - counts + 1)])

    def forward(self, tokens: Tensor, rows: Tensor | None = None) -> Tensor:
        counts = (tokens == self.mask_id).sum(1).cpu().numpy()
        time = torch.from_numpy(self.times(np.maximum(counts, 1), tokens.shape[1])).float().to(tokens.device)
        logits: Tensor = self.model(tokens, time, rows)
        return logits
