"""LLaDA (8B, 1.5) and iLLaDA in LLaDA's layout: a Llama block, bidirectional, scores at the same position."""

from __future__ import annotations

from collections.abc import Mapping

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.family import (
    Conventions,
    Family,
    Layout,
    Part,
    Settings,
    ids,
    joined,
    linear,
    need,
    only,
    vector,
)


def _layout(settings: Settings, shapes: Mapping[str, tuple[int, ...]]) -> Layout:
    only(
        settings,
        block_type="llama",
        layer_norm_type="rms",
        activation_type=("silu", "swiglu"),
        rope=True,
        alibi=False,
        attention_layer_norm=False,
        include_bias=False,
        include_qkv_bias=(False, None),
        bias_for_layer_norm=(False, None),
        layer_norm_with_affine=True,
        embedding_layer_norm=(False, None),
        input_emb_norm=(False, None),
        scale_logits=(False, None),
        multi_query_attention=(False, None),
        rope_scaling=None,
    )
    width, vocab = need(settings, "d_model"), need(settings, "vocab_size")
    heads = need(settings, "n_heads")
    if settings.get("mlp_hidden_size") is None:
        ffn = need(settings, "mlp_ratio") * width
    else:
        ffn = need(settings, "mlp_hidden_size")
    config = ModelConfig(
        vocab_size=vocab,
        mask_id=need(settings, "mask_token_id"),
        length=need(settings, "max_sequence_length"),
        width=width,
        layers=need(settings, "n_layers"),
        heads=heads,
        kv_heads=settings.get("n_kv_heads") or heads,
        mlp_width=ffn,
        norm="rmsnorm",
        norm_eps=need(settings, "rms_norm_eps", "layer_norm_eps", kind=float),
        mlp="swiglu",
        head_bias=False,
        tied_head=need(settings, "weight_tying", kind=bool),
        rope_base=need(settings, "rope_theta", kind=float),
    )
    keys = config.kv_heads * config.head_dim
    found = {"embed.weight": [Part("transformer.wte.weight", (vocab, width), padded=True)]}
    for i in range(config.layers):
        ours, theirs = f"blocks.{i}", f"transformer.blocks.{i}"
        found |= vector(f"{theirs}.attn_norm", width)(f"{ours}.norm1")
        found |= joined({f"{theirs}.q_proj": width, f"{theirs}.k_proj": keys, f"{theirs}.v_proj": keys}, width)(
            f"{ours}.qkv"
        )
        found |= linear(f"{theirs}.attn_out", width, width)(f"{ours}.out")
        found |= vector(f"{theirs}.ff_norm", width)(f"{ours}.norm2")
        found |= joined({f"{theirs}.ff_proj": ffn, f"{theirs}.up_proj": ffn}, width)(f"{ours}.mlp_in")
        found |= linear(f"{theirs}.ff_out", width, ffn)(f"{ours}.mlp_out")
    found |= vector("transformer.ln_f", width)("norm_final")
    if not config.tied_head:
        found["head.weight"] = [Part("transformer.ff_out.weight", (vocab, width), padded=True)]
    same = (("transformer.ff_out.weight", "transformer.wte.weight"),) if config.tied_head else ()
    banned = ids(settings, "bos_token_id", "pad_token_id")
    ends = ids(settings, "eos_token_id")
    conventions = Conventions("llada", ends, tuple(i for i in banned if i not in ends))
    return Layout(config, found, conventions, same, (r"rotary_emb\.inv_freq",))


LLADA = Family(
    "llada",
    "huggingface.co/GSAI-ML/LLaDA-8B-Base, LLaDA-1.5, iLLaDA-8B-Base; Nie et al., arXiv 2502.09992",
    lambda settings, names: "transformer.blocks.0.ff_proj.weight" in names and "transformer.wte.weight" in names,
    _layout,
)
