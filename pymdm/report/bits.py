"""A likelihood as it is reported: bits a unit of text, with the 95% interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bits:
    """Bits a character, byte or token of a text.

    Attributes:
        value: bits a unit; NaN without a text.
        error: half the width of the 95% interval around the value; 0 where the value is exact, NaN where it is not known.
        unit: "character", "byte" or "token".
        count: units that were scored.

    >>> print(Bits(1.86, 0.012)), Bits(1.86, 0.0).interval
    1.860 (1.848 to 1.872)
    (None, (1.86, 1.86))
    """

    value: float
    error: float = math.nan
    unit: str = "character"
    count: int = 0

    @classmethod
    def between(
        cls, value: float | None, ends: Sequence[float | None], unit: str = "character", count: int = 0
    ) -> Bits:
        """From a value and the two ends of its interval, as JSON holds them (null for NaN).

        >>> Bits.between(2.0, [1.5, 2.5]).error, Bits.between(2.0, [None, None])
        (0.5, Bits(value=2.0, error=nan, unit='character', count=0))
        """
        value, low, high = (math.nan if x is None else float(x) for x in (value, *ends))
        return cls(value, (high - low) / 2, unit, count)

    @property
    def interval(self) -> tuple[float, float]:
        """The two ends of the 95% interval; NaN where it is not known."""
        return self.value - self.error, self.value + self.error

    @property
    def around(self) -> str:
        """The interval in words; "-" where it is not known."""
        low, high = self.interval
        return "-" if math.isnan(low) else f"{low:.3f} to {high:.3f}"

    @property
    def short(self) -> str:
        """The value and half its interval.

        >>> Bits(1.86, 0.012).short
        '1.860 ± 0.012'
        """
        return number(self.value) + ("" if math.isnan(self.error) else f" ± {self.error:.3f}")

    def __str__(self) -> str:
        known = not math.isnan(self.error) and self.error > 0
        return number(self.value) + (f" ({self.around})" if known else "")


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals, "-" where there is none.

    >>> number(1.23456), number(None)
    ('1.235', '-')
    """
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"
