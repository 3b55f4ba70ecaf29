"""What all samplers have in common."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from pymdm._native import C
from pymdm.sampling.check import entries, integer

MAX_STEPS = 10**6  # of a time grid
MAX_TOKENS = 2**62  # of one call
NOISES = tuple(C.Noise.__members__)


@dataclass(frozen=True)
class FixedStep:
    """A sampler's call where all its calls are alike, as a device records it: tokens of each, and the compiled schedule."""

    tokens_per_call: int
    schedule: Any


class Sampler:
    """What `pymdm.sample` needs of a sampler; derived classes are small frozen descriptions.

    Attributes:
        law: "exact" or "approximate".
        warnings: what a reader of the samples must know.
    """

    @property
    def law(self) -> str:
        return "approximate"

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    def native(self) -> C.Sampler:
        """The compiled sampler, which plans and writes every step."""
        raise NotImplementedError(f"sample: {type(self).__name__} has no compiled form")

    def fixed_step(self) -> FixedStep | None:
        """The step of plain first-hitting if that is all this sampler does, so that a device can replay it; else None."""
        return None

    def __repr__(self) -> str:
        """As a dataclass's, with a function by its name: the same text in every process."""
        names: list[str] = [f.name for f in fields(self)] if is_dataclass(self) else []
        words = [f"{name}={shown(getattr(self, name))}" for name in names]
        return f"{type(self).__name__}({', '.join(words)})"


def shown(value: Any) -> str:
    return getattr(value, "__qualname__", type(value).__qualname__) if callable(value) else repr(value)


MOST_AHEAD = 32  # copies of a sequence that an adaptive window may take


def ahead(lookahead: int | float | str) -> dict[str, Any]:
    """Arguments `window`, `mark` and `timed` of the compiled samplers from the value of `lookahead`.

    >>> ahead(4), ahead(0.3)["mark"], ahead("auto")["timed"]
    ({'window': 4, 'mark': 0.0, 'timed': False}, 0.3, True)
    """
    number = isinstance(lookahead, int | float) and not isinstance(lookahead, bool)
    if isinstance(lookahead, int) and number and 1 <= lookahead <= MOST_AHEAD:
        return {"window": int(lookahead), "mark": 0.0, "timed": False}
    if isinstance(lookahead, float) and 0 < lookahead < 1:
        return {"window": MOST_AHEAD, "mark": lookahead, "timed": False}
    if lookahead == "auto":
        return {"window": MOST_AHEAD, "mark": 0.0, "timed": True}
    raise ValueError(
        f"sample: lookahead must be in 1..{MOST_AHEAD}, a chance between 0 and 1, or 'auto', got {lookahead!r}"
    )


def token_counts(value: Any) -> int | tuple[int, ...]:
    """Tokens of a call, or of each call as a tuple whose last entry repeats; each an integer from 1 to MAX_TOKENS.

    >>> token_counts([3, 2]), token_counts(4)
    ((3, 2), 4)
    """
    if not hasattr(value, "__len__") or isinstance(value, str):
        return integer("tokens_per_call", value, 1, MAX_TOKENS)
    counts = tuple(integer("tokens_per_call", k, 1, MAX_TOKENS) for k in entries("tokens_per_call", value))
    if not counts:
        raise ValueError("sample: tokens_per_call must have an entry, got none")
    return counts


def listed(counts: int | tuple[int, ...]) -> list[int]:
    """What `token_counts` gave, as a list."""
    return [counts] if isinstance(counts, int) else list(counts)


def even_times(steps: int) -> list[float]:
    """The grid 1 = t_0 > ... > t_N = 0 with N equal steps."""
    return [1 - i / steps for i in range(steps)] + [0.0]


def one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    """ValueError unless the value is among the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"sample: {name} must be one of {', '.join(choices)}, got {value!r}")


def noise_warnings(noise: str) -> tuple[str, ...]:
    """What a reader must know of samples made with this noise."""
    if noise in ("exact", "float64"):
        return ()
    return (f"{noise} noise distorts the samples (truncated Gumbel, Proposition 5.2): for measurement only",)
