"""Positions chosen by a score of the user's, one sequence at a time: which masks to lift, which drawn tokens to keep.

A score is a function (tokens [1, L], logits [1, L, V]) -> [1, L]. Confidence: every masked position proposes a token, arg-max
of its logits under the noise of (call, position); of the first block with a mask the highest scores take theirs. Remasking:
the step of `pymdm.reference.remask` says how many drawn tokens are masked again; the lowest scores of the drawn ones are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymdm.reference import philox
from pymdm.reference.ancestral import stride
from pymdm.reference.choose import choose
from pymdm.reference.first_hitting import Sample, network_row, start_state
from pymdm.reference.remask import leave
from pymdm.reference.uniform import uniform

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Score = Callable[[Any, Any], Any]


class Scored:
    """The two samplers, in small methods that a planted fault can replace one at a time.

    Args:
        model: tokens [1, L] int64 -> logits [1, L, >= mask_id]. score: as above.
        length: L. mask_id: V. seed, sequence: of the address. prompt: [L] given tokens and masks.

    Example:
        >>> left_first = lambda tokens, logits: -np.arange(3.0)[None]
        >>> Scored(lambda t: np.zeros((1, 3, 2)), left_first, 3, mask_id=2, seed=1).confidence().order.tolist()
        [0, 1, 2]
    """

    def __init__(
        self,
        model: Callable[..., Any],
        score: Score,
        length: int,
        *,
        mask_id: int,
        seed: int,
        sequence: int = 0,
        prompt: ArrayLike | None = None,
    ) -> None:
        self.model, self.score, self.mask_id = model, score, mask_id
        self.seed, self.sequence = seed, sequence
        self.start = start_state(length, mask_id, prompt)

    def scores(self, tokens: Ints, logits: Floats) -> Floats:
        """[L] what the score says of a sequence."""
        return np.asarray(self.score(tokens[None], logits[None]), dtype=np.float64)[0]

    def first(self, scores: Floats, lots: NDArray[np.uint64], count: int) -> Ints:
        """Indices of the `count` that are unmasked first: the highest scores, the largest lot among equal ones."""
        order = sorted(range(len(scores)), key=lambda i: (-scores[i], -int(lots[i])))
        return np.array(order[:count], dtype=np.int64)

    def again(self, scores: Floats, lots: NDArray[np.uint64], count: int) -> Ints:
        """Indices of the `count` that are masked again: the lowest scores, the smallest lot among equal ones."""
        order = sorted(range(len(scores)), key=lambda i: (scores[i], int(lots[i])))
        return np.array(order[:count], dtype=np.int64)

    def draw(self, logits: Floats, positions: Ints, event: int) -> Ints:
        """Tokens of positions that one event decides."""
        base = positions * stride(self.mask_id)
        return choose(logits[positions], self.seed, self.sequence, event, base=base)

    def seen(self, tokens: Ints, logits: Floats, proposals: bool, call: int) -> Ints:
        """What the score is shown."""
        shown = tokens.copy()
        if proposals:
            masked = np.flatnonzero(tokens == self.mask_id)
            shown[masked] = self.draw(logits, masked, call)
        return shown

    def confidence(self, tokens_per_call: int = 1, proposals: bool = False) -> Sample:
        """A sequence whose positions are unmasked from the highest score on."""
        x, order, call = self.start.copy(), [], 0
        while (x == self.mask_id).any():
            masked = np.flatnonzero(x == self.mask_id)
            logits = network_row(self.model, x, self.mask_id, None)
            scores = self.scores(self.seen(x, logits, proposals, call), logits)[masked]
            lots = philox.bits(self.seed, self.sequence, call, philox.CONFIDENCE, masked)
            chosen = masked[self.first(scores, lots, tokens_per_call)]
            x[chosen] = self.draw(logits, chosen, call)
            order += chosen.tolist()
            call += 1
        return Sample(x, order=np.array(order, dtype=np.int64), nfe=call)

    def remask(self, levels: ArrayLike, sigma: ArrayLike) -> Sample:
        """A sequence along levels m [N + 1] from 1 to 0 whose lowest scores are masked again, as many as sigma [N] says."""
        m, sigma = np.asarray(levels, dtype=np.float64), np.asarray(sigma, dtype=np.float64)
        x, nfe = self.start.copy(), 0
        free = x == self.mask_id
        for step in range(len(sigma)):
            masked, drawn = np.flatnonzero(x == self.mask_id), np.flatnonzero(free & (x != self.mask_id))
            u = uniform(philox.bits(self.seed, self.sequence, step, philox.MOVE, masked))
            moved = masked[u < leave(1 - m[step], 1 - m[step + 1], sigma[step])]
            lots = philox.bits(self.seed, self.sequence, step, philox.REMASK, drawn)
            count = int((uniform(lots) < sigma[step]).sum())
            if moved.size or count:
                logits = network_row(self.model, x, self.mask_id, None)
                worst = drawn[self.again(self.scores(x, logits)[drawn], lots, count)]
                x[moved] = self.draw(logits, moved, step)
                x[worst] = self.mask_id
                nfe += 1
        return Sample(x, nfe=nfe)
