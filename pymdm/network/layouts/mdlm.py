"""MDLM, and BD3-LM's checkpoints with one block as long as the sequence: a DiT with adaLN on sigma(t), or at a constant 0."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.family import Conventions, Family, Layout, Part, Settings, linear, need, only, vector


def dit_parameters(config: ModelConfig) -> dict[str, list[Part]]:
    """The names that MDLM, SEDD and RADD share; adaLN and norm biases where the config has them."""
    D, F, C, bias = config.width, config.mlp_width, config.cond_dim, config.norm_bias
    ada = config.conditioning != "none"
    found = {"embed.weight": [Part("vocab_embed.embedding", (config.vocab_size, D), padded=True)]}
    for i in range(config.layers):
        ours, theirs = f"blocks.{i}", f"blocks.{i}"
        found |= vector(f"{theirs}.norm1", D, bias)(f"{ours}.norm1")
        found |= linear(f"{theirs}.attn_qkv", 3 * D, D)(f"{ours}.qkv")
        found |= linear(f"{theirs}.attn_out", D, D)(f"{ours}.out")
        found |= vector(f"{theirs}.norm2", D, bias)(f"{ours}.norm2")
        found |= linear(f"{theirs}.mlp.0", F, D, True)(f"{ours}.mlp_in")
        found |= linear(f"{theirs}.mlp.2", D, F, True)(f"{ours}.mlp_out")
        if ada:
            found |= linear(f"{theirs}.adaLN_modulation", 6 * D, C, True)(f"{ours}.ada")
    found |= vector("output_layer.norm_final", D, bias)("norm_final")
    found["head.weight"] = [Part("output_layer.linear.weight", (config.vocab_size, D), padded=True)]
    found["head.bias"] = [Part("output_layer.linear.bias", (config.vocab_size,), padded=True)]
    if ada:
        found |= linear("sigma_map.mlp.0", C, 256, True)("time_mlp.0") | linear("sigma_map.mlp.2", C, C, True)(
            "time_mlp.2"
        )
        found |= linear("output_layer.adaLN_modulation", 2 * D, C, True)("ada_final")
    return found


def is_dit(names: Collection[str]) -> bool:
    return "vocab_embed.embedding" in names and "blocks.0.attn_qkv.weight" in names


def _layout(settings: Settings, shapes: Mapping[str, tuple[int, ...]]) -> Layout:
    only(settings, causal=False, adaln=True)
    vocab, length = need(settings, "vocab_size"), need(settings, "model_length")
    block = settings.get("block_size", length)
    if block != length:
        raise ValueError(
            f"its attention is block-causal in blocks of {block}, which load does not map to the engine yet; "
            "pass the published model as a callable"
        )
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
    )
    return Layout(
        config,
        dit_parameters(config),
        Conventions("mdlm"),
        ignored=(r"sampling_eps_(min|max)", r"rotary_emb\.inv_freq"),
    )


MDLM = Family(
    "mdlm",
    "huggingface.co/kuleshov-group/mdlm-owt; Sahoo et al., arXiv 2406.07524; BD3-LM: arXiv 2503.09573",
    lambda settings, names: is_dit(names) and settings.get("model_type") in ("mdlm", "bd3lm"),
    _layout,
)
