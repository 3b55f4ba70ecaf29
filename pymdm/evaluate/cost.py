"""What a text costs a model: nats of each sequence, and what is reported of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pymdm.evaluate.intervals import ratio_interval
from pymdm.report.bits import Bits


@dataclass(frozen=True)
class Cost:
    """Negative log-likelihood of a text cut into sequences, or a bound on it.

    Attributes:
        by_sequence: nats of each sequence, float64 [S]. sizes: its tokens, int64 [S].
        characters: of the whole text, 0 when it was not given.
        unit: what `characters` counts, "character" or "byte".
    """

    by_sequence: NDArray[np.float64]
    sizes: NDArray[np.int64]
    characters: int = 0
    unit: str = "character"

    @property
    def nats(self) -> float:
        """Total over the text."""
        return float(self.by_sequence.sum())

    @property
    def tokens(self) -> int:
        """Tokens of the text."""
        return int(self.sizes.sum())

    @property
    def nats_per_token(self) -> float:
        """Mean in nats."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """exp of the nats per token."""
        return math.exp(self.nats_per_token)

    @property
    def bits(self) -> Bits:
        """Bits a character, exact: there is no Monte Carlo error. NaN without `characters`."""
        return Bits(self._per_character(self.nats), self._per_character(0.0), self.unit, self.characters)

    @property
    def bits_elsewhere(self) -> Bits:
        """The same for more text of this kind: the interval holds text-sampling and Monte Carlo error together.

        The sequences are the units, taken as independent draws; the error is NaN where there is only one.
        """
        low, high = (end * self.tokens for end in ratio_interval(self.by_sequence, self.sizes))
        error = self._per_character((high - low) / 2)
        return Bits(self._per_character(self.nats), error, self.unit, self.characters)

    def _per_character(self, nats: float) -> float:
        return nats / math.log(2.0) / self.characters if self.characters else math.nan
