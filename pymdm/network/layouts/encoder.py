"""BERT and RoBERTa: norms behind the residual sums, learned positions, a dense layer before the head."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.family import Conventions, Family, Layout, Part, Shapes, named
from pymdm.network.layouts.settings import Settings, ids, need, only, transformers_shape

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


@dataclass(frozen=True)
class EncoderNames:
    """What a file calls the parts of such a network; `block` has {} for the layer's number.

    `offset` rows of the table of positions stand before the first one's; `types` is the table of token types, if any.
    """

    name: str
    embed: str
    positions: str
    types: str | None
    embed_norm: str
    block: str
    qkv: tuple[str, str, str]
    out: str
    norm1: str
    mlp_in: str
    mlp_out: str
    norm2: str
    dense: str
    head_norm: str
    bias: str  # the head's, whole name
    decoder: str
    offset: int = 0
    ignored: tuple[str, ...] = ()


def encoder_layout(
    settings: Settings, shapes: Shapes, n: EncoderNames, shared: bool = False, embed_dim: int = 0
) -> Layout:
    """The layout of a network of this kind; with `shared` one layer's parameters stand for all, as in ALBERT."""
    only(settings, position_embedding_type=("absolute", None), is_decoder=False, add_cross_attention=False)
    config = ModelConfig(
        **transformers_shape(settings) | {"length": need(settings, "max_position_embeddings") - n.offset},
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
        shared_layers=shared,
        embed_dim=embed_dim or need(settings, "hidden_size"),
    )
    V, E = config.vocab_size, config.embed_dim
    names: dict[str, str | tuple[str, ...]] = {"blocks.{}.qkv": tuple(f"{n.block}.{part}" for part in n.qkv)}
    names |= {f"blocks.{{}}.{p}": f"{n.block}.{getattr(n, p)}" for p in ("out", "norm1", "mlp_in", "mlp_out", "norm2")}
    names |= {"embed": n.embed, "embed_norm": n.embed_norm, "head_dense": n.dense, "head_norm": n.head_norm}
    names["head"] = n.decoder
    found = named(config, names)
    own = not config.tied_head and f"{n.decoder}.bias" in shapes  # the decoder's bias is the one that counts
    found["head.bias"] = [Part(f"{n.decoder}.bias" if own else n.bias, (V,))]
    same = [] if own else [(f"{n.decoder}.bias", n.bias)]
    same += [(f"{n.decoder}.weight", f"{n.embed}.weight")] if config.tied_head else []
    positions = [Part(f"{n.positions}.weight", (config.length + n.offset, E), n.offset, config.length)]
    if n.types is not None:
        positions.append(Part(f"{n.types}.weight", (need(settings, "type_vocab_size"), E), 0, 1))
    banned = ids(settings, "bos_token_id", "eos_token_id", "pad_token_id")
    conventions = Conventions(n.name, banned=banned, framed=True, note=NOTE)
    ignored = (*n.ignored, *([re.escape(n.bias)] if own else []))
    return Layout(config, found, conventions, tuple(same), ignored, {"positions.weight": positions})


def _hugging_face(name: str, root: str, offset: int, **head: str) -> EncoderNames:
    """transformers' names of BERT and RoBERTa."""
    return EncoderNames(
        name,
        embed=f"{root}.embeddings.word_embeddings",
        positions=f"{root}.embeddings.position_embeddings",
        types=f"{root}.embeddings.token_type_embeddings",
        embed_norm=f"{root}.embeddings.LayerNorm",
        block=f"{root}.encoder.layer.{{}}",
        qkv=("attention.self.query", "attention.self.key", "attention.self.value"),
        out="attention.output.dense",
        norm1="attention.output.LayerNorm",
        mlp_in="intermediate.dense",
        mlp_out="output.dense",
        norm2="output.LayerNorm",
        offset=offset,
        ignored=(rf"{root}\.pooler\..*", r"embeddings\.token_type_ids", r"cls\.(?!predictions).*"),
        **head,
    )


def _bert(settings: Settings, shapes: Shapes) -> Layout:
    root = "cls.predictions"
    head = {"dense": f"{root}.transform.dense", "head_norm": f"{root}.transform.LayerNorm", "bias": f"{root}.bias"}
    return encoder_layout(settings, shapes, _hugging_face("bert", "bert", 0, decoder=f"{root}.decoder", **head))


def _roberta(settings: Settings, shapes: Shapes) -> Layout:
    head = {"dense": "lm_head.dense", "head_norm": "lm_head.layer_norm", "bias": "lm_head.bias"}
    names = _hugging_face("roberta", "roberta", need(settings, "pad_token_id") + 1, decoder="lm_head.decoder", **head)
    return encoder_layout(settings, shapes, names)


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
