"""ESM-2 and DPLM: norms before the layers, rotary positions, a dense layer before the head, token dropout (ESM-2)."""

from __future__ import annotations

from collections.abc import Mapping

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.encoder import NOTE, tied
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
        position_embedding_type="rotary",
        emb_layer_norm_before=(False, None),
        hidden_act="gelu",
        is_decoder=False,
        add_cross_attention=False,
        is_folding_model=(False, None),
    )
    need(settings, "position_embedding_type", kind=str)  # the class's default is another
    width, vocab, ffn = need(settings, "hidden_size"), need(settings, "vocab_size"), need(settings, "intermediate_size")
    config = ModelConfig(
        vocab_size=vocab,
        mask_id=need(settings, "mask_token_id"),
        length=need(settings, "max_position_embeddings"),
        width=width,
        layers=need(settings, "num_hidden_layers"),
        heads=need(settings, "num_attention_heads"),
        mlp_width=ffn,
        mlp="gelu_erf",
        norm_eps=need(settings, "layer_norm_eps", kind=float),
        norm_bias=True,
        qkv_bias=True,
        out_bias=True,
        tied_head=tied(settings),
        head_transform=True,
        token_dropout=need(settings, "token_dropout", kind=bool),
    )
    found = {"embed.weight": [Part("esm.embeddings.word_embeddings.weight", (vocab, width))]}
    for i in range(config.layers):
        ours, theirs = f"blocks.{i}", f"esm.encoder.layer.{i}"
        qkv = {f"{theirs}.attention.self.{part}": width for part in ("query", "key", "value")}
        found |= vector(f"{theirs}.attention.LayerNorm", width, True)(f"{ours}.norm1")
        found |= joined(qkv, width, True)(f"{ours}.qkv")
        found |= linear(f"{theirs}.attention.output.dense", width, width, True)(f"{ours}.out")
        found |= vector(f"{theirs}.LayerNorm", width, True)(f"{ours}.norm2")
        found |= linear(f"{theirs}.intermediate.dense", ffn, width, True)(f"{ours}.mlp_in")
        found |= linear(f"{theirs}.output.dense", width, ffn, True)(f"{ours}.mlp_out")
    found |= vector("esm.encoder.emb_layer_norm_after", width, True)("norm_final")
    found |= linear("lm_head.dense", width, width, True)("head_dense") | vector("lm_head.layer_norm", width, True)(
        "head_norm"
    )
    found["head.bias"] = [Part("lm_head.bias", (vocab,))]
    if not config.tied_head:
        found["head.weight"] = [Part("lm_head.decoder.weight", (vocab, width))]
    same = [("lm_head.decoder.bias", "lm_head.bias")]
    same += [("lm_head.decoder.weight", "esm.embeddings.word_embeddings.weight")] if config.tied_head else []
    name = "esm2" if config.token_dropout else "dplm"
    note = NOTE if config.token_dropout else ""
    return Layout(
        config,
        found,
        Conventions(name, banned=ids(settings, "bos_token_id", "eos_token_id", "pad_token_id"), framed=True, note=note),
        tuple(same),
        (
            r"rotary_embeddings\.inv_freq",
            r"esm\.embeddings\.position_embeddings\.weight",
            r"esm\.contact_head\..*",
            r"esm\.pooler\..*",
        ),
    )


ESM = Family(
    "esm2, dplm",
    "transformers' EsmForMaskedLM: facebook/esm2_*, and airkingbd/dplm_* without token dropout; arXiv 2402.18567",
    lambda settings, names: settings.get("model_type") == "esm" and "esm.encoder.emb_layer_norm_after.weight" in names,
    _layout,
)
