"""How many tokens each network call draws, with the certificate of what that costs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from pymdm.files.read import read_json, reason, short


@dataclass(frozen=True)
class CallSchedule(Sequence[int]):
    """Tokens of each call, as `FirstHitting(tokens_per_call=...)` takes them; made by `pymdm.schedule`.

    Attributes:
        sizes: tokens of each call; their sum is the number of masks it is for.
        excess_nats: expected KL of a sequence from the exact law, the mean over orders; interval95: of it, over texts.
        uniform_nats: the same for calls of equal size.
        given: tokens that are known before the first call.
        source: what the information curve was measured on.

    >>> CallSchedule((1, 3), 0.5, (0.4, 0.6), 0.7, 0, "a text").law
    'approximate, 0.50 nats from the exact law a sequence (95% 0.40 to 0.60, on a text)'
    """

    sizes: tuple[int, ...]
    excess_nats: float
    interval95: tuple[float, float]
    uniform_nats: float
    given: int
    source: str

    def __post_init__(self) -> None:
        if not self.sizes or any(not isinstance(s, int) or isinstance(s, bool) or s < 1 for s in self.sizes):
            raise ValueError(f"schedule: every call must draw at least 1 token, got {short(str(self.sizes))}")

    @property
    def calls(self) -> int:
        """Network calls a sequence."""
        return len(self.sizes)

    @property
    def law(self) -> str:
        """The law of the sampler that runs it, in words."""
        if set(self.sizes) == {1}:
            return "exact"
        low, high = self.interval95
        words = f"95% {low:.2f} to {high:.2f}, on {self.source}"
        return f"approximate, {self.excess_nats:.2f} nats from the exact law a sequence ({words})"

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[int]:
        return iter(self.sizes)

    @overload
    def __getitem__(self, i: int) -> int: ...
    @overload
    def __getitem__(self, i: slice) -> tuple[int, ...]: ...
    def __getitem__(self, i: int | slice) -> int | tuple[int, ...]:
        return self.sizes[i]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, as `from_dict` reads it."""
        return {
            "tokens_per_call": list(self.sizes),
            "calls": self.calls,
            "excess_nats": self.excess_nats,
            "interval95": list(self.interval95),
            "uniform_nats": self.uniform_nats,
            "given": self.given,
            "source": self.source,
        }

    @classmethod
    def from_dict(cls, saved: Any) -> CallSchedule:
        """Reads what `to_dict` gave.

        Raises:
            ValueError: something else.
        """
        try:
            low, high = (float(x) for x in saved["interval95"])
            numbers = float(saved["excess_nats"]), (low, high), float(saved["uniform_nats"]), int(saved["given"])
            return cls(tuple(saved["tokens_per_call"]), *numbers, str(saved["source"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"schedule: expected what `pymdm schedule --out` writes: {reason(error)}") from None

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> CallSchedule:
        """A schedule from the JSON file that `pymdm schedule --out` wrote.

        Raises:
            ValueError: another file.
        """
        return cls.from_dict(read_json(path, "schedule"))
