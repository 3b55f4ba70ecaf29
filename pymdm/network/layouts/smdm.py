"""SMDM: lit-gpt's TransEncoder, a Llama block whose q, k and v are stored by groups."""

from __future__ import annotations

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.family import Conventions, Family, Layout, Names, Part, Shapes, named
from pymdm.network.layouts.settings import Settings, need, only

_NAMES: Names = {
    "embed": "transformer.wte",
    "blocks.{}.norm1": "transformer.h.{}.norm_1",
    "blocks.{}.out": "transformer.h.{}.attn.proj",
    "blocks.{}.norm2": "transformer.h.{}.norm_2",
    "blocks.{}.mlp_in": ("transformer.h.{}.mlp.swiglu.w1", "transformer.h.{}.mlp.swiglu.w2"),
    "blocks.{}.mlp_out": "transformer.h.{}.mlp.swiglu.w3",
    "norm_final": "transformer.ln_f",
    "head": "lm_head",
}


def _layout(settings: Settings, shapes: Shapes) -> Layout:
    only(
        settings,
        bias=False,
        parallel_residual=False,
        shared_attention_norm=False,
        rotary_percentage=1.0,
        condense_ratio=1,
        _norm_class=("RMSNorm", "FusedRMSNorm"),
        _mlp_class="LLaMAMLP",
    )
    width, heads = need(settings, "n_embd"), need(settings, "n_head")
    groups, ffn = settings.get("n_query_groups") or heads, need(settings, "intermediate_size")
    vocab = need(settings, "padded_vocab_size", "vocab_size")
    config = ModelConfig(
        vocab_size=vocab,
        mask_id=vocab,
        length=need(settings, "block_size"),
        width=width,
        layers=need(settings, "n_layer"),
        heads=heads,
        kv_heads=groups,
        mlp_width=ffn,
        norm="rmsnorm",
        norm_eps=need(settings, "norm_eps", kind=float),
        mlp="swiglu",
        head_bias=False,
    )
    hd, share = config.head_dim, heads // groups
    rows = (heads + 2 * groups) * hd

    def qkv(key: str) -> list[Part]:
        """Each group's rows are its queries, then its key, then its value."""
        span = (share + 2) * hd
        places = [(0, share * hd), (share * hd, hd), ((share + 1) * hd, hd)]
        return [Part(key, (rows, width), g * span + first, count) for first, count in places for g in range(groups)]

    found = named(config, _NAMES)
    for i in range(config.layers):
        found[f"blocks.{i}.qkv.weight"] = qkv(f"transformer.h.{i}.attn.attn.weight")
    note = "published code rounds its rotary tables to bfloat16, which moves logits by up to 1%; here they are float32"
    return Layout(config, found, Conventions("smdm", note=note))


SMDM = Family(
    "smdm",
    "github.com/ML-GSAI/SMDM; Nie et al., arXiv 2410.18514",
    lambda settings, names: "transformer.h.0.attn.attn.weight" in names and "transformer.wte.weight" in names,
    _layout,
)
