"""Random networks of every family for the engine's tests, and the float64 answer to compare with."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

from pymdm.network.config import ModelConfig
from pymdm.network.transformer import MaskedTransformer
from pymdm.reference.forward import forward

# Bound of `relative_error` for a `random_network` whose norms all run over at least LEAST_NORM values: twice the worst of
# 7,000 random networks in bfloat16 (0.038; 0.094 with norms over 16 to 31 values), five times in float32.
TOLERANCE = {"float32": 1e-5, "bfloat16": 8e-2}
BFLOAT16 = 6e-2  # of the small networks in published layouts, whose worst is 0.039; the last digits are the processor's
LEAST_NORM = {"float32": 6, "bfloat16": 32}


def random_network(config: ModelConfig, seed: int) -> MaskedTransformer:
    """Weights of size about 1/sqrt(fan in), norms around 1, biases and modulations not zero."""
    generator = torch.Generator().manual_seed(seed)
    model = MaskedTransformer(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                p.copy_(1 + 0.2 * noise)
            else:
                p.copy_(noise * (0.3 if p.dim() == 1 else p.shape[1] ** -0.5))
    return model


# Kinds of network that keep what they have seen, as small as laws are enumerated for.
KEPT = {
    "any-order": {"attention": "any-order"},
    "block": {"attention": "block", "block_length": 2},
    "causal": {"attention": "causal"},
}


def sharp_network(kind: str, vocab: int, length: int, seed: int = 7) -> MaskedTransformer:
    """A network of `KEPT`; mu is far from uniform, and depends on the order of known tokens where the kind lets it."""
    model = random_network(ModelConfig(vocab, length, 16, 2, 2, **KEPT[kind]), seed)
    with torch.no_grad():
        model.embed.weight *= 2
        for block in model.blocks:
            block.qkv.weight *= 3
            block.out.weight *= 2
    return model


def reference(
    model: MaskedTransformer,
    tokens: torch.Tensor,
    times: torch.Tensor | None = None,
    rank: torch.Tensor | None = None,
) -> np.ndarray:
    """Logits [B, L, V] in float64."""
    weights = {name: t.double().numpy() for name, t in model.state_dict().items()}
    time, when = (None if t is None else t.numpy() for t in (times, rank))
    return forward(model.config.to_dict(), weights, tokens.numpy(), time, rank=when)


def relative_error(got: torch.Tensor, want: np.ndarray) -> float:
    """max |got - want| / max(1, max |want|): logits of `random_network` have about unit variance."""
    return float(np.abs(got.double().numpy() - want).max() / max(1.0, np.abs(want).max()))


def assert_parity(name: str, want: torch.Tensor, single: torch.Tensor, half: torch.Tensor) -> None:
    """Logits of a published layout in float32 and bfloat16 against an independent forward; prints both errors."""
    assert single.shape == want.shape and float(want.std()) > 0.3
    error, rounded = (float((x - want).abs().max() / want.abs().max()) for x in (single, half))
    print(f"{name}: {error:.1e} {rounded:.1e}")
    assert error < 1e-5 and rounded < BFLOAT16


def least_norm(config: ModelConfig) -> int:
    """Smallest number of values that one of the network's norms runs over.

    The norm of two or three values is nearly a sign, which rounding of any size turns over: no tolerance holds there.
    """
    head = (config.head_dim or config.width // config.heads) if config.qk_norm == "head" else config.width
    return min(config.width, config.embed_dim or config.width, head)


def newer_switches(draw: st.DrawFn, width: int, conditioning: str, head_transform: bool, post_norm: bool) -> dict:
    """Switches of Qwen3, ESM-C, ALBERT and ModernBERT, where the others allow them."""
    free = conditioning == "none"
    shared = free and draw(st.booleans())
    return dict(
        head_dim=draw(st.sampled_from([0, 0, 2, 6, 32, 70])),
        qk_norm=draw(st.sampled_from(["none", "head", "all"])),
        window=draw(st.sampled_from([0, 1, 7, 40])),
        full_every=draw(st.integers(1, 3)),
        local_rope_base=draw(st.sampled_from([0.0, 300.0])),
        shared_layers=shared,
        first_norm=not free or shared or post_norm or draw(st.booleans()),
        embed_dim=draw(st.sampled_from([0, 6, min(width, 16)])) if head_transform else 0,
    )


@st.composite
def configs(draw: st.DrawFn, cpu: bool = True) -> ModelConfig:
    """Random shapes; with `cpu` also the switches that only the engine on the CPU computes."""
    kv_heads = draw(st.integers(1, 3))
    heads = kv_heads * draw(st.integers(1, 3))
    conditioning = draw(st.sampled_from(["none", "none", "constant", "time"]))
    flags = {name: draw(st.booleans()) for name in ("norm_bias", "qkv_bias", "out_bias", "mlp_bias", "head_bias")}
    vocab = draw(st.integers(1, 300))
    encoder = {name: cpu and draw(st.booleans()) for name in ("embed_norm", "head_transform")}
    encoder["post_norm"] = cpu and conditioning == "none" and draw(st.booleans())
    encoder["positions"] = draw(st.sampled_from(["rotary", "learned"] if cpu else ["rotary"]))
    width = heads * 2 * draw(st.integers(1 if heads > 2 else 3, 40))  # the LayerNorm of two numbers is a sign
    if cpu:
        encoder |= newer_switches(draw, width, conditioning, encoder["head_transform"], encoder["post_norm"])
    return ModelConfig(
        vocab_size=vocab,
        mask_id=draw(st.sampled_from([vocab, vocab - 1, 0, vocab + 3])),
        length=draw(st.integers(1, 160)),
        width=width,
        layers=draw(st.integers(1, 3)),
        heads=heads,
        kv_heads=kv_heads,
        mlp_width=draw(st.integers(1, 150)),
        norm=draw(st.sampled_from(["layernorm", "rmsnorm"])),
        mlp=draw(st.sampled_from(["gelu", "gelu_erf", "swiglu", "geglu"] if cpu else ["gelu", "swiglu"])),
        tied_head=draw(st.booleans()),
        rope_base=draw(st.sampled_from([10000.0, 500000.0])),
        logit_shift=draw(st.booleans()),
        conditioning=conditioning,
        cond_dim=draw(st.integers(1, 40)),
        attention=draw(st.sampled_from(["bidirectional", "causal"])),
        **flags,
        **encoder,
        time_input=draw(st.sampled_from(["t", "sigma"])),
    )
