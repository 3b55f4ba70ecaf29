"""What all samplers have in common."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Protocol

from pymdm._native import C
from pymdm.sampling.check import entries, integer
from pymdm.sampling.schedules import Schedule, as_schedule

MAX_STEPS = 10**6  # of a time grid
MAX_TOKENS = 2**62  # of one call
NOISES = tuple(C.Noise.__members__)


class Sampler(Protocol):
    """What `pymdm.sample` needs of a sampler."""

    @property
    def law(self) -> str:
        """ "exact" or "approximate"."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the samples must know."""

    def native(self) -> Any:
        """The compiled sampler."""


class Approximate:
    """Of samplers whose law is approximate and, where they do not say otherwise, needs no warning."""

    @property
    def law(self) -> str:
        return "approximate"

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    def __repr__(self) -> str:
        """As a dataclass's, with a function by its name: the same text in every process."""
        words = [f"{f.name}={_shown(getattr(self, f.name))}" for f in fields(self)]  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(words)})"


def _shown(value: Any) -> str:
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


def with_schedule(sampler: Any, trained: str | None) -> Any:
    """The sampler, telling a time-conditioned network the times of the schedule that it was trained with.

    Args:
        sampler: with a schedule of its own or none.
        trained: the schedule's name; None for a network that sees no time, or of which it is not known.

    Raises:
        ValueError: a sampler that tells other times.

    >>> from pymdm.sampling.samplers import FirstHitting
    >>> with_schedule(FirstHitting(), "cosine").schedule
    'cosine'
    """
    if trained is None:
        return sampler
    if not hasattr(sampler, "schedule"):  # its times are shares of masks
        told = "linear"
    elif sampler.schedule is None:
        return replace(sampler, schedule=trained)
    else:
        told = sampler.schedule
    if as_schedule(told) != Schedule(trained):
        name = told if isinstance(told, str) else told.name
        raise ValueError(
            f"sample: the network was trained with times of the {trained} schedule, but {type(sampler).__name__} "
            f"tells it those of {'another ' if name == trained else 'the '}{name} schedule"
        )
    return sampler


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
