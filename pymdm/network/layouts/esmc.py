"""ESM-C: rotary positions, SwiGLU, norms of queries and keys over the width, a dense layer before the head."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.family import Conventions, Family, Layout, Part, Settings, ids, linear, need, vector

MASK, CLS, PAD, EOS = 32, 0, 1, 2  # of its tokenizer, in every published one


def _layout(settings: Settings, shapes: Mapping[str, tuple[int, ...]]) -> Layout:
    vocab, width = shapes.get("embed.weight", (64, 0))
    layers = 1 + max(int(name.split(".")[2]) for name in shapes if name.startswith("transformer.blocks."))
    ffn = shapes.get("transformer.blocks.0.ffn.3.weight", (0, 0))[1]
    config = ModelConfig(
        vocab_size=vocab,
        mask_id=settings.get("mask_token_id", MASK),
        length=settings.get("max_position_embeddings", 2048),
        width=width,
        layers=layers,
        heads=need(settings, "n_heads", "num_attention_heads"),
        mlp_width=ffn,
        mlp="swiglu",
        norm_bias=True,
        qk_norm="all",
        head_transform=True,
    )
    found = {"embed.weight": [Part("embed.weight", (vocab, width))]}
    for i in range(layers):
        ours, theirs = f"blocks.{i}", f"transformer.blocks.{i}"
        found |= vector(f"{theirs}.attn.layernorm_qkv.0", width, True)(f"{ours}.norm1")
        found |= linear(f"{theirs}.attn.layernorm_qkv.1", 3 * width, width)(f"{ours}.qkv")
        found |= vector(f"{theirs}.attn.q_ln", width)(f"{ours}.q_norm")
        found |= vector(f"{theirs}.attn.k_ln", width)(f"{ours}.k_norm")
        found |= linear(f"{theirs}.attn.out_proj", width, width)(f"{ours}.out")
        found |= vector(f"{theirs}.ffn.0", width, True)(f"{ours}.norm2")
        found |= linear(f"{theirs}.ffn.1", 2 * ffn, width)(f"{ours}.mlp_in")
        found |= linear(f"{theirs}.ffn.3", width, ffn)(f"{ours}.mlp_out")
    found |= vector("transformer.norm", width)("norm_final")
    found |= linear("sequence_head.0", width, width, True)("head_dense")
    found |= vector("sequence_head.2", width, True)("head_norm") | linear("sequence_head.3", vocab, width, True)("head")
    residual = math.sqrt(36 / layers)  # both sums of a block are divided by sqrt(layers / 36)
    banned = ids({"specials": [CLS, PAD, EOS, 3, 31, *range(33, vocab)]}, "specials")
    return Layout(
        config,
        found,
        Conventions("esmc", banned=banned, framed=True),
        zeros={"norm_final.bias": (width,)},
        scaled={f"blocks.{i}.{name}.weight": residual for i in range(layers) for name in ("out", "mlp_out")},
    )


ESMC = Family(
    "esmc",
    "EvolutionaryScale's esmc_300m and esmc_600m (.pth; n_heads from config); esm package, models/esmc.py",
    lambda settings, names: "transformer.blocks.0.attn.q_ln.weight" in names and "sequence_head.3.weight" in names,
    _layout,
)
