"""LLaDA (8B, 1.5) and iLLaDA in LLaDA's layout: a Llama block, bidirectional, scores at the same position."""

from __future__ import annotations

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.decoder import IGNORED, decoder_conventions
from pymdm.network.layouts.family import Family, Layout, Names, Shapes, named
from pymdm.network.layouts.settings import Settings, need, only

_BLOCK = "transformer.blocks.{}"
_NAMES: Names = {
    "embed": "transformer.wte",
    "blocks.{}.norm1": f"{_BLOCK}.attn_norm",
    "blocks.{}.qkv": (f"{_BLOCK}.q_proj", f"{_BLOCK}.k_proj", f"{_BLOCK}.v_proj"),
    "blocks.{}.out": f"{_BLOCK}.attn_out",
    "blocks.{}.norm2": f"{_BLOCK}.ff_norm",
    "blocks.{}.mlp_in": (f"{_BLOCK}.ff_proj", f"{_BLOCK}.up_proj"),
    "blocks.{}.mlp_out": f"{_BLOCK}.ff_out",
    "norm_final": "transformer.ln_f",
    "head": "transformer.ff_out",
}


def _layout(settings: Settings, shapes: Shapes) -> Layout:
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
    width, heads = need(settings, "d_model"), need(settings, "n_heads")
    if settings.get("mlp_hidden_size") is None:
        ffn = need(settings, "mlp_ratio") * width
    else:
        ffn = need(settings, "mlp_hidden_size")
    config = ModelConfig(
        vocab_size=need(settings, "vocab_size"),
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
    same = (("transformer.ff_out.weight", "transformer.wte.weight"),) if config.tied_head else ()
    return Layout(config, named(config, _NAMES, padded=True), decoder_conventions(settings, "llada"), same, IGNORED)


LLADA = Family(
    "llada",
    "huggingface.co/GSAI-ML/LLaDA-8B-Base, LLaDA-1.5, iLLaDA-8B-Base; Nie et al., arXiv 2502.09992",
    lambda settings, names: "transformer.blocks.0.ff_proj.weight" in names and "transformer.wte.weight" in names,
    _layout,
)
