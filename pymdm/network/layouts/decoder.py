"""The layout of Llama, Qwen2 and Qwen3 that Dream, Dream-Coder, DiffuCoder, Tiny-A2D and (stored so) iLLaDA keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.family import Conventions, Family, Layout, Names, Shapes, named
from pymdm.network.layouts.settings import Settings, ids, need, only, transformers_shape

IGNORED = (r"rotary_emb\.inv_freq",)
_ATTENTION, _MLP = "model.layers.{}.self_attn", "model.layers.{}.mlp"
NAMES: Names = {
    "embed": "model.embed_tokens",
    "blocks.{}.norm1": "model.layers.{}.input_layernorm",
    "blocks.{}.qkv": (f"{_ATTENTION}.q_proj", f"{_ATTENTION}.k_proj", f"{_ATTENTION}.v_proj"),
    "blocks.{}.q_norm": f"{_ATTENTION}.q_norm",
    "blocks.{}.k_norm": f"{_ATTENTION}.k_norm",
    "blocks.{}.out": f"{_ATTENTION}.o_proj",
    "blocks.{}.norm2": "model.layers.{}.post_attention_layernorm",
    "blocks.{}.mlp_in": (f"{_MLP}.gate_proj", f"{_MLP}.up_proj"),
    "blocks.{}.mlp_out": f"{_MLP}.down_proj",
    "norm_final": "model.norm",
    "head": "lm_head",
}


def rope_base(settings: Settings) -> float:
    """Base of plain rotary positions: `rope_theta`, or inside `rope_parameters`."""
    inner = settings.get("rope_parameters") or settings.get("rope_scaling") or {}
    if not isinstance(inner, Mapping) or inner.get("rope_type", inner.get("type", "default")) != "default":
        raise ValueError(f"scaled rotary positions {inner!r} are not computed by the engine, only plain ones")
    return float(need({**inner, **settings}, "rope_theta", kind=float))


def decoder_layout(
    settings: Settings,
    *,
    name: str,
    qkv_bias: bool,
    logit_shift: bool,
    qk_norm: bool = False,
    names: Names = NAMES,
    **switches: Any,
) -> Layout:
    """Embedding, blocks with norms before them, SwiGLU, head; of Hugging Face's names.

    Args:
        settings: of the checkpoint.
        name: of the family.
        qkv_bias, logit_shift: as in `ModelConfig`.
        qk_norm: norms of each head's queries and keys.
        names: of the file's layers.
        switches: fields of `ModelConfig` beside those that the settings give, or in their place.
    """
    only(settings, hidden_act="silu", use_sliding_window=(False, None), attention_bias=qkv_bias, mlp_bias=False)
    own = transformers_shape(settings) | dict(
        kv_heads=need(settings, "num_key_value_heads"),
        norm="rmsnorm",
        norm_eps=need(settings, "rms_norm_eps", kind=float),
        mlp="swiglu",
        qkv_bias=qkv_bias,
        head_bias=False,
        tied_head=need(settings, "tie_word_embeddings", kind=bool),
        logit_shift=logit_shift,
        head_dim=settings.get("head_dim") or 0,
        qk_norm="head" if qk_norm else "none",
    )
    if "rope_base" not in switches:
        own["rope_base"] = rope_base(settings)
    config = ModelConfig(**(own | switches))
    same = ((f"{names['head']}.weight", f"{names['embed']}.weight"),) if config.tied_head else ()
    return Layout(config, named(config, names, padded=True), decoder_conventions(settings, name), same, IGNORED)


def decoder_conventions(settings: Settings, name: str) -> Conventions:
    """A text ends at `eos_token_id`; the other special tokens of the settings are never drawn."""
    ends = ids(settings, "eos_token_id")
    return Conventions(name, ends, tuple(i for i in ids(settings, "bos_token_id", "pad_token_id") if i not in ends))


def _dream(settings: Settings, shapes: Shapes) -> Layout:
    if settings.get("block_size") is not None:  # DreamReasoner: Dream's model_type, blocks, scores at the same position
        raise ValueError(
            f"its attention is block-causal in blocks of {settings['block_size']}, which Dream's layout has not"
        )
    return decoder_layout(settings, name="dream", qkv_bias=True, logit_shift=True)


def _illada(settings: Settings, shapes: Shapes) -> Layout:
    return decoder_layout(settings, name="illada", qkv_bias=False, logit_shift=False)


def _a2d(settings: Settings, shapes: Shapes) -> Layout:
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
