"""Describes a model and the memory it will take, without packing its weights."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import Any

from pymdm.data.tokenizer import Tokenizer
from pymdm.data.wrapped import WrappedTokenizer
from pymdm.network.checkpoint import load_checkpoint
from pymdm.network.config import ModelConfig
from pymdm.network.loading import is_foreign, opened
from pymdm.network.transformer import parameter_shapes


def kept_bytes(config: ModelConfig, dtype: str) -> int:
    """Keys and values of one sequence of the largest length, whole panels of 64 positions, 16 columns of a value.

    >>> kept_bytes(ModelConfig(9, 100, 32, 2, 2, attention="any-order"), "float32")
    65536
    """
    columns = config.head_dim + -(-config.head_dim // 16) * 16
    return config.layers * config.kv_heads * columns * -(-config.length // 64) * 64 * (4 if dtype == "float32" else 2)


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Facts of a checkpoint: family, sizes, mask, special tokens, time input, attention, memory; values are not read.

    Args:
        path: as in `pymdm.load`.

    Raises:
        ValueError: as `pymdm.load`, but for values that are not finite.

    >>> from pymdm.bundled import bundled_path
    >>> describe(bundled_path())["family"]
    'pymdm'
    """
    if is_foreign(path):
        converted, tokenizer = opened(path)
        config, conventions, dtype = converted.config, converted.conventions, converted.dtype
        numbers = sum(t.numel() for parts in converted.weights.values() for t in parts)
        family, note, ends = conventions.family, conventions.note, conventions.end_of_text
        banned = {*conventions.banned, *getattr(tokenizer, "banned", ())} - set(ends)
    else:
        checkpoint = load_checkpoint(Path(path))
        config, tokenizer, dtype, family, note, ends = (
            checkpoint.config, checkpoint.tokenizer, "float32", "pymdm", "", ()
        )  # fmt: skip
        numbers, banned = sum(prod(s) for s in parameter_shapes(config).values()), set()
    kinds = {Tokenizer: "its own", WrappedTokenizer: "with special tokens", type(None): "none"}
    attention = "both directions" if config.attention == "bidirectional" else config.attention
    attention += f" of {config.block_length}" if config.block_length else ""
    positions = f"rotary, base {config.rope_base:g}" if config.positions == "rotary" else "learned"
    positions += f", YaRN {config.yarn:g} x {config.yarn_length:,}" if config.yarn > 1 else ""
    if config.window:
        local = sum(map(config.local, range(config.layers)))
        attention += f"; in {local} of {config.layers} layers {config.window} positions to each side"
        positions += f", {config.local_rope_base:g} in those layers" if config.positions == "rotary" else ""
    attention += ", finished blocks causal" if config.causal_context else ""
    exact = {
        "bidirectional": "first-hitting, ancestral (choose)",
        "causal": "first-hitting, from left to right",
        "block": "first-hitting, blocks from the left",
        "any-order": "first-hitting",
    }[config.attention]
    return {
        "family": family,
        "parameters": numbers,
        "layers": config.layers,
        "width": config.width,
        "heads": [config.heads, config.kv_heads],
        "length": config.length,
        "vocabulary": config.vocab_size,
        "tokenizer": kinds[type(tokenizer)],
        "mask_id": config.mask_id,
        "end_of_text": list(ends),
        "never_drawn": len([i for i in banned if i < config.vocab_size]),
        "time_input": {"none": "none", "constant": "none (folded)", "time": "t"}[config.conditioning],
        "attention": attention,
        "positions": positions,
        "logit_shift": config.logit_shift,
        "exact": exact,
        "dtype": dtype,
        "memory_bytes": numbers * (4 if dtype == "float32" else 2),
        "bytes_kept": "" if config.attention == "bidirectional" else kept_bytes(config, dtype),
        "note": note,
    }
