"""Models of this package in lm-evaluation-harness (`lm_eval`): likelihoods by bound or rule, generation by infilling.

A masked model has no likelihood from left to right. `likelihood="bound"` gives minus the bound of the continuation given the
context, an estimate from below; a rule's name ("margin", "entropy") or a `Confidence` gives the exact log-likelihood of that
sampler. Both put the context's tokens in their place and mask the continuation. A causal network has its exact likelihood.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from pymdm.data.masking import causal_inputs
from pymdm.evaluate.bound import token_losses
from pymdm.evaluate.rule import CAUSAL, log_likelihood, rule_sampler
from pymdm.network.loading import Model, load
from pymdm.network.mu import log_mu
from pymdm.sampling.sample import sample
from pymdm.sampling.samplers import FirstHitting, Sampler

MAX_TOKENS = 256  # of an answer where the task does not say


class Harness:
    """What `lm_eval` asks of a model, on plain texts; `harness_model` is the same as its `LM` class.

    Args:
        model: of `pymdm.load`, a path for it, or None for "bundled:any-order".
        likelihood: "bound", "margin", "entropy", or a `Confidence` with an exact likelihood.
        draws: of the bound, masks drawn for a text. block: tokens infilled at once in `generate_until`.
        sampler: of `generate_until`, default `FirstHitting()`. seed: of all draws. batch_size: rows in one network call.

    Raises:
        ValueError: another kind of model, one without a tokenizer or whose attention is not in both directions, or a rule
            without an exact likelihood, with the reason.

    >>> Harness(None, likelihood="margin").loglikelihood([("Return the", " name")])[0][0] < 0
    True
    """

    def __init__(
        self,
        model: Any,
        likelihood: str | Sampler = "bound",
        *,
        draws: int = 64,
        block: int = 32,
        sampler: Sampler | None = None,
        seed: int = 0,
        batch_size: int = 16,
    ) -> None:
        self.model = load(model) if model is None or isinstance(model, str | os.PathLike) else model
        if not isinstance(self.model, Model):
            raise ValueError(f"harness: expected a path or a model of pymdm.load, got {type(self.model).__name__}")
        if self.model.tokenizer is None:
            raise ValueError("harness: the model has no tokenizer; load it with one, tokenizer=")
        if likelihood != "bound":
            rule_sampler(likelihood)
            if self.model.config.causal:
                raise ValueError(f"harness: {CAUSAL}")
        if min(draws, block, batch_size) < 1:
            raise ValueError(
                f"harness: draws, block and batch_size must be at least 1, got {draws}, {block}, {batch_size}"
            )
        self.likelihood, self.draws, self.block = likelihood, draws, block
        self.sampler, self.seed, self.batch_size = sampler or FirstHitting(), seed, batch_size
        self.tokenizer, self.mask_id = self.model.tokenizer, self.model.config.mask_id
        self.frame = [list(part) for part in self.model.frame]
        self.length = self.model.config.length - sum(map(len, self.frame))

    def loglikelihood(self, requests: Iterable[tuple[str, str]]) -> list[tuple[float, bool]]:
        """(context, continuation) -> nats below 0 of the continuation, and whether decoding at temperature 0 gives it.

        The continuation's tokens are those that the whole text has beyond the context's; where they do not fit, the context
        loses its beginning.

        Raises:
            ValueError: a continuation without tokens, or one that is longer than the model reads.
        """
        return [self._scored(*self._pair(context, rest)) for context, rest in requests]

    def loglikelihood_rolling(self, texts: Iterable[str]) -> list[float]:
        """Nats below 0 of whole texts, in windows of the model's length of which none sees another."""
        found = []
        for text in texts:
            row = list(self.tokenizer.encode(text))
            parts = [row[i : i + self.length] for i in range(0, len(row), self.length)]
            found.append(float(sum(self._nats([], part) for part in parts)))
        return found

    def generate_until(self, requests: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
        """(context, settings) -> text after the context, up to the first stop string of `settings["until"]`.

        Blocks of masks are infilled after the context until a stop string stands in what was drawn, or `max_gen_toks` tokens
        are there. Temperature 0 unless `do_sample` or `temperature` say otherwise.
        """
        return [self._generated(i, context, settings) for i, (context, settings) in enumerate(requests)]

    def _pair(self, context: str, rest: str) -> tuple[list[int], list[int]]:
        whole, before = list(self.tokenizer.encode(context + rest)), list(self.tokenizer.encode(context))
        shared = 0  # tokens of the context alone that stand in the whole text, of which one may reach over its end
        while shared < min(len(before), len(whole) - 1) and whole[shared] == before[shared]:
            shared += 1
        known, scored = whole[:shared], whole[shared:]
        if not rest or not scored:
            raise ValueError("harness: a continuation has no tokens")
        if len(scored) > self.length:
            raise ValueError(f"harness: a continuation has {len(scored)} tokens, the model reads {self.length}")
        return known[max(0, len(known) + len(scored) - self.length) :], scored

    def _nats(self, known: list[int], scored: list[int]) -> float:
        """Log-likelihood of `scored` after `known`, or minus its bound."""
        row = [*self.frame[0], *known, *scored, *self.frame[1]]
        first = len(self.frame[0]) + len(known)
        if self.likelihood != "bound":
            given = [l for l in range(len(row)) if not first <= l < first + len(scored)]
            found = log_likelihood(self.model, [row], rule=self.likelihood, given=[given], seed=self.seed)
            return -found.nats
        c, tokens, end = self.model.config, torch.tensor(row), first + len(scored)
        if c.causal:  # exact
            logits = self.model.engine(causal_inputs(tokens[None, :end], c.mask_id), rows=torch.arange(first, end))
            laws = log_mu(logits, self.mask_id, self.tokenizer.size).double()
            return float(laws.gather(1, tokens[first:end, None]).sum())
        generator, total = torch.Generator().manual_seed(self.seed), 0.0
        K = c.block_length or len(row)
        for begin in range(first // K * K, end, K):  # a block sees none after it
            part = tokens[: begin + K] if begin + K < end else tokens
            total += self._bound(part, max(first, begin), min(end, begin + K), generator)
        return -total

    def _bound(self, tokens: Tensor, first: int, end: int, generator: torch.Generator) -> float:
        """The bound in nats of tokens[first:end], which become known in random order, given the others.

        E over n uniform in 1..C and n masked positions of C / n times their cost; one n in each stratum.
        """
        C, draws, any_order = end - first, self.draws, self.model.config.attention == "any-order"
        shares = (torch.arange(draws) + torch.rand(draws, generator=generator)) / draws
        counts = (shares * C).long().clamp(max=C - 1) + 1
        masked = torch.zeros(draws, len(tokens), dtype=torch.bool)
        ranks = torch.full((draws, len(tokens)), -1)
        for i, n in enumerate(counts.tolist()):
            places = first + torch.randperm(C, generator=generator)
            masked[i, places[:n]] = True
            ranks[i, places] = C - 1 - torch.arange(C)  # the masked ones last
        total = 0.0
        for rows, sizes, rank in zip(*(t.split(self.batch_size) for t in (masked, counts, ranks)), strict=True):
            shown = tokens.expand(len(rows), -1)
            costs = token_losses(
                self.model.engine, shown, rows, self.mask_id, self.tokenizer.size, rank if any_order else None
            )
            sums = torch.stack([part.double().sum() for part in costs.split(sizes.tolist())])
            total += float((sums * C / sizes).sum())
        return total / draws

    def _scored(self, known: list[int], scored: list[int]) -> tuple[float, bool]:
        start = [*self.frame[0], *known, *[self.mask_id] * len(scored), *self.frame[1]]
        sampler = self.sampler if self.likelihood == "bound" else rule_sampler(self.likelihood)
        drawn = self._drawn(start, 0.0, sampler, 0)
        first = len(self.frame[0]) + len(known)
        return self._nats(known, scored), drawn[first : first + len(scored)] == scored

    def _drawn(self, start: list[int], temperature: float, sampler: Sampler, sequence: int) -> list[int]:
        """The tokens [L] of a start with its frame, masks drawn."""
        out = sample(
            self.model,
            infill=[start],
            mask_id=self.mask_id,
            seed=self.seed,
            sequence_ids=[sequence],
            sampler=sampler,
            temperature=temperature,
        )
        found: list[int] = out.tokens[0].tolist()
        return found

    def _generated(self, number: int, context: str, settings: dict[str, Any]) -> str:
        until = settings.get("until") or []
        stops: Sequence[str] = [until] if isinstance(until, str) else until
        most = int(settings.get("max_gen_toks") or MAX_TOKENS)
        temperature = float(settings.get("temperature", 1.0 if settings.get("do_sample") else 0.0))
        tokens = list(self.tokenizer.encode(context))
        drawn: list[int] = []
        while len(drawn) < most:
            size = min(self.block, most - len(drawn), self.length)
            known = [*tokens, *drawn][-(self.length - size) :] if self.length > size else []
            start = [*self.frame[0], *known, *[self.mask_id] * size, *self.frame[1]]
            row = self._drawn(start, temperature, self.sampler, number << 20 | len(drawn))
            drawn += row[len(self.frame[0]) + len(known) :][:size]
            text = self.tokenizer.decode(drawn)
            ends = [text.index(stop) for stop in stops if stop and stop in text]
            if ends:
                return text[: min(ends)]
        return str(self.tokenizer.decode(drawn))


def harness_model(model: Any = None, **options: Any) -> Any:
    """A model as an `lm_eval.api.model.LM`, for `lm_eval.simple_evaluate(model=..., tasks=...)`.

    Args:
        model, options: as of `Harness`.

    Raises:
        ValueError: `lm_eval` is missing.
    """
    try:
        from lm_eval.api.model import LM
    except ImportError:
        raise ValueError("harness: this needs lm_eval: pip install lm_eval") from None
    adapter = Harness(model, **options)

    class HarnessModel(LM):  # type: ignore[misc]
        """`Harness` for requests of lm_eval."""

        def loglikelihood(self, requests: Any) -> list[tuple[float, bool]]:
            return adapter.loglikelihood(request.args for request in requests)

        def loglikelihood_rolling(self, requests: Any) -> list[float]:
            return adapter.loglikelihood_rolling(request.args[0] for request in requests)

        def generate_until(self, requests: Any) -> list[str]:
            return adapter.generate_until(request.args for request in requests)

    return HarnessModel()
