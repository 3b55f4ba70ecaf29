"""Lookahead for the first-hitting sampler, one sequence at a time: the same tokens in fewer rounds of network calls.

Order, times and noise are functions of addresses, so the tokens are a deterministic function of the noise, and a guess of a
later token can be checked. Known after event s, with logits mu_s: x_{s+1} = arg-max(mu_s[o_{s+1}] + G_{s+1}) is right, and
y_{s+j} = arg-max(mu_s[o_{s+j}] + G_{s+j}) is a guess. A round scores copies of the sequence, copy j with the first j guesses;
its own arg-max is right if those guesses are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymdm.reference import philox
from pymdm.reference.choose import choose
from pymdm.reference.first_hitting import masked_rank, network_row
from pymdm.reference.gumbel import gumbel

Ints = NDArray[np.int64]


@dataclass
class Ahead:
    """A sequence sampled with lookahead.

    Attributes:
        tokens: [L] int64. order: [L] int64, the position of each event.
        widths: copies scored in each round, one after another.
    """

    tokens: Ints
    order: Ints
    widths: list[int] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """Network calls one after another."""
        return len(self.widths)


class Lookahead:
    """The sampler, in small methods that a planted fault can replace one at a time.

    Args:
        model: tokens [1, L] int64 -> logits [1, L, >= mask_id].
        length: L. mask_id: V. seed, sequence: of the address.
        window: most copies in a round.
        gap: above 0, a window as long as the gaps between the best and second-best score of its guesses are at least this.

    Example:
        >>> found = Lookahead(lambda tokens: np.zeros((*tokens.shape, 3)), 7, mask_id=3, seed=7, window=3).run()
        >>> found.rounds, found.widths
        (3, [1, 3, 3])
    """

    def __init__(
        self,
        model: Callable[..., Any],
        length: int,
        *,
        mask_id: int,
        seed: int,
        sequence: int = 0,
        window: int = 1,
        gap: float = 0.0,
    ) -> None:
        self.model, self.length, self.mask_id = model, length, mask_id
        self.seed, self.sequence, self.window_size, self.least_gap = seed, sequence, window, gap
        self.positions = self._positions()

    def _positions(self) -> list[int]:
        """o_e for every event e: needs no network."""
        masked, order = list(range(self.length)), []
        for event in range(self.length):
            order.append(masked.pop(masked_rank(self.seed, self.sequence, event, len(masked))))
        return order

    def draw(self, logits: Any, event: int) -> int:
        """arg-max of the event's row under the event's noise."""
        row = logits[self.positions[event]][None]
        return int(choose(row, self.seed, self.sequence, event)[0])

    def guess(self, logits: Any, event: int) -> int:
        """The guess of a later event's token."""
        return self.draw(logits, event)

    def gap(self, logits: Any, event: int) -> float:
        """How far the guess is ahead of the second-best score."""
        row = logits[self.positions[event]]
        scores = row + gumbel(philox.bits(self.seed, self.sequence, event, philox.TOKEN, np.arange(len(row))))
        best = np.sort(scores)[-2:]
        return float(best[1] - best[0])

    def width(self, known: Ints, event: int, guesses: list[int], gaps: list[float]) -> int:
        """Copies of the next round, from what is known before it."""
        if self.least_gap <= 0:
            return 1 + len(guesses)
        width = 1
        while width <= len(guesses) and gaps[width - 1] >= self.least_gap:
            width += 1
        return width

    def copy(self, known: Ints, event: int, guesses: list[int]) -> Ints:
        """What the network is shown: the guesses in the places of events `event`, `event` + 1, ..."""
        tokens = known.copy()
        for j, token in enumerate(guesses):
            tokens[self.positions[event + j]] = token
        return tokens

    def accepts(self, drawn: int, guessed: int) -> bool:
        """Whether the copy after this one was a copy of the right sequence."""
        return drawn == guessed

    def run(self) -> Ahead:
        """All tokens."""
        known, event = np.full(self.length, self.mask_id), 0
        guesses: list[int] = []
        gaps: list[float] = []
        widths: list[int] = []
        while event < self.length:
            width = min(self.width(known, event, guesses[: self.length - 1 - event], gaps), self.length - event)
            widths.append(width)
            outputs = [
                network_row(self.model, self.copy(known, event, guesses[:j]), self.mask_id, None) for j in range(width)
            ]
            first = event
            for j, logits in enumerate(outputs):
                token = self.draw(logits, event)
                known[self.positions[event]] = token
                event += 1
                if j + 1 == width or not self.accepts(token, guesses[j]):
                    break
            mu = self.source(outputs, event - first - 1)
            later = range(event, min(self.length, event + self.window_size - 1))
            guesses, gaps = [self.guess(mu, e) for e in later], [self.gap(mu, e) for e in later]
        return Ahead(known, np.array(self.positions), widths)

    def source(self, outputs: list[Any], last: int) -> Any:
        """The output that the next guesses come from: of the last right copy."""
        return outputs[last]
