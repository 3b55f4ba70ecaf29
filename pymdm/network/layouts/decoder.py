"""The layout of Llama, Qwen2 and Qwen3 that Dream, Dream-Coder, DiffuCoder, Tiny-A2D and (stored so) iLLaDA keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

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

IGNORED = (r"rotary_emb\.inv_freq",)


def rope_base(settings: Settings) -> float:
    """Base of plain rotary positions: `rope_theta`, or inside `rope_parameters`."""
    inner = settings.get("rope_parameters") or settings.get("rope_scaling") or {}
    if not isinstance(inner, Mapping) or inner.get("rope_type", inner.get("type", "default")) != "default":
        raise ValueError(f"scaled rotary positions {inner!r} are not computed by the engine, only plain ones")
    return float(need({**inner, **settings}, "rope_theta", kind=float))


def decoder_layout(
    settings: Settings, *, name: str, qkv_bias: bool, logit_shift: bool, qk_norm: bool = False
) -> Layout:
    """Embedding, blocks with norms before them, SwiGLU, head; of Hugging Face's names."""
    only(settings, hidden_act="silu", use_sliding_window=(False, None), attention_bias=qkv_bias, mlp_bias=False)
    width, vocab, ffn = need(settings, "hidden_size"), need(settings, "vocab_size"), need(settings, "intermediate_size")
    heads = need(settings, "num_attention_heads")
    config = ModelConfig(
        vocab_size=vocab,
        mask_id=need(settings, "mask_token_id"),
        length=need(settings, "max_position_embeddings"),
        width=width,
        layers=need(settings, "num_hidden_layers"),
        heads=heads,
        kv_heads=need(settings, "num_key_value_heads"),
        mlp_width=ffn,
        norm="rmsnorm",
        norm_eps=need(settings, "rms_norm_eps", kind=float),
        mlp="swiglu",
        qkv_bias=qkv_bias,
        head_bias=False,
        tied_head=need(settings, "tie_word_embeddings", kind=bool),
        rope_base=rope_base(settings),
        logit_shift=logit_shift,
        head_dim=settings.get("head_dim") or 0,
        qk_norm="head" if qk_norm else "none",
    )
    queries, keys = heads * config.head_dim, config.kv_heads * config.head_dim
    found = {"embed.weight": [Part("model.embed_tokens.weight", (vocab, width), padded=True)]}
    for i in range(config.layers):
        ours, theirs = f"blocks.{i}", f"model.layers.{i}"
        qkv = {f"{theirs}.self_attn.{n}_proj": rows for n, rows in (("q", queries), ("k", keys), ("v", keys))}
        found |= vector(f"{theirs}.input_layernorm", width)(f"{ours}.norm1")
        found |= joined(qkv, width, qkv_bias)(f"{ours}.qkv")
        found |= linear(f"{theirs}.self_attn.o_proj", width, queries)(f"{ours}.out")
        if qk_norm:
            found |= vector(f"{theirs}.self_attn.q_norm", config.head_dim)(f"{ours}.q_norm")
            found |= vector(f"{theirs}.self_attn.k_norm", config.head_dim)(f"{ours}.k_norm")
        found |= vector(f"{theirs}.post_attention_layernorm", width)(f"{ours}.norm2")
        found |= joined({f"{theirs}.mlp.gate_proj": ffn, f"{theirs}.mlp.up_proj": ffn}, width)(f"{ours}.mlp_in")
        found |= linear(f"{theirs}.mlp.down_proj", width, ffn)(f"{ours}.mlp_out")
    found |= vector("model.norm", width)("norm_final")
    if not config.tied_head:
        found["head.weight"] = [Part("lm_head.weight", (vocab, width), padded=True)]
    same = (("lm_head.weight", "model.embed_tokens.weight"),) if config.tied_head else ()
    ends = ids(settings, "eos_token_id")
    banned = tuple(i for i in ids(settings, "bos_token_id", "pad_token_id") if i not in ends)
    return Layout(config, found, Conventions(name, ends, banned), same, IGNORED)


def _dream(settings: Settings, shapes: Mapping[str, tuple[int, ...]]) -> Layout:
    return decoder_layout(settings, name="dream", qkv_bias=True, logit_shift=True)


def _illada(settings: Settings, shapes: Mapping[str, tuple[int, ...]]) -> Layout:
    return decoder_layout(settings, name="illada", qkv_bias=False, logit_shift=False)


def _a2d(settings: Settings, shapes: Mapping[str, tuple[int, ...]]) -> Layout:
    """Tiny-A2D: an autoregressive model turned into a masked one, its attention in both directions."""
    base = settings["model_type"].removeprefix("a2d-")
    layout = decoder_layout(settings, name="a2d", qkv_bias=base == "qwen2", logit_shift=False, qk_norm=base == "qwen3")
    note = (
        "sampled as a bidirectional network; a block-diffusion checkpoint names the same model_type and is another law"
    )
    return replace(layout, conventions=replace(layout.conventions, note=note))


A2D = Family(
    "a2d",
    "huggingface.co/dllm-hub: Qwen3-0.6B-diffusion-mdlm and others of the dllm project (sampled as bidirectional ones)",
    lambda settings, names: (
        settings.get("model_type") in ("a2d-qwen3", "a2d-qwen2", "a2d-llama") and "model.embed_tokens.weight" in names
    ),
    _a2d,
)
DREAM = Family(
    "dream",
    "huggingface.co/Dream-org/Dream-v0-Base-7B, Dream-Coder-v0-Base-7B, apple/DiffuCoder-7B-Base; arXiv 2508.15487",
    lambda settings, names: settings.get("model_type") == "Dream" and "model.embed_tokens.weight" in names,
    _dream,
)
ILLADA = Family(
    "illada",
    "huggingface.co/GSAI-ML/iLLaDA-8B-Base; Nie et al., arXiv 2606.25331",
    lambda settings, names: settings.get("model_type") in ("illada", "iLLaDA") and "model.embed_tokens.weight" in names,
    _illada,
)
