"""Confidence rules, as LLaDA, Dream, Fast-dLLM and the entropy-bounded sampler unmask."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from pymdm._native import C
from pymdm.sampling.check import boolean, integer, number
from pymdm.sampling.samplers.common import MAX_TOKENS, Sampler, listed, one_of, token_counts
from pymdm.sampling.samplers.position_score import PositionScore, check_score, native_score

RULES = tuple(C.Rule.__members__)


@dataclass(frozen=True, repr=False)
class Confidence(Sampler):
    """Unmasks where the network is most sure, as LLaDA, Dream and Fast-dLLM do.

    Law: none in closed form (*approximate*): order and tokens depend on each other, so samples do not follow the reverse
    process, and they repeat themselves more. At each call every masked position of the current block proposes a token;
    the most confident take theirs. Positions within 1e-4 of the surest (nats; probability for "margin") are tied, as rows
    are that differ by float32 rounding alone, and a draw at the sequence's own address decides among them.

    Args:
        rule: "probability" of the proposed token before temperature, top-k and top-p (LLaDA low_confidence, Fast-dLLM);
            the same as it was drawn, "maskgit_plus", the "margin" between the two most likely tokens, or negative
            "entropy", these three of the tempered and truncated law (Dream); or "random" order (LLaDA random remasking).
        tokens_per_call: positions unmasked by each call, at least; or a sequence, whose last entry repeats.
        threshold: also unmask every position whose confidence is at least this (Fast-dLLM: rule "probability", 0.9).
        block_length: semi-autoregressive blocks of this many positions, left to right, counted from the first position
            that is not given. Default: what the network asks for, its own blocks of attention "block".
        aligned: count the blocks from position 0, as networks of attention "block" do, which set it.
        bound: of rule "entropy": also unmask the largest set whose entropies, the largest left out, sum to at most this, in
            nats (the entropy-bounded sampler).
        score: in place of a rule, a function (tokens [B, L] int64, logits [B, L, V]) -> [B, L] floats, see
            `pymdm.PositionScore`; the highest of the block's masked positions are unmasked first. Only equal scores are
            tied. `pymdm.log_likelihood(rule=Confidence(score=...))` is exact if the function is deterministic.
        proposals: the score sees the proposed tokens in the masks' places, as a planner of whole sequences does. The order
            then depends on the draw, and there is no exact likelihood.

    Raises:
        ValueError: a value out of range; a rule besides a score; in the run, scores with NaN or of another shape.

    Source: Nie et al., arXiv 2502.09992 (LLaDA); Ye et al., arXiv 2508.15487 (Dream); Wu et al., arXiv 2505.22618
    (Fast-dLLM); Ben-Hamu et al., arXiv 2505.24857 (entropy bound); Peng et al., arXiv 2502.03540
    (P2, planners as scores).

    >>> Confidence("margin", tokens_per_call=2).law
    'approximate'
    """

    rule: str = "probability"
    tokens_per_call: int | tuple[int, ...] = 1
    threshold: float | None = None
    block_length: int | None = None
    bound: float | None = None
    score: PositionScore | None = None
    proposals: bool = False
    aligned: bool = False

    def __post_init__(self) -> None:
        one_of("rule", self.rule, RULES)
        object.__setattr__(self, "tokens_per_call", token_counts(self.tokens_per_call))
        if self.block_length is not None:
            object.__setattr__(self, "block_length", integer("block_length", self.block_length, 1, MAX_TOKENS))
        if self.threshold is not None:
            object.__setattr__(self, "threshold", number("threshold", self.threshold))
            if self.threshold != self.threshold:
                raise ValueError("sample: threshold must be a number, got nan")
        if self.bound is not None:
            object.__setattr__(self, "bound", number("bound", self.bound))
            if self.rule != "entropy" or not self.bound >= 0:
                raise ValueError(
                    f'sample: bound must be at least 0 and is for rule "entropy", got {self.bound}, {self.rule!r}'
                )

        check_score(self.score)
        object.__setattr__(self, "proposals", boolean("proposals", self.proposals))
        object.__setattr__(self, "aligned", boolean("aligned", self.aligned))
        if self.aligned and self.block_length is None:
            raise ValueError("sample: aligned=True is for a block_length")
        if self.score is not None and self.rule != "probability":
            raise ValueError(f"sample: give a rule or a score, not both, got rule {self.rule!r}")
        if self.proposals and self.score is None:
            raise ValueError("sample: proposals=True is for a score")

    def native(self) -> C.Sampler:
        threshold = inf if self.threshold is None else self.threshold
        bound = -inf if self.bound is None else self.bound
        counts = listed(self.tokens_per_call)
        rule, block, score = C.Rule.__members__[self.rule], self.block_length or 0, native_score(self.score)
        return C.confidence(rule, counts, threshold, block, bound, score, self.proposals, self.aligned)
