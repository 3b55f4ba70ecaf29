"""ModernBERT: windows in two of three layers, a rotary base for each kind, GEGLU, no norm before the first attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.encoder import NOTE, tied
from pymdm.network.layouts.family import Conventions, Family, Layout, Part, Settings, ids, linear, need, only, vector

FULL, LOCAL = "full_attention", "sliding_attention"


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


def _layout(settings: Settings, shapes: Mapping[str, tuple[int, ...]]) -> Layout:
    only(settings, hidden_activation="gelu", classifier_activation="gelu", attention_bias=False, mlp_bias=False)
    width, vocab, ffn = need(settings, "hidden_size"), need(settings, "vocab_size"), need(settings, "intermediate_size")
    bias = need(settings, "norm_bias", kind=bool)
    config = ModelConfig(
        vocab_size=vocab,
        mask_id=need(settings, "mask_token_id"),
        length=need(settings, "max_position_embeddings"),
        width=width,
        layers=need(settings, "num_hidden_layers"),
        heads=need(settings, "num_attention_heads"),
        mlp_width=ffn,
        mlp="geglu",
        norm_eps=need(settings, "norm_eps", kind=float),
        norm_bias=bias,
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
    found = {"embed.weight": [Part("model.embeddings.tok_embeddings.weight", (vocab, width))]}
    found |= vector("model.embeddings.norm", width, bias)("embed_norm")
    for i in range(config.layers):
        ours, theirs = f"blocks.{i}", f"model.layers.{i}"
        found |= vector(f"{theirs}.attn_norm", width, bias)(f"{ours}.norm1") if i > 0 else {}
        found |= linear(f"{theirs}.attn.Wqkv", 3 * width, width)(f"{ours}.qkv")
        found |= linear(f"{theirs}.attn.Wo", width, width)(f"{ours}.out")
        found |= vector(f"{theirs}.mlp_norm", width, bias)(f"{ours}.norm2")
        found |= linear(f"{theirs}.mlp.Wi", 2 * ffn, width)(f"{ours}.mlp_in")
        found |= linear(f"{theirs}.mlp.Wo", width, ffn)(f"{ours}.mlp_out")
    found |= vector("model.final_norm", width, bias)("norm_final") | vector("head.norm", width, bias)("head_norm")
    dense = need(settings, "classifier_bias", kind=bool)
    found |= linear("head.dense", width, width, dense)("head_dense")
    if config.head_bias:
        found["head.bias"] = [Part("decoder.bias", (vocab,))]
    if not config.tied_head:
        found["head.weight"] = [Part("decoder.weight", (vocab, width))]
    same = (("decoder.weight", "model.embeddings.tok_embeddings.weight"),) if config.tied_head else ()
    banned = ids(settings, "bos_token_id", "eos_token_id", "pad_token_id", "cls_token_id", "sep_token_id")
    return Layout(
        config,
        found,
        Conventions("modernbert", banned=banned, framed=True, note=NOTE),
        same,
        zeros={} if dense else {"head_dense.bias": (width,)},
    )


MODERNBERT = Family(
    "modernbert",
    "transformers' ModernBertForMaskedLM; Warner et al., arXiv 2412.13663",
    lambda settings, names: settings.get("model_type") == "modernbert" and "head.dense.weight" in names,
    _layout,
)
