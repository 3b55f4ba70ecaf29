"""How tokens are drawn from the network's conditionals, whatever the sampler."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pymdm.sampling.allowed import Allowed, allowed_sets
from pymdm.sampling.check import entries, integer, number

MAX_COUNT = 2**62  # far beyond what runs, and within 64 bits
LAWS = ("exact", "tempered", "truncated", "approximate")


@dataclass(frozen=True)
class SampleOptions:
    """Changes of the network's conditionals mu(x)[l], the same for every sampler.

    Args:
        temperature: logits are divided by it, at least 0; 0 takes the most likely token, 1 is the network's own law.
        top_k: only the k most likely tokens are drawn; 0 is all of them. Changes the law.
        top_p: only the likeliest tokens that together have this probability, in (0, 1], are drawn; 1 is all. Changes the law.
        banned_tokens: ids that are never drawn. Changes the law.
        allowed: position -> the only ids that may be drawn there (or a boolean [L, V]); positions as in the result's tokens.
            At each event the conditional mu(x)[l] is cut to the set of l and normalised again; that is another law than the
            sequences' own given that they keep to the sets.

    Raises:
        ValueError, TypeError: a value out of range or of another type.

    >>> SampleOptions(temperature=0.7).law("exact"), SampleOptions(top_k=5).law("exact")
    ('tempered', 'truncated')
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    banned_tokens: tuple[int, ...] = ()
    allowed: Allowed = ()

    def __post_init__(self) -> None:
        temperature, top_p = number("temperature", self.temperature), number("top_p", self.top_p)
        if not 0 <= temperature < math.inf:
            raise ValueError(f"sample: temperature must be finite and at least 0, got {temperature}")
        if not 0 < top_p <= 1:
            raise ValueError(f"sample: top_p must be in (0, 1], got {top_p}")
        banned = entries("banned_tokens", self.banned_tokens)
        values = {
            "temperature": temperature,
            "top_k": integer("top_k", self.top_k, 0, MAX_COUNT),
            "top_p": top_p,
            "banned_tokens": tuple(integer("banned_tokens", token, 0, MAX_COUNT) for token in banned),
            "allowed": allowed_sets(self.allowed),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def law(self, sampler_law: str) -> str:
        """The law of a sampler with these options, one of `LAWS`.

        Args:
            sampler_law: the sampler's own, "exact" or "approximate", the latter perhaps with a certificate after a comma.

        "tempered" and "truncated" are exact for the conditionals that the options leave: divided by the temperature, cut to
        the tokens that may be drawn and normalised again.
        """
        cut = self.top_k > 0 or self.top_p < 1 or bool(self.banned_tokens) or bool(self.allowed)
        own = self.temperature == 1 and not cut
        if sampler_law != "exact":  # a certificate after the word holds of the network's own conditionals
            return sampler_law if own else sampler_law.partition(",")[0]
        if cut:
            return "truncated"
        return "exact" if self.temperature == 1 else "tempered"


def changed(
    options: SampleOptions | None,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    banned_tokens: Sequence[int] | None,
    allowed: Any = None,
) -> SampleOptions:
    """The options, with those values that are given instead of their own."""
    if options is not None and not isinstance(options, SampleOptions):
        raise TypeError(f"sample: options must be SampleOptions, got {type(options).__name__}")
    given: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "banned_tokens": banned_tokens}
    given["allowed"] = allowed
    return replace(options or SampleOptions(), **{name: value for name, value in given.items() if value is not None})
