"""ESM-2 and DPLM: norms before the layers, rotary positions, a dense layer before the head, token dropout (ESM-2)."""

from __future__ import annotations

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.encoder import NOTE, tied
from pymdm.network.layouts.family import Conventions, Family, Layout, Names, Part, Shapes, named
from pymdm.network.layouts.settings import Settings, ids, need, only, transformers_shape

_BLOCK = "esm.encoder.layer.{}"
_NAMES: Names = {
    "embed": "esm.embeddings.word_embeddings",
    "blocks.{}.norm1": f"{_BLOCK}.attention.LayerNorm",
    "blocks.{}.qkv": tuple(f"{_BLOCK}.attention.self.{part}" for part in ("query", "key", "value")),
    "blocks.{}.out": f"{_BLOCK}.attention.output.dense",
    "blocks.{}.norm2": f"{_BLOCK}.LayerNorm",
    "blocks.{}.mlp_in": f"{_BLOCK}.intermediate.dense",
    "blocks.{}.mlp_out": f"{_BLOCK}.output.dense",
    "norm_final": "esm.encoder.emb_layer_norm_after",
    "head_dense": "lm_head.dense",
    "head_norm": "lm_head.layer_norm",
    "head": "lm_head.decoder",
}


def _layout(settings: Settings, shapes: Shapes) -> Layout:
    only(
        settings,
        position_embedding_type="rotary",
        emb_layer_norm_before=(False, None),
        hidden_act="gelu",
        is_decoder=False,
        add_cross_attention=False,
        is_folding_model=(False, None),
        dplm_type=("dplm_esm", None),  # DPLM-2 turns residues and structure tokens by positions of their own
    )
    need(settings, "position_embedding_type", kind=str)  # the class's default is another
    config = ModelConfig(
        **transformers_shape(settings),
        mlp="gelu_erf",
        norm_eps=need(settings, "layer_norm_eps", kind=float),
        norm_bias=True,
        qkv_bias=True,
        out_bias=True,
        tied_head=tied(settings),
        head_transform=True,
        token_dropout=need(settings, "token_dropout", kind=bool),
    )
    found = named(config, _NAMES) | {"head.bias": [Part("lm_head.bias", (config.vocab_size,))]}
    same = [("lm_head.decoder.bias", "lm_head.bias")]
    same += [("lm_head.decoder.weight", "esm.embeddings.word_embeddings.weight")] if config.tied_head else []
    dplm = "dplm_type" in settings or not config.token_dropout
    banned = ids(settings, "bos_token_id", "eos_token_id", "pad_token_id")
    return Layout(
        config,
        found,
        Conventions("dplm", banned=banned, never=("X",), framed=True)
        if dplm
        else Conventions("esm2", banned=banned, framed=True, note=NOTE),
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
