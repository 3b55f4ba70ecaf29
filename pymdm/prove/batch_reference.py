"""The float64 reference over many sequences at once, in small methods that a planted fault can replace one at a time.

Same addresses, same laws and (up to the last bit of a logarithm) same samples as `pymdm.reference`, which it is tested
against; vectorised over sequences so that a million samples of a small model take seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymdm.prove.implementation import Batch
from pymdm.reference import philox
from pymdm.reference.ancestral import literal_logits, stride
from pymdm.reference.choose import filtered
from pymdm.reference.gumbel import gumbel
from pymdm.reference.schedule import SCHEDULES, grid
from pymdm.reference.uniform import exponential, log_uniform, uniform

CHUNK = 1 << 14  # sequences at a time: the working set stays in the cache

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bits = NDArray[np.uint64]


@dataclass
class Step:
    """What the step of a sampler sees, for M sequences that still have masks.

    Attributes:
        tokens: [M, L] before the step; seen: [M, L] what the network was last shown; given: [M, L] bool, prompt.
        sequence: [M] ids; n: [M] masks left; start: [M] masks at the start; level: [M] m = 1 - alpha so far.
        time: [M] time shown to the network, or None; move: probability of moving (ancestral).
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

    @property
    def masked(self) -> NDArray[np.bool_]:
        return self.tokens == self.model.mask_id


class BatchReference:
    """The reference implementation; see `Implementation` for what the public methods mean."""

    name = "reference"

    # --- random stream -----------------------------------------------------------------------------------------------
    def address(self, seed: int, sequence: Any, event: Any, purpose: int, index: Any) -> tuple[int, Any, Any, int, Any]:
        """Where a draw is read; the identity unless a fault mislays it."""
        return seed, sequence, event, purpose, index

    def block(self, seed: int, sequence: Any, event: Any, word_purpose: int, index4: Any) -> tuple[Bits, ...]:
        """Four words of a counter block."""
        return philox.block(seed, sequence, event, word_purpose, index4)

    def bits(self, seed: int, sequence: ArrayLike, event: ArrayLike, purpose: int, index: ArrayLike) -> Bits:
        seed, sequence, event, purpose, index = self.address(seed, sequence, event, purpose, index)
        index = np.asarray(index, dtype=np.uint64)
        words = [self.block(seed, sequence, event, 2 * purpose + half, index >> np.uint64(2)) for half in (0, 1)]
        which = (index & np.uint64(3)).astype(np.int64)
        high, low = (np.choose(which, np.broadcast_arrays(*w)) for w in words)
        return (high << np.uint64(32)) | low

    def bits_row(self, seed: int, sequence: Any, event: Any, purpose: int, base: Any, count: int) -> Bits:
        """Draws base..base + count - 1 of each row, [M, count]; whole counter blocks at once where bases allow it."""
        sequence, event, base = np.broadcast_arrays(*(np.asarray(a, dtype=np.uint64) for a in (sequence, event, base)))
        if np.any(base & np.uint64(3)):
            index = base[:, None] + np.arange(count, dtype=np.uint64)
            return self.bits(seed, sequence[:, None], event[:, None], purpose, index)
        seed, sequence, event, purpose, base = self.address(seed, sequence, event, purpose, base)
        sequence, event, base = (np.broadcast_to(a, base.shape)[:, None] for a in (sequence, event, base))
        index4 = (base >> np.uint64(2)) + np.arange((count + 3) // 4, dtype=np.uint64)
        high, low = (
            np.stack(self.block(seed, sequence, event, 2 * purpose + half, index4), axis=-1) for half in (0, 1)
        )
        return ((high << np.uint64(32)) | low).reshape(len(base), 4 * index4.shape[1])[:, :count]

    def uniform_of(self, bits: ArrayLike) -> Floats:
        return uniform(bits)

    def uniforms(self, seed: int, sequence: ArrayLike, event: ArrayLike, purpose: int, index: ArrayLike) -> Floats:
        return self.uniform_of(self.bits(seed, sequence, event, purpose, index))

    def exponential_of(self, bits: ArrayLike) -> Floats:
        return exponential(bits)

    def gumbel_of(self, bits: ArrayLike) -> Floats:
        with np.errstate(divide="ignore"):  # a fault may let an exponential be 0
            return -np.log(self.exponential_of(bits))

    # --- choice ------------------------------------------------------------------------------------------------------
    def scores(self, logits: Any, temperature: float, **filters: Any) -> Floats:
        """What the noise is added to: logits / temperature, -inf where a class may not be chosen."""
        return filtered(logits, temperature, **filters)

    def noise(self, seed: int, sequence: Any, event: Any, purpose: int, base: Any, count: int, kind: str) -> Floats:
        bits = self.bits_row(seed, sequence, event, purpose, base, count)
        return self.gumbel_of(bits) if kind == "exact" else gumbel(bits, kind)

    def arg_max(self, scores: Floats) -> Ints:
        return np.argmax(scores, axis=1)

    def choose(
        self,
        logits: ArrayLike,
        seed: int,
        sequence: ArrayLike = 0,
        event: ArrayLike = 0,
        *,
        base: ArrayLike = 0,
        temperature: float = 1.0,
        purpose: int = philox.TOKEN,
        noise: str = "exact",
        **filters: Any,
    ) -> Ints:
        scores = self.scores(logits, temperature, **filters)
        if temperature > 0:
            rows, classes = scores.shape
            wide = (np.broadcast_to(np.asarray(a, np.uint64), (rows,)) for a in (sequence, event, base))
            sequence, event, base = wide
            scores = scores + self.noise(seed, sequence, event, purpose, base, classes, noise)
        return self.arg_max(scores)

    def choose_noise(self, logits: ArrayLike, seed: int, sequence: ArrayLike, event: ArrayLike, kind: str) -> Ints:
        """A literal draw with a kind of noise (see `pymdm.reference.gumbel`)."""
        return self.choose(logits, seed, sequence, event, purpose=philox.LITERAL, noise=kind)

    # --- the network -------------------------------------------------------------------------------------------------
    def logits(self, step: Step, rows: Ints, positions: Ints) -> Floats:
        """[M', V] logits of position positions[i] of sequence rows[i] in what the network was shown."""
        time = None if step.time is None else step.time[rows]
        return step.model.rows(step.seen[rows], positions, time)[:, : step.model.mask_id]

    # --- first-hitting -----------------------------------------------------------------------------------------------
    def next_level(self, step: Step) -> Floats:
        """m <- m * u^(1/n)."""
        bits = self.bits(step.seed, step.sequence, step.event, philox.HITTING, 0)
        return step.level * np.exp(log_uniform(bits) / step.n)

    def rank(self, seed: int, sequence: Bits, event: int, n: Ints) -> Ints:
        """Unbiased integers in [0, n): multiply-shift on 64 bits, redrawn at the next index where rejected."""
        size = n.astype(np.uint64)
        rank = np.zeros(len(size), dtype=np.int64)
        todo = np.arange(len(size))
        for index in range(64):
            r, s = self.bits(seed, sequence[todo], event, philox.POSITION, index), size[todo]
            upper, lower = (r >> np.uint64(32)) * s, (r & np.uint64(0xFFFFFFFF)) * s
            middle = upper + (lower >> np.uint64(32))  # floor(r s / 2^32): no overflow for n < 2^31
            rank[todo] = (middle >> np.uint64(32)).astype(np.int64)
            rejected = (r * s) < (np.uint64(0) - s) % s  # products mod 2^64
            todo = todo[rejected]
            if todo.size == 0:
                return rank
        raise RuntimeError("rank: 64 rejections in a row")

    def candidates(self, step: Step) -> NDArray[np.bool_]:
        """[M, L] bool: where the next token may go."""
        return step.masked

    def positions(self, step: Step) -> Ints:
        """[M] positions: the rank-th candidate from the left."""
        candidates = self.candidates(step)
        rank = self.rank(step.seed, step.sequence, step.event, candidates.sum(axis=1))
        return np.argmax(np.cumsum(candidates, axis=1) > rank[:, None], axis=1)

    def token(self, step: Step, positions: Ints, logits: Floats) -> Ints:
        return self.choose(logits, step.seed, step.sequence, step.event, temperature=step.temperature)

    def hitting_time(self, schedule: Any, level: Floats) -> Floats:
        return schedule.time(level)

    def network_time(self, step: Step, time: Floats, previous: Floats) -> Floats:
        """The time a conditioned network is given: that of the event it decides."""
        return time

    def first_hitting(
        self,
        model: Any,
        num_samples: int,
        seed: int,
        *,
        sequences: ArrayLike | None = None,
        prompt: ArrayLike | None = None,
        temperature: float = 1.0,
        tokens_per_call: int = 1,
        schedule: str = "linear",
        time_conditioned: bool = False,
    ) -> Batch:
        def run(ids: Bits, start: Ints) -> Batch:
            return self.first_hitting_chunk(
                model, ids, start, seed, temperature, tokens_per_call, SCHEDULES[schedule](), time_conditioned
            )

        return self.chunked(run, model, num_samples, sequences, prompt)

    def chunked(self, run: Any, model: Any, num_samples: int, sequences: Any, prompt: Any) -> Batch:
        """Splits the work in chunks of sequences and joins the results."""
        ids = np.arange(num_samples, dtype=np.uint64) if sequences is None else np.asarray(sequences, dtype=np.uint64)
        start = np.full(model.length, model.mask_id) if prompt is None else np.asarray(prompt, dtype=np.int64)
        start = np.broadcast_to(start, (num_samples, model.length))
        parts = [run(ids[i : i + CHUNK], start[i : i + CHUNK].copy()) for i in range(0, num_samples, CHUNK)]
        return Batch(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("tokens", "times", "order")))

    def first_hitting_chunk(
        self, model: Any, ids: Bits, tokens: Ints, seed: int, temperature: float, k: int, schedule: Any, timed: bool
    ) -> Batch:
        given = tokens != model.mask_id
        start = (~given).sum(axis=1)
        events = int(start.max(initial=0))
        times = np.full((len(ids), events), np.nan)
        order = np.full((len(ids), events), -1)
        level, seen = np.ones(len(ids)), tokens.copy()
        shown = np.ones(len(ids))  # time the network was last given
        for event in range(events):
            live = np.flatnonzero(start > event)
            step = Step(
                model, seed, event, temperature, tokens[live], seen[live], given[live], ids[live],
                start[live] - event, start[live], level[live], shown[live] if timed else None,
            )  # fmt: skip
            previous = self.hitting_time(schedule, step.level)
            level[live] = self.next_level(step)
            times[live, event] = self.hitting_time(schedule, level[live])
            if event % k == 0:
                seen[live] = self.shown(step)
                shown[live] = self.network_time(step, times[live, event], previous)
                step.seen, step.time = seen[live], shown[live] if timed else None
            position = self.positions(step)
            rows = np.arange(len(live))
            tokens[live, position] = self.token(step, position, self.logits(step, rows, position))
            order[live, event] = position
        return Batch(tokens, times, order)

    def shown(self, step: Step) -> Ints:
        """[M, L] what a new network call is shown: the tokens as they are."""
        return step.tokens

    # --- ancestral ---------------------------------------------------------------------------------------------------
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
