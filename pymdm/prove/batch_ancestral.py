"""Ancestral sampling of the reference over many sequences, in small methods that a planted fault can replace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymdm.prove.batch_stream import BatchStream, Bits, Floats, Ints
from pymdm.prove.implementation import Batch
from pymdm.reference import philox
from pymdm.reference.ancestral import literal_logits, stride
from pymdm.reference.schedule import SCHEDULES, grid


@dataclass
class Step:
    """What the step of a sampler sees, for M sequences that still have masks.

    Attributes:
        tokens: [M, L] before the step; seen: [M, L] what the network was last shown; given: [M, L] bool, prompt.
        sequence: [M] ids; n: [M] masks left; start: [M] masks at the start; level: [M] m = 1 - alpha so far.
        time: [M] time shown to the network, or None; move: probability of moving (ancestral).
        filters: banned, top_k, top_p of the draw.
    """

    model: Any
    seed: int
    event: int
    temperature: float
    tokens: Ints
    seen: Ints
    given: NDArray[np.bool_]
    sequence: Bits
    n: Ints
    start: Ints
    level: Floats
    time: Floats | None = None
    move: float = 0.0
    filters: dict[str, Any] = field(default_factory=dict)

    @property
    def masked(self) -> NDArray[np.bool_]:
        return self.tokens == self.model.mask_id


class BatchAncestral(BatchStream):
    """`ancestral` of `Implementation`; a base of `BatchReference`."""

    def chunked(self, run: Any, model: Any, num_samples: int, sequences: Any, prompt: Any) -> Batch:
        raise NotImplementedError

    def logits(self, step: Step, rows: Ints, positions: Ints) -> Floats:
        raise NotImplementedError

    def levels(self, schedule: Any, steps: int) -> Floats:
        """m = 1 - alpha on the even grid of times, [steps + 1]."""
        return np.asarray(schedule.masked(grid(steps)))

    def move_probability(self, before: float, after: float) -> float:
        return (before - after) / before

    def movable(self, step: Step) -> NDArray[np.bool_]:
        """[M, L] bool: which positions the step may change."""
        return step.masked

    def moves(self, step: Step, rows: Ints, positions: Ints) -> NDArray[np.bool_]:
        """Which of the masked (row, position) pairs move in this step."""
        return self.uniforms(step.seed, step.sequence[rows], step.event, philox.MOVE, positions) < step.move

    def base(self, positions: Ints, classes: int) -> Ints:
        """First noise index of each position."""
        return positions * stride(classes)

    def literal_scores(self, step: Step, logits: Floats) -> Floats:
        """[M', V + 1] log-weights of the literal form, mask last."""
        return literal_logits(logits, step.move, step.temperature)

    def ancestral(
        self,
        model: Any,
        num_samples: int,
        seed: int,
        *,
        steps: int = 4,
        form: str = "choose-then-sample",
        noise: str = "exact",
        sequences: ArrayLike | None = None,
        prompt: ArrayLike | None = None,
        temperature: float = 1.0,
        schedule: str = "linear",
        time_conditioned: bool = False,
    ) -> Batch:
        def run(ids: Bits, start: Ints) -> Batch:
            return self.ancestral_chunk(
                model, ids, start, seed, steps, form, noise, temperature, SCHEDULES[schedule](), time_conditioned
            )

        return self.chunked(run, model, num_samples, sequences, prompt)

    def ancestral_chunk(
        self,
        model: Any,
        ids: Bits,
        tokens: Ints,
        seed: int,
        steps: int,
        form: str,
        noise: str,
        temperature: float,
        schedule: Any,
        timed: bool,
    ) -> Batch:
        given, start = tokens != model.mask_id, (tokens == model.mask_id).sum(axis=1)
        m, t = self.levels(schedule, steps), grid(steps)
        for event in range(steps):
            level = np.full(len(ids), m[event])
            time = np.full(len(ids), t[event]) if timed else None
            n = (tokens == model.mask_id).sum(axis=1)
            step = Step(model, seed, event, temperature, tokens, tokens, given, ids, n, start, level, time)
            step.move = self.move_probability(float(m[event]), float(m[event + 1]))
            rows, positions = np.nonzero(self.movable(step))
            if form == "literal":
                scores = self.literal_scores(step, self.logits(step, rows, positions))
                base = self.base(positions, model.mask_id + 1)
                token = self.choose(
                    scores, seed, ids[rows], event, base=base, purpose=philox.LITERAL, noise=noise
                )  # fmt: skip
                moved = token < model.mask_id
                rows, positions, token = rows[moved], positions[moved], token[moved]
            else:
                moved = self.moves(step, rows, positions)
                rows, positions = rows[moved], positions[moved]
                base = self.base(positions, model.mask_id)
                logits = self.logits(step, rows, positions)
                token = self.choose(logits, seed, ids[rows], event, base=base, temperature=temperature)
            tokens[rows, positions] = token
        return Batch(self.finish(model, tokens, seed), np.empty((len(ids), 0)), np.empty((len(ids), 0), dtype=np.int64))

    def finish(self, model: Any, tokens: Ints, seed: int) -> Ints:
        """What is done to masks that the grid left; nothing."""
        return tokens
