"""BERT and RoBERTa: norms behind the residual sums, learned positions, a dense layer before the head."""

from __future__ import annotations

import re
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

NOTE = "trained with few masks in a text: what is known around a hole matters, so give a frame or a prompt"
_ACTS = {"gelu": "gelu_erf", "gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "gelu_fast": "gelu"}


def activation(settings: Settings) -> str:
    """Our name of `hidden_act`."""
    name = need(settings, "hidden_act", kind=str)
    if name not in _ACTS:
        raise ValueError(f"hidden_act {name!r} is not computed by the engine, only {', '.join(_ACTS)}")
    return _ACTS[name]


def tied(settings: Settings) -> bool:
    """Whether the head is the embedding; transformers' own default, for settings that do not say."""
    return bool(settings.get("tie_word_embeddings", True))


def _layout(
    settings: Settings,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    name: str,
    root: str,
    offset: int,
    head: Mapping[str, str],
) -> Layout:
    """`offset`: rows of the table of positions before the first; `head`: names of the head's parts."""
    only(settings, position_embedding_type=("absolute", None), is_decoder=False, add_cross_attention=False)
    width, vocab, ffn = need(settings, "hidden_size"), need(settings, "vocab_size"), need(settings, "intermediate_size")
    table = need(settings, "max_position_embeddings")
    config = ModelConfig(
        vocab_size=vocab,
        mask_id=need(settings, "mask_token_id"),
        length=table - offset,
        width=width,
        layers=need(settings, "num_hidden_layers"),
        heads=need(settings, "num_attention_heads"),
        mlp_width=ffn,
        mlp=activation(settings),
        norm_eps=need(settings, "layer_norm_eps", kind=float),
        norm_bias=True,
        qkv_bias=True,
        out_bias=True,
        tied_head=tied(settings),
        positions="learned",
        embed_norm=True,
        post_norm=True,
        head_transform=True,
    )
    types = need(settings, "type_vocab_size")
    found = {"embed.weight": [Part(f"{root}.embeddings.word_embeddings.weight", (vocab, width))]}
    found |= vector(f"{root}.embeddings.LayerNorm", width, True)("embed_norm")
    for i in range(config.layers):
        ours, theirs = f"blocks.{i}", f"{root}.encoder.layer.{i}"
        qkv = {f"{theirs}.attention.self.{part}": width for part in ("query", "key", "value")}
        found |= joined(qkv, width, True)(f"{ours}.qkv")
        found |= linear(f"{theirs}.attention.output.dense", width, width, True)(f"{ours}.out")
        found |= vector(f"{theirs}.attention.output.LayerNorm", width, True)(f"{ours}.norm1")
        found |= linear(f"{theirs}.intermediate.dense", ffn, width, True)(f"{ours}.mlp_in")
        found |= linear(f"{theirs}.output.dense", width, ffn, True)(f"{ours}.mlp_out")
        found |= vector(f"{theirs}.output.LayerNorm", width, True)(f"{ours}.norm2")
    found |= linear(head["dense"], width, width, True)("head_dense") | vector(head["norm"], width, True)("head_norm")
    own = not config.tied_head and f"{head['decoder']}.bias" in shapes  # the decoder's bias is the one that counts
    found["head.bias"] = [Part(f"{head['decoder']}.bias" if own else head["bias"], (vocab,))]
    if not config.tied_head:
        found["head.weight"] = [Part(f"{head['decoder']}.weight", (vocab, width))]
    same = [] if own else [(f"{head['decoder']}.bias", head["bias"])]
    same += [(f"{head['decoder']}.weight", f"{root}.embeddings.word_embeddings.weight")] if config.tied_head else []
    positions = [
        Part(f"{root}.embeddings.position_embeddings.weight", (table, width), offset, table - offset),
        Part(f"{root}.embeddings.token_type_embeddings.weight", (types, width), 0, 1),
    ]
    banned = ids(settings, "bos_token_id", "eos_token_id", "pad_token_id")
    return Layout(
        config,
        found,
        Conventions(name, banned=banned, framed=True, note=NOTE),
        tuple(same),
        (
            rf"{root}\.pooler\..*",
            r"embeddings\.token_type_ids",
            r"cls\.(?!predictions).*",
            *([re.escape(head["bias"])] if own else []),
        ),
        {"positions.weight": positions},
    )


def _bert(settings: Settings, shapes: Mapping[str, tuple[int, ...]]) -> Layout:
    root = "cls.predictions"
    head = {"dense": f"{root}.transform.dense", "norm": f"{root}.transform.LayerNorm", "bias": f"{root}.bias"}
    return _layout(settings, shapes, name="bert", root="bert", offset=0, head=head | {"decoder": f"{root}.decoder"})


def _roberta(settings: Settings, shapes: Mapping[str, tuple[int, ...]]) -> Layout:
    head = {
        "dense": "lm_head.dense",
        "norm": "lm_head.layer_norm",
        "bias": "lm_head.bias",
        "decoder": "lm_head.decoder",
    }
    offset = need(settings, "pad_token_id") + 1
    return _layout(settings, shapes, name="roberta", root="roberta", offset=offset, head=head)


BERT = Family(
    "bert",
    "transformers' BertForMaskedLM and BertForPreTraining; Devlin et al., arXiv 1810.04805",
    lambda settings, names: settings.get("model_type") == "bert" and "cls.predictions.transform.dense.weight" in names,
    _bert,
)
ROBERTA = Family(
    "roberta",
    "transformers' RobertaForMaskedLM and XLMRobertaForMaskedLM; Liu et al., arXiv 1907.11692",
    lambda settings, names: (
        settings.get("model_type") in ("roberta", "xlm-roberta") and "lm_head.dense.weight" in names
    ),
    _roberta,
)
