"""The shape of a denoiser, as plain numbers that can be written to JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

NORMS = ("layernorm", "rmsnorm")
MLPS = ("gelu", "gelu_erf", "swiglu", "geglu")
GATED = ("swiglu", "geglu")
QK_NORMS = ("none", "head", "all")
TIME_INPUTS = ("t", "sigma")
POSITIONS = ("rotary", "learned")
CONDITIONINGS = ("none", "constant", "time")
ATTENTIONS = ("bidirectional", "causal", "block", "any-order")

# Largest values, far above any network: a settings file must not make us ask for absurd memory.
_LARGEST = {
    **dict.fromkeys(("vocab_size", "mask_id", "mlp_width"), 1 << 24),
    **dict.fromkeys(("length", "width", "heads", "kv_heads", "cond_dim", "block_length"), 1 << 20),
    **dict.fromkeys(("head_dim", "window", "full_every", "yarn_length"), 1 << 20),
    "layers": 1 << 14,
}
ANGLES = 1 << 26  # elements of a rotary table [length, head_dim]: 256 MB
_POSITIVE = ("vocab_size", "length", "width", "layers", "heads", "kv_heads", "mlp_width", "cond_dim", "full_every")


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes the shapes and the arithmetic of a `MaskedTransformer`.

    Args:
        vocab_size: V, number of token ids the head scores (the mask is not one of them in our own models).
        length: largest sequence length L the model is meant for.
        width: D, size of a hidden state, even.
        layers: number of blocks.
        heads: H, attention heads.
        mask_id: id of the mask token; default V, the id after the last scored one.
        kv_heads: key and value heads (grouped attention); a divisor of `heads`, default `heads`.
        mlp_width: F, inner size of the feed-forward part; default 4 * D.
        norm: "layernorm" or "rmsnorm".
        norm_eps: constant added to the variance.
        norm_bias: whether the norms have a bias.
        mlp: "gelu" (tanh form), "gelu_erf" (by the error function), "swiglu" or "geglu" (gated, by the error function).
        qkv_bias, out_bias, head_bias: whether those linear layers have a bias.
        mlp_bias: likewise; default true for gelu and false for the gated kinds.
        tied_head: score with the embedding's first V rows instead of a matrix of its own.
        rope_base: base of the rotary angles.
        positions: "rotary", or "learned" (a vector for each position, added to the embedding; BERT).
        embed_norm: a norm of the embeddings before the first block.
        post_norm: norms behind the residual sums, none before the head (BERT); conditioning must then be "none".
        head_transform: a dense layer, GELU (by the error function but where `mlp` is "gelu") and a norm before the head.
        token_dropout: embeddings of masks are zero and the others times 0.88 / (1 - share of masks), as in ESM-2.
        logit_shift: scores for position l are read at position l - 1 (position 0 reads itself); not with "any-order".
        conditioning: "none" (time-free), "constant" (adaLN at a fixed time 0) or "time" (adaLN on the given time).
        time_input: what a network conditioned on "time" sees: "t", or "sigma", -log(1 - (1 - 0.001) t) (SEDD, MDLM).
        cond_dim: size of the conditioning vector of adaLN.
        attention: "bidirectional"; "causal", to earlier positions only (the autoregressive twin); "block", to the blocks up
            to one's own; or "any-order", to what became known no later (see `pymdm.network.attention`). All but the
            first keep keys and values while they sample.
        block_length: K, positions of a block, of attention "block" only; the last block may be shorter.
        head_dim: size of one attention head, even (rotary positions); default width / heads, which must then be whole.
        qk_norm: norms, without a bias, of queries and keys before their rotation: "none", "head" (of each head alone;
            Qwen3) or "all" (of all heads of a position together; ESM-C).
        window: local layers attend to |i - j| <= window only; 0: there are none.
        full_every: with a window, layers 0, full_every, 2 full_every, ... attend to everything (ModernBERT).
        local_rope_base: base of the rotary angles in local layers; default `rope_base`.
        first_norm: whether the first layer has a norm before its attention (ModernBERT's has none).
        shared_layers: one layer's parameters stand for all of them (ALBERT).
        embed_dim: E, columns of the embedding; where smaller than `width` (ALBERT), a linear layer with bias brings them to
            it, positions and `embed_norm` are of E, and `head_transform`, which is then needed, goes back to E.
        causal_context: with attention "block", the rows of a block without masks see the positions up to their own only
            (Nemotron-Labs-Diffusion); false: all of their block.
        yarn: factor of YaRN's scaled rotary positions, 1: plain ones. Angles that turn more than 32 times within
            `yarn_length` stay, those that turn less than once are divided by it, and a ramp lies between.
        yarn_length: positions of the training before the scaling; 0 where `yarn` is 1.
        dropout: probability of dropping an element of a block's output while training.

    Raises:
        ValueError: a value out of range; the message names it.

    Source of `yarn`: Peng et al., arXiv 2309.00071, section 3.4, without its temperature.

    Example:
        >>> ModelConfig(vocab_size=96, length=128, width=64, layers=2, heads=4).mask_id
        96
    """

    vocab_size: int
    length: int
    width: int
    layers: int
    heads: int
    mask_id: int = -1
    kv_heads: int = 0
    mlp_width: int = 0
    norm: str = "layernorm"
    norm_eps: float = 1e-5
    norm_bias: bool = False
    mlp: str = "gelu"
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool | None = None
    head_bias: bool = True
    tied_head: bool = False
    rope_base: float = 10000.0
    logit_shift: bool = False
    conditioning: str = "none"
    cond_dim: int = 128
    attention: str = "bidirectional"
    dropout: float = 0.0
    positions: str = "rotary"
    embed_norm: bool = False
    post_norm: bool = False
    head_transform: bool = False
    token_dropout: bool = False
    time_input: str = "t"
    block_length: int = 0
    head_dim: int = 0
    qk_norm: str = "none"
    window: int = 0
    full_every: int = 1
    local_rope_base: float = 0.0
    first_norm: bool = True
    shared_layers: bool = False
    embed_dim: int = 0
    causal_context: bool = False
    yarn: float = 1.0
    yarn_length: int = 0

    def __post_init__(self) -> None:
        for f in fields(self):
            self._check_type(f.name, str(f.type))
        defaults = {
            "mask_id": (-1, self.vocab_size),
            "kv_heads": (0, self.heads),
            "mlp_width": (0, 4 * self.width),
            "mlp_bias": (None, self.mlp not in GATED),
            "embed_dim": (0, self.width),
            "local_rope_base": (0.0, self.rope_base),
        }
        if self.head_dim == 0:
            if self.heads < 1 or self.width % self.heads or (self.width // self.heads) % 2:
                raise ValueError(
                    f"ModelConfig: width / heads must be a whole even number, got width {self.width} and heads {self.heads}"
                )
            defaults["head_dim"] = (0, self.width // self.heads)
        for name, (unset, value) in defaults.items():
            if getattr(self, name) == unset and type(getattr(self, name)) is type(unset):
                object.__setattr__(self, name, value)
        for name in _POSITIVE:
            if getattr(self, name) < 1:
                raise ValueError(f"ModelConfig: {name} must be at least 1, got {getattr(self, name)}")
        if self.mask_id < 0:
            raise ValueError(f"ModelConfig: mask_id must be at least 0, got {self.mask_id}")
        for name, largest in _LARGEST.items():
            if getattr(self, name) > largest:
                raise ValueError(f"ModelConfig: {name} must be at most {largest}, got {_short(getattr(self, name))}")
        for name, known in (
            ("norm", NORMS),
            ("mlp", MLPS),
            ("conditioning", CONDITIONINGS),
            ("positions", POSITIONS),
            ("time_input", TIME_INPUTS),
            ("attention", ATTENTIONS),
            ("qk_norm", QK_NORMS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"ModelConfig: {name} must be one of {', '.join(known)}, got {_short(getattr(self, name))}"
                )
        for name in ("width", "head_dim", "embed_dim"):
            if getattr(self, name) < 2 or getattr(self, name) % 2:
                raise ValueError(f"ModelConfig: {name} must be an even number, got {getattr(self, name)}")
        if self.length * self.head_dim > ANGLES:
            raise ValueError(
                f"ModelConfig: length times head_dim must be at most {ANGLES}, got {self.length} times {self.head_dim}"
            )
        if self.heads * self.head_dim > 1 << 24:
            raise ValueError(
                f"ModelConfig: heads times head_dim must be at most {1 << 24}, got {self.heads} times {self.head_dim}"
            )
        if self.window < 0:
            raise ValueError(f"ModelConfig: window must be at least 0, got {self.window}")
        if self.embed_dim > self.width or (self.embed_dim < self.width and not self.head_transform):
            raise ValueError(
                f"ModelConfig: embed_dim must be the width ({self.width}), or smaller with head_transform, got {self.embed_dim}"
            )
        if (self.shared_layers or not self.first_norm) and self.conditioning != "none":
            raise ValueError("ModelConfig: shared_layers and first_norm=False go with conditioning 'none'")
        if not self.first_norm and (self.shared_layers or self.post_norm):
            raise ValueError("ModelConfig: first_norm=False goes with neither shared_layers nor post_norm")
        if self.post_norm and self.conditioning != "none":
            raise ValueError(f"ModelConfig: post_norm goes with conditioning 'none', got {self.conditioning!r}")
        self._check_attention()
        if self.heads % self.kv_heads:
            raise ValueError(f"ModelConfig: kv_heads must divide heads ({self.heads}), got {self.kv_heads}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"ModelConfig: dropout must be in [0, 1), got {self.dropout}")
        for name in ("norm_eps", "rope_base", "local_rope_base"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"ModelConfig: {name} must be positive and finite, got {value}")
        if not (1 <= self.yarn <= 1e6) or (self.yarn > 1) != (self.yarn_length > 0):
            raise ValueError(
                "ModelConfig: yarn must be 1, or in (1, 10^6] with a yarn_length of at least 1, got "
                f"{self.yarn} and {self.yarn_length}"
            )
        if self.yarn > 1 and (self.rope_base <= 1 or self.window or self.positions == "learned"):
            raise ValueError("ModelConfig: yarn goes with rotary positions of a rope_base above 1, without a window")

    def _check_attention(self) -> None:
        """Keys and values are kept only where they depend on nothing that changes later."""
        if (self.attention == "block") != (self.block_length > 0):
            raise ValueError(
                "ModelConfig: block_length must be at least 1 with attention 'block' and 0 with any other, got "
                f"{self.block_length} with {self.attention!r}"
            )
        if self.causal_context and self.attention != "block":
            raise ValueError(f"ModelConfig: causal_context goes with attention 'block', got {self.attention!r}")
        if self.attention not in ("block", "any-order"):
            return
        for name, plain in (("logit_shift", False), ("token_dropout", False), ("window", 0)):
            if name == "logit_shift" and self.attention == "block":
                continue
            if getattr(self, name) != plain:
                raise ValueError(f"ModelConfig: attention {self.attention!r} goes without {name}")
        if self.conditioning == "time":
            raise ValueError(f"ModelConfig: attention {self.attention!r} goes with conditioning 'none' or 'constant'")

    def _check_type(self, name: str, declared: str) -> None:
        value = getattr(self, name)
        if declared == "float" and type(value) is int:
            if abs(value) > 1 << 53:
                raise ValueError(f"ModelConfig: {name} must be at most 2^53, got {_short(value)}")
            object.__setattr__(self, name, float(value))
            return
        wanted = {"int": (int,), "float": (float,), "str": (str,), "bool": (bool,), "bool | None": (bool, type(None))}
        if type(value) not in wanted[declared]:
            got = type(value).__name__
            raise ValueError(f"ModelConfig: {name} must be {declared.split(' ')[0]}, got {got} {_short(value)}")

    def local(self, layer: int) -> bool:
        """Whether that layer attends within the window only."""
        return self.window > 0 and layer % self.full_every != 0

    @property
    def causal(self) -> bool:
        """Whether attention is to earlier positions only."""
        return self.attention == "causal"

    @property
    def blocks(self) -> int:
        """Layers with parameters of their own."""
        return 1 if self.shared_layers else self.layers

    @property
    def embed_rows(self) -> int:
        """Rows E of the embedding: every scored id and the mask."""
        return max(self.vocab_size, self.mask_id + 1)

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-ready values, defaults resolved."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Build from `to_dict`'s output.

        Raises:
            ValueError: an unknown key, a missing required one, or a value out of range.
        """
        if not isinstance(values, dict):
            raise ValueError(f"ModelConfig: expected an object of settings, got {type(values).__name__}")
        known = {f.name for f in fields(cls)}
        if isinstance(values.get("causal"), bool) and "attention" not in values:  # how it was written until 0.2
            values = {k: v for k, v in values.items() if k != "causal"} | (
                {"attention": "causal"} if values["causal"] else {}
            )
        for key in values:
            if key not in known:
                raise ValueError(f"ModelConfig: unknown key {_short(key)}")
        for key in ("vocab_size", "length", "width", "layers", "heads"):
            if key not in values:
                raise ValueError(f"ModelConfig: missing key {key!r}")
        return cls(**values)


def _short(value: Any) -> str:
    """A value in a message: its first characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of more than 4,300 digits, a list in a list in a list ...
        return type(value).__name__
    return text if len(text) <= 40 else f"{text[:37]}..."
