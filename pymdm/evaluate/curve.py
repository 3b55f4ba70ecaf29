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
        share: mean n / L of the rows in a bin, [K]. nats: their mean loss per masked token. std_error: of it, rows taken
            as independent: windows of the text and choice of masks together. rows: their number.
    """

    share: NDArray[np.float64]
    nats: NDArray[np.float64]
    std_error: NDArray[np.float64]
    rows: NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """One entry a bin, with 95% intervals."""
        half = [
            t_quantile(r - 1) * e if r > 1 else float("nan") for r, e in zip(self.rows, self.std_error, strict=True)
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
        self._sums = np.zeros((4, bins))  # rows, shares, losses, squared losses

    def add(self, counts: NDArray[np.int64], length: int, losses: NDArray[np.float64]) -> None:
        """Rows with n = counts [R] of L masked and mean losses [R] in nats."""
        bins = self._sums.shape[1]
        place = ((counts - 0.5) / length * bins).astype(np.int64)  # n stands for the shares from (n - 1) / L to n / L
        for row, values in zip(self._sums, (np.ones(len(counts)), counts / length, losses, losses**2), strict=True):
            row += np.bincount(place, values, minlength=bins)

    def curve(self) -> Curve:
        """What has come in so far."""
        rows, shares, losses, squares = self._sums[:, self._sums[0] > 0]
        mean = losses / rows
        spread = np.maximum(squares / rows - mean**2, 0.0) * rows / np.maximum(rows - 1, 1)
        return Curve(shares / rows, mean, np.sqrt(spread / rows), rows.astype(np.int64))
