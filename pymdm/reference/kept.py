"""A network that keeps keys and values, in float64 and slot by slot: what the engine's cache does, written from its definition.

Slots hold rows in the order in which their tokens became known ("any-order") or by position ("block"); a row sees the first
`past` slots, and a query itself beside them. What is kept is a function of the state: slots whose content changed are
computed anew, with all behind them. For plain networks: rotary positions, pre-norm, no conditioning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymdm.reference.forward import Array, Weights, gelu, normalise

Slot = tuple[int, int, int]  # token, position, how many slots its row sees


class Kept:
    """Keys and values of one sequence, and the rows that are computed on them.

    Args:
        config: a `ModelConfig` of attention "any-order" or "block".
        weights: name -> array, the names of `model.safetensors`.
    """

    def __init__(self, config: Any, weights: Mapping[str, Any]) -> None:
        self.config, self.weights = config, Weights(weights)
        self.slots: list[Slot] = []
        self.keys: list[list[Array]] = [[] for _ in range(config.layers)]  # by layer and slot, [KV, hd]
        self.values: list[list[Array]] = [[] for _ in range(config.layers)]
        self.computed = 0  # rows so far

    def wanted(self, tokens: NDArray[np.int64], rank: NDArray[np.int64], position: int) -> list[Slot]:
        """What the slots must hold for a row at this position of tokens [L] with ranks [L]."""
        c = self.config
        if c.attention == "block":
            end = min(len(tokens), (position // c.block_length + 1) * c.block_length)
            return [(int(tokens[l]), l, min(end, (l // c.block_length + 1) * c.block_length)) for l in range(end)]
        known = sorted(np.flatnonzero(tokens != c.mask_id).tolist(), key=lambda l: (int(rank[l]), l))
        return [(int(tokens[l]), l, int(np.sum(rank[known] <= rank[l]))) for l in known]

    def same(self, before: Slot, now: Slot) -> bool:
        """Whether a slot need not be computed anew."""
        return before == now

    def angle(self, slot: int, position: int) -> int:
        """What the rotary angle goes by."""
        return position

    def past(self, slots: int) -> int:
        """How many slots a query sees of those that its state fills."""
        return slots

    def logits(self, tokens: NDArray[np.int64], rank: NDArray[np.int64], position: int) -> Array:
        """Logits [V] of a masked position of tokens [L], whose known ones have ranks [L] (-1: given)."""
        now, kept = self.wanted(tokens, rank, position), 0
        while kept < min(len(now), len(self.slots)) and self.same(self.slots[kept], now[kept]):
            kept += 1
        if self.config.attention == "block":
            kept = min(kept, position // self.config.block_length * self.config.block_length)
        while kept and now[kept - 1][2] > kept:
            kept -= 1
        rows = [(token, l, past, slot) for slot, (token, l, past) in enumerate(now) if slot >= kept]
        self.slots = now
        if self.config.attention == "block":
            return self._run(rows)[[r[1] for r in rows].index(position)]
        seen = self.past(len(now))
        return self._run([*rows, (self.config.mask_id, position, seen, -1)])[-1]

    def _run(self, rows: list[tuple[int, int, int, int]]) -> Array:
        """Logits of rows (token, position, past, slot or -1 for a query), whose keys and values go into their slots."""
        c, w = self.config, self.weights
        heads, kv, hd = c.heads, c.kv_heads, c.head_dim
        self.computed += len(rows)

        def norm(name: str, x: Array) -> Array:
            return normalise(x, c.norm, c.norm_eps, w.get(f"{name}.weight"), w.get(f"{name}.bias"))

        def turn(x: Array, slot: int, position: int) -> Array:
            frequency = c.rope_base ** (-np.arange(hd // 2) / (hd // 2))
            z = (x[:, : hd // 2] + 1j * x[:, hd // 2 :]) * np.exp(1j * self.angle(slot, position) * frequency)
            return np.concatenate([z.real, z.imag], axis=1)

        x = w["embed.weight"][[token for token, *_ in rows]]
        for i in range(c.layers):
            qkv = w.linear(f"blocks.{i}.qkv", norm(f"blocks.{i}.norm1", x)).reshape(len(rows), -1, hd)
            own: dict[int, tuple[Array, Array]] = {}
            for r, (_, position, _, slot) in enumerate(rows):
                key, value = turn(qkv[r, heads : heads + kv], slot, position), qkv[r, heads + kv :]
                if slot < 0:
                    own[r] = key, value
                    continue
                for kept, new in ((self.keys[i], key), (self.values[i], value)):
                    kept[slot : slot + 1] = [new]
            mixed = np.empty((len(rows), heads * hd))
            for r, (_, position, past, slot) in enumerate(rows):
                keys, values = self.keys[i][:past], self.values[i][:past]
                if slot < 0:
                    keys, values = [*keys, own[r][0]], [*values, own[r][1]]
                k, v = (np.repeat(np.stack(part), heads // kv, axis=1) for part in (keys, values))
                scores = np.einsum("hd,jhd->hj", turn(qkv[r, :heads], slot, position), k) / np.sqrt(hd)
                p = np.exp(scores - scores.max(axis=1, keepdims=True))
                mixed[r] = np.einsum("hj,jhd->hd", p / p.sum(axis=1, keepdims=True), v).ravel()
            x = x + w.linear(f"blocks.{i}.out", mixed)
            x = x + w.linear(f"blocks.{i}.mlp_out", gelu(w.linear(f"blocks.{i}.mlp_in", norm(f"blocks.{i}.norm2", x))))
        return w.linear("head", norm("norm_final", x))
