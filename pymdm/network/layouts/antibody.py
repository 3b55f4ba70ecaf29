"""Encoders of antibodies in their own programs' names: AbLang, and Sapiens (fairseq's RoBERTa)."""

from __future__ import annotations

from pymdm.network.layouts.encoder import EncoderNames, encoder_layout
from pymdm.network.layouts.family import Family, Layout, Shapes
from pymdm.network.layouts.settings import Settings, need

_ABLANG = EncoderNames(
    "ablang",
    embed="AbRep.AbEmbeddings.AAEmbeddings",
    positions="AbRep.AbEmbeddings.PositionEmbeddings",
    types=None,
    embed_norm="AbRep.AbEmbeddings.LayerNorm",
    block="AbRep.EncoderBlocks.Layers.{}",
    qkv=(
        "MultiHeadAttention.Attention.q_proj",
        "MultiHeadAttention.Attention.k_proj",
        "MultiHeadAttention.Attention.v_proj",
    ),
    out="MultiHeadAttention.Attention.out_proj",
    norm1="MHALayerNorm",
    mlp_in="IntermediateLayer.expand_dense",
    mlp_out="IntermediateLayer.dense_dense",
    norm2="IntermediateLayer.LayerNorm",
    dense="AbHead.dense",
    head_norm="AbHead.layer_norm",
    bias="AbHead.bias",
    decoder="AbHead.decoder",
    offset=1,  # row 0 is padding's
)


def _ablang(settings: Settings, shapes: Shapes) -> Layout:
    return encoder_layout({**settings, "tie_word_embeddings": False}, shapes, _ABLANG)


def _fairseq(settings: Settings, shapes: Shapes) -> Layout:
    root = "encoder" if "encoder.lm_head.dense.weight" in shapes else "decoder"
    body = f"{root}.sentence_encoder"
    norm = next(
        n for n in ("layernorm_embedding", "emb_layer_norm") if n == "emb_layer_norm" or f"{body}.{n}.weight" in shapes
    )
    names = EncoderNames(
        "fairseq",
        embed=f"{body}.embed_tokens",
        positions=f"{body}.embed_positions",
        types=None,
        embed_norm=f"{body}.{norm}",
        block=f"{body}.layers.{{}}",
        qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        out="self_attn.out_proj",
        norm1="self_attn_layer_norm",
        mlp_in="fc1",
        mlp_out="fc2",
        norm2="final_layer_norm",
        dense=f"{root}.lm_head.dense",
        head_norm=f"{root}.lm_head.layer_norm",
        bias=f"{root}.lm_head.bias",
        decoder=f"{root}.lm_head",
        offset=2,  # fairseq's positions begin behind its padding id, 1
        ignored=(r".*\.(?:version|_float_tensor)", r".*classification_heads\..*"),
    )
    ours = {
        "hidden_size": "encoder_embed_dim",
        "num_hidden_layers": "encoder_layers",
        "num_attention_heads": "encoder_attention_heads",
        "intermediate_size": "encoder_ffn_embed_dim",
    }
    translated = {word: need(settings, theirs) for word, theirs in ours.items()} | {
        "vocab_size": shapes.get(f"{body}.embed_tokens.weight", (0,))[0],
        "max_position_embeddings": need(settings, "max_positions") + 2,
        "hidden_act": need(settings, "activation_fn", kind=str),
        "layer_norm_eps": 1e-5,  # torch's own, which fairseq takes
        "tie_word_embeddings": not settings.get("untie_weights_roberta", False),
        "mask_token_id": settings.get("mask_token_id"),
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
    }
    return encoder_layout(translated, shapes, names)


ABLANG = Family(
    "ablang",
    "Olsen, Moal and Deane, Bioinformatics Advances 2022: hparams.json, vocab.json, amodel.pt",
    lambda settings, names: "AbRep.AbEmbeddings.AAEmbeddings.weight" in names and "AbHead.dense.weight" in names,
    _ablang,
)
FAIRSEQ = Family(
    "fairseq",
    "fairseq's RoBERTa, its settings (args) as config.json; Sapiens: Prihoda et al., mAbs 2022",
    lambda settings, names: any(f"{r}.sentence_encoder.embed_tokens.weight" in names for r in ("encoder", "decoder")),
    _fairseq,
)
