"""Exact log-likelihood of a text under a sampler that picks positions by a deterministic rule, by teacher forcing.

A rule that reads the logits and the tokens that are there, but not the token it is about to draw, visits the positions of a
given text in one order. Along it P(x) = prod_e mu(x_{o_1..o_{e-1}})[o_e][x_{o_e}], with no sum over orders
(arXiv 2603.01367), so it sums to 1 over all sequences, several tokens a call included. Where mu depends on the order of what is
known (attention "any-order") that is the order of the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pymdm.evaluate.autoregressive import Likelihood
from pymdm.network.evaluation import evaluation_mode
from pymdm.network.loading import resolve, with_tokenizer
from pymdm.sampling.check import entries, integer
from pymdm.sampling.fitting import check_given, with_attention
from pymdm.sampling.opening import open_state
from pymdm.sampling.options import SampleOptions
from pymdm.sampling.prompt import framed
from pymdm.sampling.run import RunOptions, run
from pymdm.sampling.sample import _score
from pymdm.sampling.samplers import Confidence, Sampler, parse_sampler

RULES = ("margin", "entropy")
CAUSAL = "the likelihood of a causal network is exact without a rule, see `pymdm.evaluate`"
REFUSED = {
    "probability": "it looks at the probability of the token it has drawn, so the order depends on the draw",
    "maskgit_plus": "it looks at the probability of the token it has drawn, so the order depends on the draw",
    "random": "its order is random: the likelihood is a mean over all orders, which the bound of `pymdm evaluate` bounds",
}


@dataclass(frozen=True, repr=False)
class RuleLikelihood(Likelihood):
    """Negative log-likelihood of texts under a rule, without error; nats, bits and intervals as of `Likelihood`.

    Attributes:
        rule: the sampler whose law it is.
        log_prob: float64 [L] of each text, log-probability of each token where the rule names it; NaN where given.
        rank: int64 [L] of each text, the rank at which the rule names each position, -1 where given: a step map.
    """

    rule: Confidence = field(default_factory=lambda: Confidence("margin"))
    log_prob: tuple[Tensor, ...] = ()
    rank: tuple[Tensor, ...] = ()

    def __repr__(self) -> str:
        size = f"{len(self.sizes)} texts, {self.tokens:,} tokens"
        bits = f", {self.bits.value:.3f} bits per {self.unit}" if self.characters else ""
        return f"RuleLikelihood({size}, exact, {self.nats_per_token:.4f} nats per token{bits},\n{self.rule!r})"


def rule_sampler(rule: str | Sampler) -> Confidence:
    """The sampler of a rule's name, with options as in `parse_sampler`, or the given one, if its likelihood is exact.

    Raises:
        ValueError: a rule without an exact likelihood, with the reason; an unknown rule or option.

    >>> rule_sampler("margin").rule, rule_sampler("entropy,bound=0.5").bound
    ('margin', 0.5)
    """
    named = isinstance(rule, str) and rule.partition(",")[0] in (*RULES, *REFUSED)
    sampler = parse_sampler(f"confidence:{rule}") if named else rule
    if isinstance(sampler, str):
        raise ValueError(f"log_likelihood: rule must be one of {', '.join(RULES)}, got {rule!r}")
    if not isinstance(sampler, Confidence):
        reason = "its order is random, or tokens are drawn again: use the bound of `pymdm evaluate`"
        raise ValueError(f"log_likelihood: {type(sampler).__name__} has no exact likelihood of a text: {reason}")
    if sampler.score is not None:
        if sampler.proposals:
            raise ValueError(
                "log_likelihood: a score with proposals=True has no exact likelihood: it looks at the tokens that it has "
                "drawn, so the order depends on the draw"
            )
        return sampler
    if sampler.rule in REFUSED:
        raise ValueError(f"log_likelihood: rule {sampler.rule!r} has no exact likelihood: {REFUSED[sampler.rule]}")
    return sampler


def log_likelihood(
    model: Any,
    texts: Iterable[str | Sequence[int] | Tensor],
    *,
    rule: str | Sampler = "margin",
    given: Sequence[Sequence[int]] | None = None,
    characters: int = 0,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    banned_tokens: Sequence[int] = (),
    allowed: Any = (),
    special_tokens: bool = False,
    mask_id: int | None = None,
    tokenizer: Any = None,
    time_conditioned: bool = False,
    chosen_rows: bool = False,
    logit_shift: bool = False,
    batch_size: int = 16,
    seed: int = 0,
    dtype: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> RuleLikelihood:
    """Exact log-likelihood of texts under `Confidence(rule)`, L network calls a text of L tokens.

    Args:
        model: as in `pymdm.sample`, a masked language model of transformers too.
        texts: strings (of a model with a tokenizer) or integer tokens [L]. A model's frame ([CLS] ... [SEP]) is put around
            each where it is not there yet, and is given.
        rule: "margin", "entropy", the same with options ("margin,tokens_per_call=2"), or a `Confidence` of them, or of a
            deterministic score, with its tokens per call, threshold and blocks.
        given: positions of each text that are known from the start and not scored, counted in the text as it is passed.
        characters: of all texts together, for bits per character.
        temperature, top_k, top_p, banned_tokens, allowed, special_tokens: of the law, as in `pymdm.sample`: a text with a token
            that is never drawn has probability 0.
        mask_id: of a callable. tokenizer: default the model's.
        time_conditioned, chosen_rows, logit_shift: forms of a callable.
        batch_size: texts in one network call.
        seed: of the lots among positions that are equally sure; elsewhere nothing depends on it. The sum over all sequences
            is 1 for every seed.
        dtype: for models this call loads itself; default as in `pymdm.load`.
        progress: told the number of tokens named so far.

    Returns:
        `RuleLikelihood`.

    Raises:
        ValueError: a rule without an exact likelihood, with the reason; a text without tokens, or one with the mask in it.

    Source: arXiv 2603.01367.

    >>> found = log_likelihood(lambda tokens: torch.zeros(*tokens.shape, 4), [[0, 1, 2]], mask_id=4)
    >>> round(found.nats, 4), found.tokens
    (4.1589, 3)
    """
    texts = entries("texts", texts, "log_likelihood")
    sampler, network = rule_sampler(rule), with_tokenizer(resolve(model, dtype), tokenizer, mask_id)
    if network.config is not None and network.config.causal:
        raise ValueError(f"log_likelihood: {CAUSAL}")
    sampler = with_attention(sampler, network.config)
    mask = mask_id if mask_id is not None else network.mask_id
    if mask is None:
        raise ValueError("log_likelihood: mask_id is needed for a network that is a plain callable")
    plain = [_tokens(text, network.tokenizer) for text in texts]
    for i, row in enumerate(plain):
        if not row or mask in row:
            raise ValueError(f"log_likelihood: text {i} {'holds the mask' if row else 'has no tokens'}")
    if given is not None and len(given) != len(plain):
        raise ValueError(f"log_likelihood: expected positions given in {len(plain)} texts, got {len(given)}")
    truth = [torch.tensor(framed(row, network.frame), dtype=torch.int64) for row in plain]
    starts = [torch.full_like(row, mask) for row in truth]
    before, after = map(len, network.frame)
    for i, (start, whole) in enumerate(zip(starts, truth, strict=True)):
        first = 0 if plain[i][:before] == list(network.frame[0]) else before  # of the text in the frame
        places = [first + place for place in (given[i] if given is not None else ())]
        at = torch.tensor([*range(before), *places, *range(len(whole) - after, len(whole))], dtype=torch.int64)
        start[at] = whole[at]
    check_given([start.tolist() for start in starts], mask, network.config)
    # One id for all texts, so that lots are the same for each: then the law of a seed is one law.
    state = open_state(sampler, [start.tolist() for start in starts], mask, seed, [0] * len(plain))
    state.force(torch.cat(truth))
    total = int(state.remaining.sum())
    options = RunOptions(
        SampleOptions(temperature, top_k, top_p, tuple(banned_tokens), allowed),
        () if special_tokens else network.banned,
        drawable=network.tokenizer.size if network.tokenizer is not None else 0,
        batch_size=batch_size,
        watch=None if progress is None else lambda s: progress(total - int(s.remaining.sum())),
        watch_interval=0.1,
    )
    with evaluation_mode(network.callable), evaluation_mode(sampler.score):
        run(state, sampler, _score(network, time_conditioned, chosen_rows, logit_shift), options)
    sizes = [len(row) for row in truth]
    log_prob, rank = state.log_prob.split(sizes), state.rank.split(sizes)
    nats = np.array([-float(p.nansum()) for p in log_prob])
    named = np.array([int((r >= 0).sum()) for r in rank], dtype=np.int64)
    return RuleLikelihood(nats, named, characters, rule=sampler, log_prob=tuple(log_prob), rank=tuple(rank))


def _tokens(text: str | Sequence[int] | Tensor, tokenizer: Any) -> list[int]:
    if isinstance(text, str):
        if tokenizer is None:
            raise ValueError("log_likelihood: a text needs a model with a tokenizer; give tokens instead")
        return list(tokenizer.encode(text))
    return [integer("tokens", t, operation="log_likelihood") for t in entries("each text", text, "log_likelihood")]
