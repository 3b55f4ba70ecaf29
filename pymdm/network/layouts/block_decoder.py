"""Block diffusion on the layouts of Qwen3, Qwen2 and Ministral: SDAR and TraDo, Fast-dLLM v2, Nemotron-Labs-Diffusion.

A row sees the blocks before its own and all of its own, masks included. Blocks are counted from position 0, also where a
prompt ends inside one: its tokens are then part of the first block, as in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pymdm.network.layouts.decoder import NAMES, decoder_layout
from pymdm.network.layouts.family import Family, Layout, Names, Shapes
from pymdm.network.layouts.settings import Settings, need

SDAR_BLOCK, SDAR_MASK = 4, 151669  # of the released models, whose config.json names neither
FAST_BLOCK, FAST_MASK = 32, 151665  # defaults of the published forward


def _renamed(theirs: str | tuple[str, ...]) -> str | tuple[str, ...]:
    if isinstance(theirs, tuple):
        return tuple(name.replace("model.", "encoder.") for name in theirs)
    return "diffusion_head" if theirs == "lm_head" else theirs.replace("model.", "encoder.")


_ENCODER: Names = {ours: _renamed(theirs) for ours, theirs in NAMES.items()}


def _with_mask(settings: Settings, mask: int) -> Settings:
    """The settings with the released models' mask where neither they nor a tokenizer name one."""
    if settings.get("mask_token_id") is not None or need(settings, "vocab_size") <= mask:
        return settings
    return {**settings, "mask_token_id": mask}


def _noted(layout: Layout, note: str) -> Layout:
    return replace(layout, conventions=replace(layout.conventions, note=note))


def _sdar(settings: Settings, shapes: Shapes) -> Layout:
    """The logits of a position are for that position."""
    named = settings.get("block_size", settings.get("block_length"))
    block = SDAR_BLOCK if named is None else need(settings, "block_size", "block_length")
    layout = decoder_layout(
        _with_mask(settings, SDAR_MASK), name="sdar", qkv_bias=False, logit_shift=False, qk_norm=True, attention="block",
        block_length=block,
    )  # fmt: skip
    if named is not None:
        return layout
    return _noted(layout, f"blocks of {SDAR_BLOCK}, as released; another size is given by block_size in config=")


def _fast(settings: Settings, shapes: Shapes) -> Layout:
    """The logits of a position are for the next one: those of a block's first position stand in the block before."""
    block = FAST_BLOCK if settings.get("bd_size") is None else need(settings, "bd_size")
    return decoder_layout(
        _with_mask(settings, FAST_MASK), name="fast-dllm-v2", qkv_bias=True, logit_shift=True, attention="block",
        block_length=block,
    )  # fmt: skip


def _nemotron(settings: Settings, shapes: Shapes) -> Layout:
    """Finished blocks see the positions up to their own; the logits of a position are for that position.

    Beyond the positions before YaRN's scaling the network multiplies its queries by a factor that grows with the position,
    which the engine does not compute: its length ends there.
    """
    if settings.get("dlm_paradigm", "block_diff") not in ("bidirectional", "block_diff"):
        raise ValueError(f"dlm_paradigm {settings['dlm_paradigm']!r} is not computed by the engine, only 'block_diff'")
    if settings.get("sliding_window") is not None:
        raise ValueError("a sliding_window is not computed by the engine")
    layout = decoder_layout(
        settings, name="nemotron-labs-diffusion", qkv_bias=False, logit_shift=False, names=_ENCODER, attention="block",
        block_length=need(settings, "block_size"), causal_context=True, **_yarn(settings),
    )  # fmt: skip
    return _noted(
        layout,
        "each token is drawn by its block's masked row; the published loop draws a block's first one by a causal row",
    )


def _yarn(settings: Settings) -> dict[str, Any]:
    """Switches for scaled rotary positions; none where they are plain."""
    rope = settings.get("rope_parameters")
    if not isinstance(rope, Mapping) or rope.get("rope_type", rope.get("type")) != "yarn":
        return {}
    for key, value in (("beta_fast", 32.0), ("beta_slow", 1.0)):
        if rope.get(key, value) != value:
            raise ValueError(f"YaRN's {key} {rope[key]!r} is not computed by the engine, only {value}")
    if rope.get("mscale") is None or rope.get("mscale") != rope.get("mscale_all_dim"):
        raise ValueError("YaRN's temperature is not computed by the engine: mscale must equal mscale_all_dim")
    factor, length = need(rope, "factor", kind=float), need(rope, "original_max_position_embeddings")
    return {
        "rope_base": need(rope, "rope_theta", kind=float),
        "length": min(length, need(settings, "max_position_embeddings")),
        **({"yarn": factor, "yarn_length": length} if factor != 1 else {}),
    }


SDAR = Family(
    "sdar",
    "huggingface.co/JetLM/SDAR-8B-Chat (github.com/JetAstra/SDAR), Gen-Verse/TraDo-8B-Instruct; arXiv 2510.06303, 2509.06949",
    lambda settings, names: settings.get("model_type") in ("sdar", "trado") and "model.embed_tokens.weight" in names,
    _sdar,
)
FAST_DLLM = Family(
    "fast-dllm-v2",
    "huggingface.co/Efficient-Large-Model/Fast_dLLM_v2_7B; Wu et al., arXiv 2509.26328",
    lambda settings, names: (
        str(settings.get("model_type")).lower() == "fast_dllm_qwen" and "model.embed_tokens.weight" in names
    ),
    _fast,
)
NEMOTRON = Family(
    "nemotron-labs-diffusion",
    "huggingface.co/nvidia/Nemotron-Labs-Diffusion-8B, -3B, -14B",
    lambda settings, names: (
        settings.get("model_type") == "nemotron_labs_diffusion" and "encoder.embed_tokens.weight" in names
    ),
    _nemotron,
)
