"""Confidence rules, as LLaDA, Dream and Fast-dLLM sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pymdm._native import C
from pymdm.sampling.check import integer, number
from pymdm.sampling.samplers.common import MAX_TOKENS, Approximate, one_of

RULES = ("probability", "margin", "entropy", "random")


@dataclass(frozen=True)
class Confidence(Approximate):
    """Unmasks where the network is most sure, as LLaDA, Dream and Fast-dLLM do.

    Law: none in closed form (*approximate*): order and tokens depend on each other, so samples do not follow the reverse
    process, and they repeat themselves more. At each call every masked position of the current block proposes a token;
    the most confident take theirs.

    Args:
        rule: "probability" of the proposed token (LLaDA low confidence, Dream maskgit_plus), "margin" between the two most
            likely tokens, negative "entropy" (Dream), or "random" order (LLaDA random remasking).
        tokens_per_call: positions unmasked by each call, at least.
        threshold: also unmask every position whose confidence is above this (Fast-dLLM: rule "probability", 0.9).
        block_length: semi-autoregressive blocks of this many positions, left to right.

    Raises:
        ValueError: a value out of range.

    Source: Nie et al., arXiv 2502.09992 (LLaDA); Ye et al., arXiv 2508.15487 (Dream); Wu et al., arXiv 2505.22618 (Fast-dLLM).

    >>> Confidence("margin", tokens_per_call=2).law
    'approximate'
    """

    rule: str = "probability"
    tokens_per_call: int = 1
    threshold: float | None = None
    block_length: int | None = None

    def __post_init__(self) -> None:
        one_of("rule", self.rule, RULES)
        object.__setattr__(self, "tokens_per_call", integer("tokens_per_call", self.tokens_per_call, 1, MAX_TOKENS))
        if self.block_length is not None:
            object.__setattr__(self, "block_length", integer("block_length", self.block_length, 1, MAX_TOKENS))
        if self.threshold is not None:
            object.__setattr__(self, "threshold", number("threshold", self.threshold))
            if self.threshold != self.threshold:
                raise ValueError("sample: threshold must be a number, got nan")

    def native(self) -> Any:
        off = 2.0  # no confidence is above it
        threshold = off if self.threshold is None else self.threshold
        return C.confidence(RULES.index(self.rule), self.tokens_per_call, threshold, self.block_length or 0)
