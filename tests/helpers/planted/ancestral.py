"""Faults of the ancestral sampler, both forms."""

from __future__ import annotations

import numpy as np

from pymdm.prove.batch_reference import BatchReference
from pymdm.prove.faults import fault
from pymdm.reference import philox
from pymdm.reference.ancestral import literal_logits
from pymdm.reference.choose import filtered
from pymdm.reference.gumbel import gumbel
from pymdm.reference.schedule import grid


@fault("overlapping noise of positions", "position l reads indices l, l + 1, ...", "ancestral, five symbols")
class Overlap(BatchReference):
    def base(self, positions, classes):
        return positions


@fault("noise shared by positions", "every position reads indices 0, 1, ...", "ancestral")
class PositionsShare(BatchReference):
    def base(self, positions, classes):
        return positions * 0


@fault("move probability not divided", "m_t - m_s in place of (m_t - m_s) / m_t", "ancestral")
class NotDivided(BatchReference):
    def move_probability(self, before, after):
        return before - after


@fault("grid one step late", "each step moves as the one before it", "ancestral")
class GridLate(BatchReference):
    def levels(self, schedule, steps):
        m = super().levels(schedule, steps)
        return np.concatenate([m[:1], m[:-2], m[-1:]])


@fault("schedule ignored", "linear levels whatever the schedule", "ancestral, cosine")
class ScheduleIgnored(BatchReference):
    def levels(self, schedule, steps):
        return grid(steps)


@fault("grid ends at 1e-5", "masks are left with probability L * 1e-5", "ancestral")
class EndsEarly(BatchReference):
    def levels(self, schedule, steps):
        return np.asarray(schedule.masked(grid(steps, end=1e-5)))


@fault("grid ends at 0.02, then arg-max", "masks left by a grid that ends early are filled greedily", "ancestral")
class GreedyFill(BatchReference):
    def levels(self, schedule, steps):
        return np.asarray(schedule.masked(grid(steps, end=0.02)))

    def finish(self, model, tokens, seed):
        rows, positions = np.nonzero(tokens == model.mask_id)
        filled = np.argmax(model.rows(tokens[rows], positions)[:, : model.mask_id], axis=1)
        tokens[rows, positions] = filled
        return tokens


@fault("move noise reused across steps", "a position keeps its u in every step", "ancestral")
class MoveReused(BatchReference):
    def address(self, seed, sequence, event, purpose, index):
        return seed, sequence, 0 if purpose == philox.MOVE else event, purpose, index


@fault("positions move together", "one u decides for the whole sequence", "ancestral")
class MoveTogether(BatchReference):
    def moves(self, step, rows, positions):
        return super().moves(step, rows, positions * 0)


@fault(
    "unmasked tokens drawn again", "carry-over is broken: the network's word on known positions is taken", "ancestral"
)
class CarryOverBroken(BatchReference):
    def movable(self, step):
        return ~step.given


@fault("given tokens may move", "the prompt is overwritten", "ancestral, given tokens")
class PromptMoves(BatchReference):
    def movable(self, step):
        return np.ones_like(step.masked)


@fault("mask weight of the wrong time", "literal form with m_t on the mask in place of m_s", "literal")
class MaskWeight(BatchReference):
    def literal_scores(self, step, logits):
        scores = super().literal_scores(step, logits)
        scores[:, -1] = 0.0
        return scores


@fault("literal noise reused across steps", "the event does not enter the address", "literal")
class LiteralReused(BatchReference):
    def address(self, seed, sequence, event, purpose, index):
        return seed, sequence, 0 if purpose == philox.LITERAL else event, purpose, index


@fault("float32 noise in the literal form", "noise capped at 16.6: rare classes start late", "literal precision")
class LiteralFloat32(BatchReference):
    def gumbel_of(self, bits):
        return gumbel(bits, "float32")


@fault(
    "temperature on the mask too", "the literal form divides the mask's weight by T as well", "literal, temperature 0.6"
)
class TemperatureOnMask(BatchReference):
    def literal_scores(self, step, logits):
        return filtered(literal_logits(logits, step.move), step.temperature)


@fault("stale logits on a grid", "logits from the tokens of the previous step", "ancestral")
class StaleGrid(BatchReference):
    def ancestral_chunk(self, *args):
        self.previous = args[2].copy()
        return super().ancestral_chunk(*args)

    def movable(self, step):
        step.seen, self.previous = self.previous, step.tokens.copy()
        return step.masked
