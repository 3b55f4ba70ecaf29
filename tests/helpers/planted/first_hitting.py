"""Faults of the first-hitting sampler: times, positions, tokens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pymdm.prove.batch_reference import BatchReference
from pymdm.prove.faults import fault
from pymdm.reference import philox
from pymdm.reference.uniform import log_uniform

U64 = np.uint64


class _Level(BatchReference):
    """Base of the faults in m <- m u^(1/n): `exponent` of u, and the level it multiplies."""

    def exponent(self, step):
        return 1.0 / step.n

    def before(self, step):
        return step.level

    def next_level(self, step):
        bits = self.bits(step.seed, step.sequence, step.event, philox.HITTING, 0)
        return self.before(step) * np.exp(log_uniform(bits) * self.exponent(step))


@fault("exponent 1/(n+1)", "m <- m u^(1/(n+1)): the masks left after the event, plus two", "times")
class ExponentPlus(_Level):
    def exponent(self, step):
        return 1.0 / (step.n + 1)


@fault("exponent n", "m <- m u^n", "times")
class ExponentN(_Level):
    def exponent(self, step):
        return step.n.astype(np.float64)


@fault("exponent 1/L throughout", "n is not counted down", "times")
class ExponentStart(_Level):
    def exponent(self, step):
        return 1.0 / step.start


@fault("given tokens counted as masks", "n = L - event although some tokens were given", "times, given tokens")
class ExponentGiven(_Level):
    def exponent(self, step):
        return 1.0 / (step.n + step.given.sum(axis=1))


@fault("times not accumulated", "every event starts again at m = 1", "times")
class NotAccumulated(_Level):
    def before(self, step):
        return np.ones_like(step.level)


@fault("hitting noise reused", "all events of a sequence share one u", "times")
class HittingReused(BatchReference):
    def address(self, seed, sequence, event, purpose, index):
        return seed, sequence, 0 if purpose == philox.HITTING else event, purpose, index


@fault("hitting times shared by rows", "the time of sequence 0 for the whole batch", "rows independent")
class HittingShared(BatchReference):
    def address(self, seed, sequence, event, purpose, index):
        sequence = np.asarray(sequence, U64)
        return seed, sequence * U64(purpose != philox.HITTING), event, purpose, index


@fault("schedule forgotten", "m is reported as the time whatever the schedule", "times, cosine")
class ScheduleForgotten(BatchReference):
    def hitting_time(self, schedule, level):
        return level


@fault("network told the previous time", "a conditioned network sees tau_n, not tau_{n-1}", "tokens, time-conditioned")
class PreviousTime(BatchReference):
    def network_time(self, step, time, previous):
        return previous


@fault("last mask never chosen", "rank drawn from 0..n-2", "order")
class RankShort(BatchReference):
    def rank(self, seed, sequence, event, n):
        return super().rank(seed, sequence, event, np.maximum(n - 1, 1))


@fault("leftmost first", "no position is drawn", "order")
class Leftmost(BatchReference):
    def rank(self, seed, sequence, event, n):
        return np.zeros(len(n), dtype=np.int64)


@fault("modulo bias", "rank = 6 random bits mod n", "order")
class Modulo(BatchReference):
    def rank(self, seed, sequence, event, n):
        r = self.bits(seed, sequence, event, philox.POSITION, 0)
        return ((r >> U64(58)) % n.astype(np.uint64)).astype(np.int64)


@fault("rounded rank", "rank = round(u (n - 1)): the ends get half their share", "order")
class RoundedRank(BatchReference):
    def rank(self, seed, sequence, event, n):
        u = self.uniforms(seed, sequence, event, philox.POSITION, 0)
        return np.rint(u * (n - 1)).astype(np.int64)


@fault("next masked to the right", "any position is drawn, then moved on to a masked one", "order")
class NextMasked(BatchReference):
    def positions(self, step):
        length = step.tokens.shape[1]
        draw = self.rank(step.seed, step.sequence, step.event, np.full(len(step.n), length))
        ahead = (draw[:, None] + np.arange(length)) % length  # [M, L] positions from the drawn one on, cyclically
        first = np.argmax(np.take_along_axis(step.masked, ahead, axis=1), axis=1)
        return ahead[np.arange(len(draw)), first]


@fault("position noise reused", "the rank of event 0 decides every event", "order")
class PositionReused(BatchReference):
    def address(self, seed, sequence, event, purpose, index):
        return seed, sequence, 0 if purpose == philox.POSITION else event, purpose, index


@fault("most confident first", "the position whose network output is most certain", "order")
class MostConfident(BatchReference):
    def positions(self, step):
        m, length = step.tokens.shape
        rows, columns = np.divmod(np.arange(m * length), length)
        best = self.logits(step, rows, columns).max(axis=1).reshape(m, length)
        return np.argmax(np.where(step.masked, best, -np.inf), axis=1)


@fault("given tokens drawn again", "positions are drawn among masked and given ones", "tokens, given ones")
class GivenDrawn(BatchReference):
    def candidates(self, step):
        return step.masked | step.given


@fault("order reported by position", "the order of unmasking comes back sorted", "order")
class SortedOrder(BatchReference):
    def first_hitting(self, *args, **kwargs):
        batch = super().first_hitting(*args, **kwargs)
        batch.order = np.sort(batch.order, axis=1)
        return batch


@fault("position and token share a purpose", "the rank is drawn from the token's noise", "path")
class SharedPurpose(BatchReference):
    def address(self, seed, sequence, event, purpose, index):
        return seed, sequence, event, philox.TOKEN if purpose == philox.POSITION else purpose, index


@fault("mask leaks into the tokens", "the mask has a logit of -4 and can be drawn", "tokens, inconsistent")
class MaskLeaks(BatchReference):
    def logits(self, step, rows, positions):
        logits = super().logits(step, rows, positions)
        return np.concatenate([logits, np.full_like(logits[:, :1], -4.0)], axis=1)


@fault("greedy last step", "the last token is the arg-max", "tokens, inconsistent")
class GreedyLast(BatchReference):
    def token(self, step, positions, logits):
        drawn = super().token(step, positions, logits)
        return np.where(step.n == 1, np.argmax(logits, axis=1), drawn)


@fault("noise shared by all rows", "the sequence id does not enter the token's address", "rows independent")
class NoiseShared(BatchReference):
    def address(self, seed, sequence, event, purpose, index):
        return seed, np.asarray(sequence, U64) * U64(purpose != philox.TOKEN), event, purpose, index


@fault("noise shared by neighbours", "sequence div 2 is used", "rows independent")
class NoisePaired(BatchReference):
    def address(self, seed, sequence, event, purpose, index):
        return seed, np.asarray(sequence, U64) >> U64(1), event, purpose, index


@fault("noise reused across steps", "the event does not enter the token's address", "tokens, inconsistent")
class NoiseReused(BatchReference):
    def address(self, seed, sequence, event, purpose, index):
        return seed, sequence, 0 if purpose == philox.TOKEN else event, purpose, index


@fault("event off by one, clamped", "events 0 and 1 share their token noise", "tokens, inconsistent")
class EventClamped(BatchReference):
    def token(self, step, positions, logits):
        event = max(step.event - 1, 0)
        return self.choose(logits, step.seed, step.sequence, event, temperature=step.temperature)


@fault("event off by one", "events are counted from 1: the same law at other addresses", "agreement")
class EventShifted(BatchReference):
    def address(self, seed, sequence, event, purpose, index):
        return seed, sequence, np.asarray(event, U64) + U64(1), purpose, index


@fault("stale logits", "the network output of the previous event is used", "tokens, inconsistent")
class Stale(BatchReference):
    def first_hitting_chunk(self, *args):
        self.previous = args[2].copy()
        return super().first_hitting_chunk(*args)

    def shown(self, step):
        stale, self.previous = self.previous, step.tokens.copy()
        return stale if stale.shape == step.tokens.shape else step.tokens


@fault("logits of the neighbour", "the row of position l - 1 decides position l", "tokens, inconsistent")
class Neighbour(BatchReference):
    def logits(self, step, rows, positions):
        return super().logits(step, rows, np.maximum(positions - 1, 0))


@fault("batch slot in place of the sequence id", "samples change with the batch around them", "invariance")
class BatchSlot(BatchReference):
    def first_hitting(self, *args, **kwargs):
        return super().first_hitting(*args, **{**kwargs, "sequences": None})


@fault("network asked again", "two tokens a call, yet the second sees the first", "tokens, two a call")
class AskedAgain(BatchReference):
    def first_hitting(self, *args, **kwargs):
        return super().first_hitting(*args, **{**kwargs, "tokens_per_call": 1})


@fault("same position twice in a call", "the second token of a call may overwrite the first", "tokens, two a call")
class SameTwice(BatchReference):
    def candidates(self, step):
        return step.seen == step.model.mask_id


@fault(
    "line by hitting times",
    "c = (T - tau) / (T' - T), whose mean is r / (k' - 1): infinite after a call of one token",
    "tokens, order 2, unequal calls",
)
class LineByTimes(BatchReference):
    def coefficient(self, step, ends, counts, time):
        return ((ends[0] - time) / (ends[1] - ends[0]))[:, None]


@fault("line by the call's size", "c = (k - 1) / (2 k): the first call's pairs stay missing", "tokens, order 2")
class LineBySize(BatchReference):
    def coefficient(self, step, ends, counts, time):
        return np.full((len(time), 1), (counts - 1) / (2 * counts))


@fault("truncation after the line", "top-k leaves tokens that it takes from mu", "tokens, order 2, top-k")
class TruncatedLate(BatchReference):
    def line(self, step, older, positions, logits, c):
        whole, before = replace(step, filters={}), replace(older, filters={})
        later, logits = super().line(whole, before, positions, logits, c)
        return replace(later, filters=step.filters), logits


@fault("filters forgotten", "top-k is not handed to the draw", "tokens, mixed prompts, top-k")
class FiltersForgotten(BatchReference):
    def token(self, step, positions, logits):
        return super().token(replace(step, filters={}), positions, logits)


@fault("prompt of the batch's second row for all", "rows do not keep their own prompts", "tokens, mixed prompts")
class PromptShared(BatchReference):
    def first_hitting(self, model, num_samples, seed, *, prompt=None, **kwargs):
        prompt = prompt if prompt is None or np.ndim(prompt) == 1 else np.asarray(prompt)[1]
        return super().first_hitting(model, num_samples, seed, prompt=prompt, **kwargs)
