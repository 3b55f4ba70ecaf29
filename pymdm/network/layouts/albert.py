"""ALBERT: BERT whose layers share one set of parameters, with a narrow embedding (rxnmapper's network)."""

from __future__ import annotations

from dataclasses import replace

from pymdm.network.layouts.encoder import EncoderNames, encoder_layout
from pymdm.network.layouts.family import Family, Layout, Shapes, named
from pymdm.network.layouts.settings import Settings, need, only

_NAMES = EncoderNames(
    "albert",
    embed="albert.embeddings.word_embeddings",
    positions="albert.embeddings.position_embeddings",
    types="albert.embeddings.token_type_embeddings",
    embed_norm="albert.embeddings.LayerNorm",
    block="albert.encoder.albert_layer_groups.0.albert_layers.0",
    qkv=("attention.query", "attention.key", "attention.value"),
    out="attention.dense",
    norm1="attention.LayerNorm",
    mlp_in="ffn",
    mlp_out="ffn_output",
    norm2="full_layer_layer_norm",
    dense="predictions.dense",
    head_norm="predictions.LayerNorm",
    bias="predictions.bias",
    decoder="predictions.decoder",
    ignored=(r"albert\.pooler\..*", r"embeddings\.token_type_ids", r"sop_classifier\..*"),
)


def _layout(settings: Settings, shapes: Shapes) -> Layout:
    only(settings, num_hidden_groups=1, inner_group_num=1)
    width, E = need(settings, "hidden_size"), need(settings, "embedding_size")
    layout = encoder_layout(settings, shapes, _NAMES, shared=True, embed_dim=E)
    if E == width:
        raise ValueError(f"embedding_size {E} equal to hidden_size is not computed by the engine, only a smaller one")
    brought = named(layout.config, {"embed_map": "albert.encoder.embedding_hidden_mapping_in"})
    return replace(layout, parameters=layout.parameters | brought)


ALBERT = Family(
    "albert",
    "transformers' AlbertForMaskedLM; Lan et al., arXiv 1909.11942; rxnmapper: Schwaller et al., Science Advances 2021",
    lambda settings, names: settings.get("model_type") == "albert" and "predictions.dense.weight" in names,
    _layout,
)
