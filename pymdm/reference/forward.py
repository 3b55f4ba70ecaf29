"""The transformer's forward pass in float64 numpy, from a dict of named weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymdm.reference.sight import sight

Array = NDArray[np.float64]
_DEFAULTS = {
    "norm": "layernorm",
    "norm_eps": 1e-5,
    "mlp": "gelu",
    "rope_base": 10000.0,
    "logit_shift": False,
    "tied_head": False,
    "conditioning": "none",
    "attention": "bidirectional",
    "block_length": 0,
    "kv_heads": None,
    "positions": "rotary",
    "embed_norm": False,
    "post_norm": False,
    "head_transform": False,
    "token_dropout": False,
    "time_input": "t",
    "head_dim": None,
    "qk_norm": "none",
    "window": 0,
    "full_every": 1,
    "local_rope_base": None,
    "shared_layers": False,
    "causal_context": False,
    "yarn": 1.0,
    "yarn_length": 0,
}


class Weights:
    """Named weights as float64, with a linear map `y = x W^T + b` whose bias may be absent."""

    def __init__(self, tensors: Mapping[str, Any]):
        self.tensors = {name: np.asarray(value, dtype=np.float64) for name, value in tensors.items()}

    def __getitem__(self, name: str) -> Array:
        return self.tensors[name]

    def get(self, name: str) -> Array | None:
        return self.tensors.get(name)

    def linear(self, name: str, x: Array) -> Array:
        y = x @ self[f"{name}.weight"].T
        bias = self.get(f"{name}.bias")
        return y if bias is None else y + bias


def silu(x: Array) -> Array:
    return x / (1.0 + np.exp(-x))


def gelu(x: Array) -> Array:
    """The tanh form: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))."""
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def gelu_erf(x: Array) -> Array:
    """x Phi(x)."""
    erf: Array = np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2.0))
    return 0.5 * x * (1.0 + erf)


def normalise(x: Array, kind: str, eps: float, weight: Array | None, bias: Array | None) -> Array:
    """Layer norm (centred, biased variance) or RMS norm over the last axis."""
    if kind == "layernorm":
        x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def frequencies(head_dim: int, base: float, yarn: float = 1.0, yarn_length: int = 0) -> Array:
    """Radians a position of each pair of a head's numbers, [hd/2]: base^(-2i/hd).

    YaRN (arXiv 2309.00071) divides those that turn less than once within `yarn_length` positions by `yarn`, leaves those
    that turn more than 32 times, and mixes both on a straight line in i between the whole numbers around these two places.
    """
    i = np.arange(head_dim // 2, dtype=np.float64)
    plain = base ** (-2 * i / head_dim)
    if yarn == 1.0:
        return plain
    first, last = (head_dim * math.log(yarn_length / (turns * 2 * math.pi)) / (2 * math.log(base)) for turns in (32, 1))
    low, high = max(math.floor(first), 0), min(math.ceil(last), head_dim - 1)
    share = np.clip((i - low) / (high - low if high > low else 1e-3), 0.0, 1.0)
    return plain * (1 - share) + plain / yarn * share


def rotate(x: Array, base: float, yarn: float = 1.0, yarn_length: int = 0) -> Array:
    """Rotary positions on [B, L, H, hd], rotate-half over the whole head; angles l times `frequencies`."""
    length, half = x.shape[1], x.shape[-1] // 2
    frequency = frequencies(x.shape[-1], base, yarn, yarn_length)
    angle = (np.arange(length)[:, None] * frequency)[None, :, None, :]  # [1, L, 1, hd/2]
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], axis=-1)


def attention(q: Array, k: Array, v: Array, seen: NDArray[np.bool_]) -> Array:
    """softmax(q k^T / sqrt(hd)) v on q [B, L, H, hd], k and v [B, L, KV, hd], each k/v head shared by H / KV
    queries; seen [B, L, L] says which keys (last) a query has.
    """
    share = q.shape[2] // k.shape[2]
    k, v = np.repeat(k, share, axis=2), np.repeat(v, share, axis=2)
    scores = np.einsum("bihd,bjhd->bhij", q, k) / np.sqrt(q.shape[-1])
    scores = np.where(seen[:, None], scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("bhij,bjhd->bihd", weights, v)


def sinusoid(time: Array, size: int = 256, period: float = 10000.0) -> Array:
    """[B] times -> [B, size]: cosines, then sines, of time * period^(-i / (size/2))."""
    half = size // 2
    angle = time[:, None] * period ** (-np.arange(half, dtype=np.float64) / half)
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)


def forward(
    config: Any,
    weights: Mapping[str, Any],
    tokens: ArrayLike,
    time: ArrayLike | None = None,
    rows: ArrayLike | None = None,
    rank: ArrayLike | None = None,
) -> Array:
    """Logits of the masked transformer in float64.

    Args:
        config: a `ModelConfig`, or a mapping with its fields; absent fields take their defaults.
        weights: name -> array, the names of `model.safetensors`.
        tokens: [B, L] integers.
        time: [B] times, for conditioning "time".
        rows: [M] flat indices into B * L, or None for all.
        rank: [B, L] for attention "any-order": when each known token became known, 0, 1, ...; -1 where it was given; None:
            all were given. Entries at masks are not read.

    Returns:
        [B, L, V], or [M, V] with rows.

    Raises:
        KeyError: a weight is missing.
        ValueError: time is missing where the network wants it.
    """
    given = config if isinstance(config, Mapping) else vars(config)
    c = {**_DEFAULTS, **{key: value for key, value in given.items() if value is not None}}
    w = Weights(weights)
    heads, kv_heads = c["heads"], c["kv_heads"] or c["heads"]
    head_dim = c["head_dim"] or c["width"] // heads
    tokens = np.asarray(tokens, dtype=np.int64)
    batch, length = tokens.shape
    condition: Array | None = None
    if c["conditioning"] == "time" and time is None:
        raise ValueError("forward: this network is conditioned on time, and no time was given")
    if c["conditioning"] != "none":
        t = np.zeros(batch) if c["conditioning"] == "constant" else np.asarray(time, dtype=np.float64)
        if c["time_input"] == "sigma":
            t = -np.log1p(-(1.0 - 1e-3) * t)
        condition = silu(w.linear("time_mlp.2", silu(w.linear("time_mlp.0", sinusoid(t)))))

    def norm(name: str, x: Array) -> Array:
        return normalise(x, c["norm"], c["norm_eps"], w.get(f"{name}.weight"), w.get(f"{name}.bias"))

    def adapt(name: str, chunks: int) -> list[Array]:
        """Modulation chunks [B, 1, D]; zeros and ones without adaLN are handled by the caller's defaults."""
        assert condition is not None
        return np.split(w.linear(name, condition)[:, None, :], chunks, axis=-1)

    act = gelu if c["mlp"] == "gelu" else gelu_erf
    x = w["embed.weight"][tokens]  # [B, L, D]
    if c["token_dropout"]:
        masked = (tokens == c["mask_id"])[:, :, None]
        x = np.where(masked, 0.0, x * 0.88 / (1.0 - masked.mean(axis=1, keepdims=True)))
    if c["positions"] == "learned":
        x = x + w["positions.weight"][:length]
    if c["embed_norm"]:
        x = norm("embed_norm", x)

    if "embed_map.weight" in w.tensors:
        x = w.linear("embed_map", x)

    def turn(part: Array, base: float) -> Array:
        return part if c["positions"] == "learned" else rotate(part, base, c["yarn"], c["yarn_length"])

    seen = sight(c["attention"], tokens != c.get("mask_id"), c["block_length"], rank, c["causal_context"])
    at = np.arange(length)
    near = np.abs(at[:, None] - at) <= c["window"]  # [L, L]
    for i in range(c["layers"]):
        block = f"blocks.{0 if c['shared_layers'] else i}"
        local = c["window"] > 0 and i % c["full_every"] != 0
        base = (local and c["local_rope_base"]) or c["rope_base"]
        shift1, scale1, gate1, shift2, scale2, gate2 = (
            adapt(f"{block}.ada", 6) if condition is not None else [np.array(v) for v in (0.0, 0.0, 1.0, 0.0, 0.0, 1.0)]
        )
        h = x if c["post_norm"] or w.get(f"{block}.norm1.weight") is None else norm(f"{block}.norm1", x)
        h = h * (1.0 + scale1) + shift1
        qkv = w.linear(f"{block}.qkv", h).reshape(batch, length, heads + 2 * kv_heads, head_dim)
        q, k, v = np.split(qkv, [heads, heads + kv_heads], axis=2)
        if c["qk_norm"] == "all":
            q = norm(f"{block}.q_norm", q.reshape(batch, length, -1)).reshape(q.shape)
            k = norm(f"{block}.k_norm", k.reshape(batch, length, -1)).reshape(k.shape)
        elif c["qk_norm"] == "head":
            q, k = norm(f"{block}.q_norm", q), norm(f"{block}.k_norm", k)
        mixed = attention(turn(q, base), turn(k, base), v, seen & near if local else seen)
        x = x + gate1 * w.linear(f"{block}.out", mixed.reshape(batch, length, heads * head_dim))
        if c["post_norm"]:
            h = x = norm(f"{block}.norm1", x)
        else:
            h = norm(f"{block}.norm2", x) * (1.0 + scale2) + shift2
        h = w.linear(f"{block}.mlp_in", h)
        if c["mlp"] in ("swiglu", "geglu"):
            gate, up = np.split(h, 2, axis=-1)
            h = (silu(gate) if c["mlp"] == "swiglu" else gelu_erf(gate)) * up
        else:
            h = act(h)
        x = x + gate2 * w.linear(f"{block}.mlp_out", h)
        if c["post_norm"]:
            x = norm(f"{block}.norm2", x)
    if not c["post_norm"]:
        x = norm("norm_final", x)
    if condition is not None:
        shift, scale = adapt("ada_final", 2)
        x = x * (1.0 + scale) + shift
    if c["head_transform"]:
        x = norm("head_norm", act(w.linear("head_dense", x)))
    if c["logit_shift"]:  # the logits of position l come from the hidden state of l - 1 (position 0 keeps its own)
        x = np.concatenate([x[:, :1], x[:, :-1]], axis=1)
    if rows is not None:
        x = x.reshape(batch * length, -1)[np.asarray(rows, dtype=np.int64)]
    if c["tied_head"]:
        logits = x @ w["embed.weight"][: c["vocab_size"]].T
        bias = w.get("head.bias")
        return logits if bias is None else logits + bias
    return w.linear("head", x)
