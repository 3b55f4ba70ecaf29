"""Remasking and lookahead of the reference over many sequences, in small methods that a planted fault can replace."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pymdm.prove.batch_stream import BatchStream, Bits, Floats, Ints
from pymdm.prove.implementation import Batch
from pymdm.reference import philox
from pymdm.reference.ancestral import stride
from pymdm.reference.lookahead import Lookahead
from pymdm.reference.remask import leave, strategy_grid


class BatchRemask(BatchStream):
    """`remask` and `ahead` of `Implementation`; a base of `BatchReference`."""

    def chunked(self, run: Any, model: Any, num_samples: int, sequences: Any, prompt: Any) -> Batch:
        raise NotImplementedError

    def leaves(self, m: float, s: float, sigma: float, confident: bool) -> float:
        """Probability that a mask leaves."""
        return leave(1 - m, 1 - s, 0.0 if confident else sigma)

    def shares(self, sure: Floats, drawn: Any) -> Floats:
        """[M, L] share of each drawn token of what its sequence masks again."""
        weight = np.where(drawn, np.exp(-sure), 0.0)
        return weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)

    def may_return(self, free: Any, tokens: Ints, mask_id: int) -> Any:
        """[M, L] bool: drawn tokens, which may be masked again."""
        return free & (tokens != mask_id)

    def remask(
        self,
        model: Any,
        num_samples: int,
        seed: int,
        *,
        steps: int,
        strategy: str,
        eta: float,
        sequences: ArrayLike | None = None,
        prompt: ArrayLike | None = None,
        temperature: float = 1.0,
        **shape: float,
    ) -> Batch:
        levels, sigma = strategy_grid(strategy, steps, eta, **shape)  # type: ignore[arg-type]

        def run(ids: Bits, tokens: Ints) -> Batch:
            tokens = self.remask_chunk(model, ids, tokens, seed, levels, sigma, strategy == "conf", temperature)
            return Batch(tokens, np.empty((len(ids), 0)), np.empty((len(ids), 0), dtype=np.int64))

        return self.chunked(run, model, num_samples, sequences, prompt)

    kind: type[Lookahead] = Lookahead

    def ahead(
        self, model: Any, num_samples: int, seed: int, window: int, *, sequences: ArrayLike | None = None
    ) -> tuple[Batch, Ints]:
        """With lookahead, one sequence after the other."""
        ids = np.arange(num_samples) if sequences is None else np.asarray(sequences)
        options = dict(mask_id=model.mask_id, seed=seed, window=window)
        found = [self.kind(model, model.length, sequence=int(i), **options).run() for i in ids]  # type: ignore[arg-type]
        tokens, order = (np.stack([getattr(one, part) for one in found]) for part in ("tokens", "order"))
        return Batch(tokens, np.empty((len(ids), 0)), order), np.array([one.rounds for one in found])

    def remask_chunk(
        self,
        model: Any,
        ids: Bits,
        tokens: Ints,
        seed: int,
        levels: Floats,
        sigma: Floats,
        confident: bool,
        temperature: float,
    ) -> Ints:
        mask, free, sure = model.mask_id, tokens == model.mask_id, np.zeros(tokens.shape)
        for event in range(len(sigma)):
            drawn = self.may_return(free, tokens, mask)
            chance = sigma[event] * (self.shares(sure, drawn) if confident else np.ones(tokens.shape))
            back = np.nonzero(drawn)
            again = self.uniforms(seed, ids[back[0]], event, philox.REMASK, back[1]) < chance[back]
            rows, positions = np.nonzero(tokens == mask)
            move = self.leaves(float(levels[event]), float(levels[event + 1]), float(sigma[event]), confident)
            moved = self.uniforms(seed, ids[rows], event, philox.MOVE, positions) < move
            rows, positions = rows[moved], positions[moved]
            logits = model.rows(tokens[rows], positions)[:, :mask]
            base = positions * stride(mask)
            token = self.choose(logits, seed, ids[rows], event, base=base, temperature=temperature)
            tokens[rows, positions] = token
            sure[rows, positions] = self.probabilities(logits, temperature)[np.arange(len(rows)), token]
            tokens[back[0][again], back[1][again]] = mask
        return tokens
