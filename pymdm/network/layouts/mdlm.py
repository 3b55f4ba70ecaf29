"""MDLM and BD3-LM: a DiT with adaLN on sigma(t), or at a constant 0; BD3-LM sees blocks up to its own."""

from __future__ import annotations

from collections.abc import Collection

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.family import Conventions, Family, Layout, Names, Part, Shapes, named
from pymdm.network.layouts.settings import Settings, need, only

_NAMES: Names = {
    "blocks.{}.norm1": "blocks.{}.norm1",
    "blocks.{}.qkv": "blocks.{}.attn_qkv",
    "blocks.{}.out": "blocks.{}.attn_out",
    "blocks.{}.norm2": "blocks.{}.norm2",
    "blocks.{}.mlp_in": "blocks.{}.mlp.0",
    "blocks.{}.mlp_out": "blocks.{}.mlp.2",
    "blocks.{}.ada": "blocks.{}.adaLN_modulation",
    "norm_final": "output_layer.norm_final",
    "time_mlp.0": "sigma_map.mlp.0",
    "time_mlp.2": "sigma_map.mlp.2",
    "ada_final": "output_layer.adaLN_modulation",
    "head": "output_layer.linear",
}


def dit_parameters(config: ModelConfig) -> dict[str, list[Part]]:
    """The names that MDLM, SEDD and RADD share; adaLN and norm biases where the config has them."""
    embed = Part("vocab_embed.embedding", (config.vocab_size, config.width), padded=True)
    return {"embed.weight": [embed]} | named(config, _NAMES, padded=True)


def is_dit(names: Collection[str]) -> bool:
    return "vocab_embed.embedding" in names and "blocks.0.attn_qkv.weight" in names


def _layout(settings: Settings, shapes: Shapes) -> Layout:
    only(settings, causal=False, adaln=True)
    vocab, length = need(settings, "vocab_size"), need(settings, "model_length")
    block = need(settings, "block_size") if settings.get("block_size") is not None else length
    blocks = {"attention": "block", "block_length": block} if block < length else {}
    if blocks:
        only(settings, cross_attn=True)
    config = ModelConfig(
        vocab_size=vocab,
        mask_id=vocab - 1,
        length=length,
        width=need(settings, "hidden_dim"),
        layers=need(settings, "n_blocks"),
        heads=need(settings, "n_heads"),
        cond_dim=need(settings, "cond_dim"),
        conditioning="time" if need(settings, "time_conditioning", kind=bool) else "constant",
        time_input="sigma",
        **blocks,
    )
    note = "trained with its first token, the start of a text, never masked: give a prompt that begins with it"
    return Layout(
        config,
        dit_parameters(config),
        Conventions("bd3lm", note=note) if blocks else Conventions("mdlm"),
        ignored=(r"sampling_eps_(min|max)", r"rotary_emb\.inv_freq"),
    )


MDLM = Family(
    "mdlm",
    "huggingface.co/kuleshov-group/mdlm-owt; Sahoo et al., arXiv 2406.07524; BD3-LM: arXiv 2503.09573",
    lambda settings, names: is_dit(names) and settings.get("model_type") in ("mdlm", "bd3lm"),
    _layout,
)
