"""ModernBERT: windows in two of three layers, a rotary base for each kind, GEGLU, no norm before the first attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.encoder import NOTE, tied
from pymdm.network.layouts.family import Conventions, Family, Layout, Names, Shapes, named
from pymdm.network.layouts.settings import Settings, ids, need, only, transformers_shape

FULL, LOCAL = "full_attention", "sliding_attention"
_NAMES: Names = {
    "embed": "model.embeddings.tok_embeddings",
    "embed_norm": "model.embeddings.norm",
    "blocks.{}.norm1": "model.layers.{}.attn_norm",  # but in the first
    "blocks.{}.qkv": "model.layers.{}.attn.Wqkv",
    "blocks.{}.out": "model.layers.{}.attn.Wo",
    "blocks.{}.norm2": "model.layers.{}.mlp_norm",
    "blocks.{}.mlp_in": "model.layers.{}.mlp.Wi",
    "blocks.{}.mlp_out": "model.layers.{}.mlp.Wo",
    "norm_final": "model.final_norm",
    "head_dense": "head.dense",
    "head_norm": "head.norm",
    "head": "decoder",
}


def _full_every(settings: Settings) -> int:
    """n where layers 0, n, 2n, ... see everything: from the list of layers' kinds, or said outright."""
    kinds = settings.get("layer_types")
    if kinds is None:
        every: int = need(settings, "global_attn_every_n_layers")
        return every
    layers = need(settings, "num_hidden_layers")
    for every in range(1, layers + 1):
        if kinds == [FULL if i % every == 0 else LOCAL for i in range(layers)]:
            return every
    raise ValueError(
        f"layer_types {kinds!r} is not computed by the engine, only one full_attention every so many layers"
    )


def _rope_base(settings: Settings, kind: str, key: str) -> float:
    """Base of the plain rotary positions of layers of that kind."""
    parameters: Any = settings.get("rope_parameters") or {}
    inner = parameters.get(kind) or {} if isinstance(parameters, Mapping) else None
    if not isinstance(inner, Mapping) or inner.get("rope_type", "default") != "default":
        raise ValueError(f"scaled rotary positions {inner!r} are not computed by the engine, only plain ones")
    return float(need({key: inner.get("rope_theta"), "old": settings.get(key)}, key, "old", kind=float))


def _layout(settings: Settings, shapes: Shapes) -> Layout:
    only(settings, hidden_activation="gelu", classifier_activation="gelu", attention_bias=False, mlp_bias=False)
    config = ModelConfig(
        **transformers_shape(settings),
        mlp="geglu",
        norm_eps=need(settings, "norm_eps", kind=float),
        norm_bias=need(settings, "norm_bias", kind=bool),
        head_bias=need(settings, "decoder_bias", kind=bool),
        tied_head=tied(settings),
        embed_norm=True,
        head_transform=True,
        first_norm=False,
        window=need(settings, "local_attention") // 2,
        full_every=_full_every(settings),
        rope_base=_rope_base(settings, FULL, "global_rope_theta"),
        local_rope_base=_rope_base(settings, LOCAL, "local_rope_theta"),
    )
    found, zeros = named(config, _NAMES), dict[str, tuple[int, ...]]()
    if not need(settings, "classifier_bias", kind=bool):
        del found["head_dense.bias"]
        zeros["head_dense.bias"] = (config.width,)
    same = (("decoder.weight", "model.embeddings.tok_embeddings.weight"),) if config.tied_head else ()
    banned = ids(settings, "bos_token_id", "eos_token_id", "pad_token_id", "cls_token_id", "sep_token_id")
    return Layout(
        config,
        found,
        Conventions("modernbert", banned=banned, framed=True, note=NOTE),
        same,
        zeros=zeros,
    )


MODERNBERT = Family(
    "modernbert",
    "transformers' ModernBertForMaskedLM; Warner et al., arXiv 2412.13663",
    lambda settings, names: settings.get("model_type") == "modernbert" and "head.dense.weight" in names,
    _layout,
)
