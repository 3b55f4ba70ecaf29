"""ESM-C: rotary positions, SwiGLU, norms of queries and keys over the width, a dense layer before the head."""

from __future__ import annotations

import math

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.family import Conventions, Family, Layout, Names, Shapes, named
from pymdm.network.layouts.settings import Settings, ids, need

MASK, CLS, PAD, EOS = 32, 0, 1, 2  # of its tokenizer, in every published one
_BLOCK = "transformer.blocks.{}"
_NAMES: Names = {
    "embed": "embed",
    "blocks.{}.norm1": f"{_BLOCK}.attn.layernorm_qkv.0",
    "blocks.{}.qkv": f"{_BLOCK}.attn.layernorm_qkv.1",
    "blocks.{}.q_norm": f"{_BLOCK}.attn.q_ln",
    "blocks.{}.k_norm": f"{_BLOCK}.attn.k_ln",
    "blocks.{}.out": f"{_BLOCK}.attn.out_proj",
    "blocks.{}.norm2": f"{_BLOCK}.ffn.0",
    "blocks.{}.mlp_in": f"{_BLOCK}.ffn.1",
    "blocks.{}.mlp_out": f"{_BLOCK}.ffn.3",
    "norm_final": "transformer.norm",
    "head_dense": "sequence_head.0",
    "head_norm": "sequence_head.2",
    "head": "sequence_head.3",
}


def _layout(settings: Settings, shapes: Shapes) -> Layout:
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
    found = named(config, _NAMES)
    del found["norm_final.bias"]  # zero: the last norm of theirs has none
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
