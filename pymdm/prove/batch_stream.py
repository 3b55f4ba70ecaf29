"""The reference's random stream and choice over many rows at once, in small methods that a planted fault can
replace.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymdm.reference import philox
from pymdm.reference.choose import filtered
from pymdm.reference.gumbel import gumbel
from pymdm.reference.uniform import exponential, uniform

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bits = NDArray[np.uint64]


class BatchStream:
    """Stream, noise and choice of the reference; see `Implementation` for what the public methods mean."""

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

    def probabilities(self, logits: Any, temperature: float, **filters: Any) -> Floats:
        """[M, V] what is drawn from: mu tempered and filtered."""
        scores = self.scores(logits, temperature, **filters)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

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
