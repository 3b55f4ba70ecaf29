"""The float64 reference over many sequences at once, in small methods that a planted fault can replace one at a time.

Same addresses, same laws and (up to the last bit of a logarithm) same samples as `pymdm.reference`, which it is tested
against; vectorised over sequences so that a million samples of a small model take seconds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymdm.prove.batch_ancestral import BatchAncestral, Step
from pymdm.prove.batch_remask import BatchRemask
from pymdm.prove.batch_stream import Bits, Floats, Ints
from pymdm.prove.implementation import Batch
from pymdm.reference import philox
from pymdm.reference.laws import Counts, call_sizes
from pymdm.reference.schedule import SCHEDULES
from pymdm.reference.second_order import extrapolate, line_coefficient
from pymdm.reference.uniform import log_uniform

CHUNK = 1 << 14  # sequences at a time: the working set stays in the cache


def without_mask(logits: Floats, mask_id: int) -> Floats:
    """Logits [M, V'] that never draw the mask, whatever its column says."""
    if mask_id >= logits.shape[1] - 1:
        return logits[:, :mask_id]
    return np.where(np.arange(logits.shape[1]) == mask_id, -np.inf, logits)


class BatchReference(BatchAncestral, BatchRemask):
    """The reference implementation; see `Implementation` for what the public methods mean."""

    name = "reference"

    # --- the network -------------------------------------------------------------------------------------------------
    def logits(self, step: Step, rows: Ints, positions: Ints) -> Floats:
        """[M', V] logits of position positions[i] of sequence rows[i] in what the network was shown."""
        time = None if step.time is None else step.time[rows]
        return without_mask(step.model.rows(step.seen[rows], positions, time), step.model.mask_id)

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
        return self.choose(logits, step.seed, step.sequence, step.event, temperature=step.temperature, **step.filters)

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
        tokens_per_call: Counts = 1,
        order: int = 1,
        schedule: str = "linear",
        time_conditioned: bool = False,
        **filters: Any,
    ) -> Batch:
        k = tokens_per_call

        def run(ids: Bits, start: Ints) -> Batch:
            return self.first_hitting_chunk(
                model, ids, start, seed, temperature, k, SCHEDULES[schedule](), time_conditioned, order, filters
            )

        return self.chunked(run, model, num_samples, sequences, prompt)

    def chunked(self, run: Any, model: Any, num_samples: int, sequences: Any, prompt: Any) -> Batch:
        """Splits the work in chunks of sequences and joins the results."""
        ids = np.arange(num_samples, dtype=np.uint64) if sequences is None else np.asarray(sequences, dtype=np.uint64)
        start = np.full(model.length, model.mask_id) if prompt is None else np.asarray(prompt, dtype=np.int64)
        start = np.broadcast_to(start, (num_samples, model.length))
        parts = [run(ids[i : i + CHUNK], start[i : i + CHUNK].copy()) for i in range(0, num_samples, CHUNK)]
        return Batch(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("tokens", "times", "order")))

    def distribution(self, step: Step, logits: Floats) -> Floats:
        """[M, V] what is drawn from in a step."""
        return self.probabilities(logits, step.temperature, **step.filters)

    def coefficient(self, step: Step, ends: tuple[Floats, Floats], counts: Counts, time: Floats) -> Floats:
        """[M, 1] of the line through the outputs of this call and the one before, made at times `ends`, for tokens hit at
        `time` [M].
        """
        return np.array([[line_coefficient(call_sizes(counts, int(n)))] for n in step.start])

    def line(self, step: Step, older: Step, positions: Ints, logits: Floats, c: Floats) -> tuple[Step, Floats]:
        """The step and logits that a token is drawn from when its law is extrapolated."""
        before = self.distribution(older, self.logits(older, np.arange(len(positions)), positions))
        with np.errstate(divide="ignore"):
            logits = np.log(extrapolate(self.distribution(step, logits), before, c))
        return replace(step, temperature=1.0, filters={}), logits

    def first_hitting_chunk(
        self,
        model: Any,
        ids: Bits,
        tokens: Ints,
        seed: int,
        temperature: float,
        k: Counts,
        schedule: Any,
        timed: bool,
        line: int,
        filters: dict[str, Any],
    ) -> Batch:
        given = tokens != model.mask_id
        start = (~given).sum(axis=1)
        events = int(start.max(initial=0))
        times = np.full((len(ids), events), np.nan)
        order = np.full((len(ids), events), -1)
        level, seen, seen_before = np.ones(len(ids)), tokens.copy(), tokens.copy()
        shown, shown_before = np.ones(len(ids)), np.ones(len(ids))  # time the network was last given
        calls = np.cumsum([0, *call_sizes(k, events)])  # the events that begin a call
        for event in range(events):
            live = np.flatnonzero(start > event)
            step = Step(
                model, seed, event, temperature, tokens[live], seen[live], given[live], ids[live],
                start[live] - event, start[live], level[live], shown[live] if timed else None, filters=filters,
            )  # fmt: skip
            previous = self.hitting_time(schedule, step.level)
            level[live] = self.next_level(step)
            times[live, event] = self.hitting_time(schedule, level[live])
            if event in calls:
                seen_before, shown_before = seen.copy(), shown.copy()
                seen[live] = self.shown(step)
                shown[live] = self.network_time(step, times[live, event], previous)
                step.seen, step.time = seen[live], shown[live] if timed else None
            position = self.positions(step)
            rows = np.arange(len(live))
            logits = self.logits(step, rows, position)
            if line == 2 and event >= calls[1]:
                older = replace(step, seen=seen_before[live], time=shown_before[live] if timed else None)
                c = self.coefficient(step, (shown[live], shown_before[live]), k, times[live, event])
                step, logits = self.line(step, older, position, logits, c)
            tokens[live, position] = self.token(step, position, logits)
            order[live, event] = position
        return Batch(tokens, times, order)

    def shown(self, step: Step) -> Ints:
        """[M, L] what a new network call is shown: the tokens as they are."""
        return step.tokens
