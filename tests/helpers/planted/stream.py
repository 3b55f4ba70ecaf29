"""Faults of the random stream, of the noise and of the choice."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from pymdm.prove.batch_reference import BatchReference
from pymdm.prove.faults import fault
from pymdm.reference import philox

U64 = np.uint64


class _Exponential(BatchReference):
    """Base of the faults that turn bits into noise another way."""

    def u(self, r: Any) -> Any:
        raise NotImplementedError

    def uniform_of(self, bits):
        return self.u(np.asarray(bits, dtype=np.uint64))

    def exponential_of(self, bits):
        with np.errstate(divide="ignore"):
            return -np.log1p(-self.uniform_of(bits))


@fault("float32 uniforms", "u has 24 bits, as a float32 generator draws it", "Gumbel noise")
class Float32(_Exponential):
    def u(self, r):
        return ((r >> U64(40)).astype(np.float64) + 0.5) * 2.0**-24


@fault("53-bit uniforms", "u = (k + 1/2) / 2^53: the winning tail stops at 36.7", "noise of given bits")
class FiftyThree(_Exponential):
    def u(self, r):
        return np.minimum(((r >> U64(11)).astype(np.float64) + 0.5) * 2.0**-53, 1 - 2.0**-53)


@fault("bfloat16 uniforms", "u has 8 bits: rare classes cannot win", "rare tokens")
class Bfloat16(_Exponential):
    def u(self, r):
        return ((r >> U64(56)).astype(np.float64) + 0.5) / 256


@fault("u = 0 allowed", "u = k / 2^53, so E = 0 and the noise can be infinite", "noise of given bits")
class ZeroAllowed(_Exponential):
    def u(self, r):
        return (r >> U64(11)).astype(np.float64) * 2.0**-53


@fault(
    "u = 1 allowed",
    "(r + 1/2) / 2^64 rounds to 1.0 at the top, so the noise can be minus infinity",
    "noise of given bits",
)
class OneAllowed(_Exponential):
    def u(self, r):
        return (r.astype(np.float64) + 0.5) * 2.0**-64


@fault("fudged logarithm", "g = -log(-log(u + 1e-10) + 1e-10), as published code writes it", "noise of given bits")
class Fudged(BatchReference):
    def exponential_of(self, bits):
        return np.maximum(1e-10 - np.log(1 - self.uniform_of(bits) + 1e-10), 1e-300)


@fault(
    "Gumbel with the wrong sign", "g = log E: the noise of a minimum (two classes cannot tell)", "tokens, five symbols"
)
class WrongSign(BatchReference):
    def gumbel_of(self, bits):
        return np.log(self.exponential_of(bits))


@fault("normal noise", "noise of the right spread but the wrong law", "choice law")
class Normal(BatchReference):
    def gumbel_of(self, bits):
        return ndtri(self.uniform_of(bits)) * np.pi / np.sqrt(6)


@fault("a counter bit is dropped", "index div 4 loses its lowest bit: indices 8 apart share a block", "address bits")
class DroppedBit(BatchReference):
    def block(self, seed, sequence, event, word_purpose, index4):
        return super().block(seed, sequence, event, word_purpose, np.asarray(index4, U64) & ~U64(1))


@fault("output word reused", "words 2 and 3 of a block repeat words 0 and 1", "choice law")
class ReusedWord(BatchReference):
    def block(self, seed, sequence, event, word_purpose, index4):
        a, b, _, _ = super().block(seed, sequence, event, word_purpose, index4)
        return a, b, a, b


@fault("words in reverse", "output word 3 - index mod 4: the same law at other addresses", "golden bits")
class ReversedWords(BatchReference):
    def block(self, seed, sequence, event, word_purpose, index4):
        return super().block(seed, sequence, event, word_purpose, index4)[::-1]


@fault("low word repeats the high one", "both halves of a draw from the same counter", "bit law")
class LowIsHigh(BatchReference):
    def block(self, seed, sequence, event, word_purpose, index4):
        return super().block(seed, sequence, event, word_purpose & ~1, index4)


@fault("seven rounds", "Philox4x32-7: passes statistical tests, but is not the documented stream", "golden bits")
class SevenRounds(BatchReference):
    def block(self, seed, sequence, event, word_purpose, index4):
        return philox.block(seed, sequence, event, word_purpose, index4, rounds=7)


@fault("one round", "Philox4x32-1", "bit law")
class OneRound(BatchReference):
    def block(self, seed, sequence, event, word_purpose, index4):
        return philox.block(seed, sequence, event, word_purpose, index4, rounds=1)


@fault("sequence ids cut to 32 bits", "the high bits of the sequence id are dropped", "rows independent")
class ShortSequence(BatchReference):
    def address(self, seed, sequence, event, purpose, index):
        return seed, np.asarray(sequence, U64) & U64(0xFFFFFFFF), event, purpose, index


@fault("seeds cut to 32 bits", "the high word of the key is dropped", "rows independent")
class ShortSeed(BatchReference):
    def address(self, seed, sequence, event, purpose, index):
        return seed & 0xFFFFFFFF, sequence, event, purpose, index


@fault("seeds share a stream", "seed div 2 is used", "rows independent")
class HalvedSeed(BatchReference):
    def address(self, seed, sequence, event, purpose, index):
        return seed >> 1, sequence, event, purpose, index


@fault("events cut to 8 bits", "event mod 256", "address bits")
class ShortEvent(BatchReference):
    def address(self, seed, sequence, event, purpose, index):
        return seed, sequence, np.asarray(event, U64) & U64(255), purpose, index


@fault("indices cut to 32 bits", "index arithmetic in 32 bits, for l * V past 2^32", "address bits")
class ShortIndex(BatchReference):
    def address(self, seed, sequence, event, purpose, index):
        return seed, sequence, event, purpose, np.asarray(index, U64) & U64(0xFFFFFFFF)


@fault("ties to the highest index", "arg-max keeps the last of equal scores", "choice ties")
class TiesHigh(BatchReference):
    def arg_max(self, scores):
        return scores.shape[1] - 1 - np.argmax(scores[:, ::-1], axis=1)


@fault("float32 scores", "logit + noise is rounded to float32 before the arg-max", "choice oracle")
class Float32Scores(BatchReference):
    def arg_max(self, scores):
        with np.errstate(over="ignore"):
            return np.argmax(scores.astype(np.float32), axis=1)


@fault("noise scaled by the temperature", "(logit + g) / T: the temperature cancels", "tokens, temperature 0.6")
class ScaledNoise(BatchReference):
    def scores(self, logits, temperature, **filters):
        return super().scores(logits, 1.0 if temperature > 0 else 0.0, **filters)


@fault("temperature applied twice", "logit / T^2", "tokens, temperature 0.6")
class TemperatureTwice(BatchReference):
    def scores(self, logits, temperature, **filters):
        return super().scores(logits, temperature * temperature, **filters)


@fault("rare tokens cut", "classes below 1e-3 of the largest are never drawn", "rare tokens")
class RareCut(BatchReference):
    def scores(self, logits, temperature, **filters):
        scores = super().scores(logits, temperature, **filters)
        return np.where(scores < scores.max(axis=1, keepdims=True) + np.log(1e-3), -np.inf, scores)


@fault("probabilities floored", "log(p + 3e-4): rare tokens come too often", "rare tokens")
class Floored(BatchReference):
    def scores(self, logits, temperature, **filters):
        scores = super().scores(logits, temperature, **filters)
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        with np.errstate(divide="ignore"):
            return np.log(np.where(p > 0, p / p.sum(axis=1, keepdims=True) + 3e-4, 0.0))


@fault("bans ignored", "banned classes can be drawn", "choice filters")
class BansIgnored(BatchReference):
    def scores(self, logits, temperature, **filters):
        return super().scores(logits, temperature, **{**filters, "banned": None})


@fault("top-k ties to the highest index", "equal logits on the border of top-k keep the last", "choice filters")
class TopKTies(BatchReference):
    def scores(self, logits, temperature, **filters):
        if filters.get("top_k") is None:
            return super().scores(logits, temperature, **filters)
        return super().scores(np.atleast_2d(logits)[:, ::-1], temperature, **filters)[:, ::-1]


@fault("top-p one short", "the class that crosses p is dropped", "choice filters")
class TopPShort(BatchReference):
    def scores(self, logits, temperature, **filters):
        scores = super().scores(logits, temperature, **filters)
        if filters.get("top_p") is None:
            return scores
        kept = np.isfinite(scores).sum(axis=1) > 1
        last = np.where(np.isfinite(scores), scores, np.inf).argmin(axis=1)
        scores[kept, last[kept]] = -np.inf
        return scores
