"""SMDM: lit-gpt's TransEncoder, a Llama block whose q, k and v are stored by groups."""

from __future__ import annotations

from collections.abc import Mapping

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.family import Conventions, Family, Layout, Part, Settings, joined, linear, need, only, vector


def _layout(settings: Settings, shapes: Mapping[str, tuple[int, ...]]) -> Layout:
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

    found = {"embed.weight": [Part("transformer.wte.weight", (vocab + 1, width))]}
    for i in range(config.layers):
        ours, theirs = f"blocks.{i}", f"transformer.h.{i}"
        found |= vector(f"{theirs}.norm_1", width)(f"{ours}.norm1")
        found[f"{ours}.qkv.weight"] = qkv(f"{theirs}.attn.attn.weight")
        found |= linear(f"{theirs}.attn.proj", width, width)(f"{ours}.out")
        found |= vector(f"{theirs}.norm_2", width)(f"{ours}.norm2")
        found |= joined({f"{theirs}.mlp.swiglu.w1": ffn, f"{theirs}.mlp.swiglu.w2": ffn}, width)(f"{ours}.mlp_in")
        found |= linear(f"{theirs}.mlp.swiglu.w3", width, ffn)(f"{ours}.mlp_out")
    found |= vector("transformer.ln_f", width)("norm_final") | linear("lm_head", vocab, width)("head")
    note = "published code rounds its rotary tables to bfloat16, which moves logits by up to 1%; here they are float32"
    return Layout(config, found, Conventions("smdm", note=note))


SMDM = Family(
    "smdm",
    "github.com/ML-GSAI/SMDM; Nie et al., arXiv 2410.18514",
    lambda settings, names: "transformer.h.0.attn.attn.weight" in names and "transformer.wte.weight" in names,
    _layout,
)
