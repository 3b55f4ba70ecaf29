"""How many tokens each network call draws, with the certificate of what that costs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, overload

from pymdm.files.read import read_json, reason, short
from pymdm.sampling.check import integer


@dataclass(frozen=True, repr=False)
class CallSchedule(Sequence[int]):
    """Tokens of each call, as `FirstHitting(tokens_per_call=...)` takes them; made by `pymdm.schedule`.

    Attributes:
        sizes: tokens of each call; their sum is the number of masks it is for.
        excess_nats: expected KL of a sequence from the exact law, the mean over orders; interval95: of it, over texts.
        uniform_nats: the same for calls of equal size.
        given: tokens that are known before the first call.
        source: what the information curve was measured on.

    >>> found = CallSchedule((1, 3), 0.5, (0.4, 0.6), 0.7, 0, "a text")
    >>> found
    CallSchedule(2 calls for 4 tokens, 0.50 nats from the exact law)
    >>> found.law
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

    def __repr__(self) -> str:
        nats = f"{self.excess_nats:.2f} nats from the exact law"
        return f"CallSchedule({self.calls} calls for {sum(self.sizes)} tokens, {nats})"

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


FIRST = ("few", "many")


def random_sizes(tokens: int, calls: int, *, first: str = "few", seed: int = 0) -> tuple[int, ...]:
    """Tokens of each call where the information curve is not known: sizes in geometric progression from a random start.

    Let h(m) be the cost of a token when m others are known, which falls, and r = tokens^(1 / (calls - 1)). In expectation over
    the start the excess (`pymdm.schedule`) is

        with first="few" at most ((r - 1) / ln r - 1) D,               D = sum_m [h(m) - h(tokens - 1)], dual total correlation,
        with first="many" at most 2 (1 - (1 - 1/r) / ln r) T,          T = sum_m [h(0) - h(m)], total correlation,

    whatever h is: "few" where a few tokens settle the rest, "many" where tokens depend on each other only when most are known.
    No fixed sizes have such a bound: h may fall just behind the beginning of a large call.

    Args:
        tokens: to draw. calls: network calls at most, 1 .. tokens. first: "few" or "many" tokens in the first calls.
        seed: of the start.

    Returns:
        Sizes for `FirstHitting(tokens_per_call=...)`; their sum is `tokens`.

    Raises:
        ValueError, TypeError: a value out of range or of another type.

    Source: the question and the rates are of arXiv 2602.20126; these sizes and constants are ours, with their proof in
    docs/samplers.md.

    >>> random_sizes(32, 6, seed=1), random_sizes(32, 6, first="many", seed=1) == random_sizes(32, 6, seed=1)[::-1]
    ((1, 2, 3, 7, 14, 5), True)
    """
    import numpy as np  # here, so that the command line shows its help without it

    tokens = integer("tokens", tokens, 1)
    calls = integer("calls", calls, 1, tokens)
    if first not in FIRST:
        raise ValueError(f"sample: first must be one of {', '.join(FIRST)}, got {first!r}")
    return sizes_from(tokens, calls, first, float(np.random.default_rng([integer("seed", seed, 0), 23]).random()))


def sizes_from(tokens: int, calls: int, first: str, start: float) -> tuple[int, ...]:
    """The sizes of `random_sizes` for a start in [0, 1): known counts floor(r^(start + j)), j = 0 .. calls - 2."""
    ratio = tokens ** (1 / max(1, calls - 1))
    counts = {0, tokens, *(min(tokens, int(ratio ** (start + j))) for j in range(calls - 1))}
    sizes = tuple(b - a for a, b in pairwise(sorted(counts)))
    return sizes if first == "few" else sizes[::-1]
