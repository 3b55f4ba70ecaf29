"""The information curve: what a masked token costs, as a function of how much of the sequence is masked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymdm.evaluate.intervals import t_quantile


@dataclass(frozen=True)
class Curve:
    """Mean loss of a masked token by masked share n / L, in bins of equal width that had a row.

    The area under it is the bound per token (Proposition 3.1: the counts n = 1 .. L weigh alike); at small shares it is
    what a token costs with nearly all others known, at share 1 what it costs with none.

    Attributes:
        share: mean n / L of the rows in a bin, [K]. nats: their mean loss per masked token. std_error: of it, sequences
            taken as independent: windows of the text and choice of masks together. rows, sequences: their numbers.
    """

    share: NDArray[np.float64]
    nats: NDArray[np.float64]
    std_error: NDArray[np.float64]
    rows: NDArray[np.int64]
    sequences: NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """One entry a bin, with 95% intervals."""
        half = [
            t_quantile(n - 1) * e if n > 1 else float("nan")
            for n, e in zip(self.sequences, self.std_error, strict=True)
        ]
        return {
            "masked_share": self.share.tolist(),
            "nats_per_masked_token": self.nats.tolist(),
            "interval95": [[m - h, m + h] for m, h in zip(self.nats.tolist(), half, strict=True)],
            "rows": self.rows.tolist(),
        }


class CurveTally:
    """Sums for a `Curve` while rows come in.

    Args:
        bins: K, of equal width in n / L.
    """

    def __init__(self, bins: int) -> None:
        # Over sequences, r the rows of one in a bin and t their losses: sums of r, shares, t, t^2, t r, r^2, [r > 0].
        self._sums = np.zeros((7, bins))

    def add(self, counts: NDArray[np.int64], length: int, losses: NDArray[np.float64]) -> None:
        """Sequences [b, R] of rows with n = counts of L masked and mean losses in nats."""
        bins = self._sums.shape[1]
        places = ((counts - 0.5) / length * bins).astype(np.int64)  # n stands for the shares from (n - 1) / L to n / L
        for place, share, loss in zip(places, counts / length, losses, strict=True):
            r, s, t = (np.bincount(place, values, minlength=bins) for values in (np.ones(len(place)), share, loss))
            self._sums += np.stack([r, s, t, t * t, t * r, r * r, r > 0])

    def curve(self) -> Curve:
        """What has come in so far; the error is that of a ratio of sums over sequences."""
        rows, shares, losses, squares, cross, sizes, units = self._sums[:, self._sums[0] > 0]
        mean = losses / rows
        spread = np.maximum(squares - 2 * mean * cross + mean**2 * sizes, 0.0) * units / np.maximum(units - 1, 1)
        return Curve(shares / rows, mean, np.sqrt(spread) / rows, rows.astype(np.int64), units.astype(np.int64))
