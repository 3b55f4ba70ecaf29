"""The trainable denoiser: a pre-norm transformer that reads a partly masked sequence and scores every position.

This is the plain PyTorch form, in the order of the formulas. Sampling runs the same forward in C++ from the same
parameter names; this one is for training and for being the reference of that one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pymdm.network.attention import Sight, sight_of
from pymdm.network.config import GATED, ModelConfig
from pymdm.network.cross_entropy import cross_entropy

TIME_FEATURES = 256  # sinusoid dimensions that enter the time network
SIGMA_EPS = 1e-3  # of sigma(t) = -log(1 - (1 - eps) t), the log-linear noise of SEDD and MDLM


def rotary_angles(length: int, head_dim: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary angles, each float32 [length, head_dim], halves repeated (rotate-half form)."""
    inverse = 1.0 / base ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), inverse)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn x [B, h, L, hd] by its positions' angles; computed in float32, returned in x's dtype."""
    y = x.float()
    first, second = y.chunk(2, dim=-1)
    return (y * cos + torch.cat([-second, first], dim=-1) * sin).to(x.dtype)


def time_features(time: Tensor) -> Tensor:
    """Sinusoid of times [B] -> float32 [B, 256], cosines then sines, periods up to 10,000."""
    half = TIME_FEATURES // 2
    frequency = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32, device=time.device) / half)
    angles = time.float()[:, None] * frequency
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class Norm(nn.Module):
    """LayerNorm or RMSNorm over the last dimension, computed in float32; the bias is optional."""

    def __init__(self, config: ModelConfig, size: int | None = None, bias: bool | None = None) -> None:
        super().__init__()
        self.kind, self.eps = config.norm, config.norm_eps
        D = config.width if size is None else size
        self.weight = nn.Parameter(torch.ones(D))
        self.bias = nn.Parameter(torch.zeros(D)) if (config.norm_bias if bias is None else bias) else None

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "layernorm":
            return F.layer_norm(x.float(), x.shape[-1:], self.weight, self.bias, self.eps)
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps) * self.weight
        return y if self.bias is None else y + self.bias


class Block(nn.Module):
    """x += gate1 * out(attention(mod1(norm1 x))); x += gate2 * mlp(mod2(norm2 x)); gates and mods only with adaLN."""

    def __init__(self, config: ModelConfig, layer: int = 0) -> None:
        super().__init__()
        self.config = config
        D, hd, F_ = config.width, config.head_dim, config.mlp_width
        mlp_bias = bool(config.mlp_bias)
        self.norm1 = Norm(config) if layer > 0 or config.first_norm else nn.Identity()
        if config.qk_norm != "none":
            sizes = (hd, hd) if config.qk_norm == "head" else (config.heads * hd, config.kv_heads * hd)
            self.q_norm, self.k_norm = (Norm(config, size, bias=False) for size in sizes)
        self.qkv = nn.Linear(D, (config.heads + 2 * config.kv_heads) * hd, bias=config.qkv_bias)
        self.out = nn.Linear(config.heads * hd, D, bias=config.out_bias)
        self.norm2 = Norm(config)
        self.mlp_in = nn.Linear(D, 2 * F_ if config.mlp in GATED else F_, bias=mlp_bias)
        self.mlp_out = nn.Linear(F_, D, bias=mlp_bias)
        self.drop = nn.Dropout(config.dropout)
        self.ada = nn.Linear(config.cond_dim, 6 * D) if config.conditioning != "none" else None

    def attention(self, x: Tensor, cos: Tensor, sin: Tensor, seen: Tensor | None) -> Tensor:
        """Attention over the rows of x [B, L, D] that each sees, before the output projection -> [B, L, H*hd]."""
        c = self.config
        B, L, _ = x.shape
        q, k, v = self.qkv(x).split([c.heads * c.head_dim, c.kv_heads * c.head_dim, c.kv_heads * c.head_dim], dim=-1)
        if c.qk_norm == "all":
            q, k = self.q_norm(q).to(v.dtype), self.k_norm(k).to(v.dtype)
        q, k = q.view(B, L, c.heads, c.head_dim), k.view(B, L, c.kv_heads, c.head_dim)
        if c.qk_norm == "head":
            q, k = self.q_norm(q).to(v.dtype), self.k_norm(k).to(v.dtype)
        q, k = rotate(q.transpose(1, 2), cos, sin), rotate(k.transpose(1, 2), cos, sin)
        v = v.view(B, L, c.kv_heads, c.head_dim).transpose(1, 2)
        if c.kv_heads != c.heads:
            k = k.repeat_interleave(c.heads // c.kv_heads, dim=1)
            v = v.repeat_interleave(c.heads // c.kv_heads, dim=1)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=c.causal and seen is None)
        return y.transpose(1, 2).reshape(B, L, c.heads * c.head_dim)

    def mlp(self, x: Tensor) -> Tensor:
        h = self.mlp_in(x)
        if self.config.mlp not in GATED:
            return self.mlp_out(gelu(self.config, h))
        gate, up = h.chunk(2, dim=-1)
        return self.mlp_out((F.silu(gate) if self.config.mlp == "swiglu" else F.gelu(gate)) * up)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, cond: Tensor | None, rows: Tensor | None, seen: Tensor | None = None
    ) -> Tensor:
        """x [B, L, D] -> [B, L, D], or [M, D] when `rows` names the positions that are still needed afterwards."""
        B, L, D = x.shape
        post = self.config.post_norm
        h = x if post else self.norm1(x)
        mods = None
        if self.ada is not None:
            mods = self.ada(cond).unsqueeze(1).chunk(6, dim=-1)  # each [B, 1, D]
            h = h * (1 + mods[1]) + mods[0]
        y = self.attention(h, cos, sin, seen)
        if rows is not None:  # keys and values needed every position; from here on only the chosen rows matter
            x, y = x.reshape(B * L, D)[rows], y.reshape(B * L, -1)[rows]
            if mods is not None:
                mods = tuple(m.expand(B, L, D).reshape(B * L, D)[rows] for m in mods)
        y = self.drop(self.out(y))
        x = x + (y if mods is None else mods[2] * y)
        if post:
            x = self.norm1(x)
            return self.norm2(x + self.drop(self.mlp(x)))
        h = self.norm2(x)
        if mods is not None:
            h = h * (1 + mods[4]) + mods[3]
        y = self.drop(self.mlp(h))
        return x + (y if mods is None else mods[5] * y)


def gelu(config: ModelConfig, x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh" if config.mlp == "gelu" else "none")


class Head(nn.Module):
    """Matrix [V, D] and bias [V] that score the tokens; either is None when the config says so."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.weight = None if config.tied_head else nn.Parameter(torch.empty(config.vocab_size, config.embed_dim))
        self.bias = nn.Parameter(torch.zeros(config.vocab_size)) if config.head_bias else None


class MaskedTransformer(nn.Module):
    """Predicts every position's token from a sequence in which some positions hold the mask id.

    Args:
        config: shapes and switches; initial weights come from torch's global generator.

    Example:
        >>> model = MaskedTransformer(ModelConfig(vocab_size=10, length=8, width=16, layers=1, heads=2))
        >>> model(torch.full((2, 8), 10)).shape
        torch.Size([2, 8, 10])
    """

    cos: Tensor  # [length, head_dim]
    sin: Tensor
    local_cos: Tensor  # of local layers
    local_sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.recompute = False  # activation checkpointing: keep only the blocks' inputs for the backward pass
        self.embed = nn.Embedding(config.embed_rows, config.embed_dim)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.blocks))
        if config.positions == "learned":
            self.positions = nn.Embedding(config.length, config.embed_dim)
        if config.embed_norm:
            self.embed_norm = Norm(config, config.embed_dim)
        if config.embed_dim != config.width:
            self.embed_map = nn.Linear(config.embed_dim, config.width)
        if not config.post_norm:
            self.norm_final = Norm(config)
        if config.head_transform:
            self.head_dense = nn.Linear(config.width, config.embed_dim)
            self.head_norm = Norm(config, config.embed_dim)
        if config.conditioning != "none":
            self.time_mlp = nn.Sequential(
                nn.Linear(TIME_FEATURES, config.cond_dim), nn.SiLU(), nn.Linear(config.cond_dim, config.cond_dim)
            )
            self.ada_final = nn.Linear(config.cond_dim, 2 * config.width)
        self.head = Head(config)
        self.reset_buffers()
        self.reset_parameters()

    @classmethod
    def from_state(cls, config: ModelConfig, state: Mapping[str, Tensor]) -> MaskedTransformer:
        """A network with copies of the given weights, float32 and in evaluation mode; draws nothing at random."""
        with torch.device("meta"):
            model = cls(config)
        model = model.to_empty(device="cpu")
        model.reset_buffers()
        model.load_state_dict({name: t.float() for name, t in state.items()})
        return model.eval()

    def reset_buffers(self) -> None:
        """Compute the rotary tables anew, float32 [length, head_dim] each, beside the embedding."""
        c = self.config
        bases = {"": c.rope_base} | ({"local_": c.local_rope_base} if c.window > 0 else {})
        for name, base in bases.items():
            cos, sin = rotary_angles(c.length, c.head_dim, base)
            if c.positions == "learned":
                cos, sin = torch.ones_like(cos), torch.zeros_like(sin)
            self.register_buffer(f"{name}cos", cos.to(self.embed.weight.device), persistent=False)
            self.register_buffer(f"{name}sin", sin.to(self.embed.weight.device), persistent=False)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Normal 0.02, residual outputs divided by sqrt(2 * layers), biases and adaLN zero, norms one."""
        for name, p in self.named_parameters():
            if name.endswith("bias") or ".ada." in name or name.startswith("ada_final"):
                p.zero_()
            elif name.endswith(("out.weight",)):
                p.normal_(0.0, 0.02 / math.sqrt(2 * self.config.layers))
            elif "norm" not in name:
                p.normal_(0.0, 0.02)

    def forward(
        self,
        tokens: Tensor,
        time: Tensor | None = None,
        rows: Tensor | None = None,
        targets: Tensor | None = None,
        weights: Tensor | None = None,
        rank: Tensor | None = None,
        sight: Sight | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Score tokens, or with `targets` the loss of those scores without the scores themselves.

        Args:
            tokens: int64 [B, L], mask id where the token is unknown; 1 <= L <= config.length.
            time: float [B] in [0, 1]; required when conditioning is "time", not used otherwise.
            rows: int64 [M], flat indices into B*L of the positions wanted; default all.
            targets: int64 [M], the right tokens of `rows`, which are then required.
            weights: float [M], with `targets`; default all 1.
            rank: int64 [B, L], of attention "any-order": when each known token became known, 0, 1, ...; -1 where it was given;
                default all were. Entries at masks are not read.
            sight: where `tokens` are not sequences as they stand but rows of them, L of them at most 2 * config.length: what
                each row sees (training, see `pymdm.network.attention`).

        Returns:
            Logits [B, L, V], or [M, V] with `rows`. The mask has no logit when it is not among the V scored ids; when it
            is, its column has no part in the law or the loss (see `pymdm.network.mu`).
            With `targets` (sum of weights times losses, losses float32 [M] without gradient), see `cross_entropy`.

        Raises:
            ValueError: a shape, length or missing time as above.

        Source: arXiv 2409.02908, sections 2 and 3 (the network needs no time, Proposition 3.2).
        """
        c = self.config
        most = c.length if sight is None else 2 * c.length
        if tokens.dim() != 2 or not 1 <= tokens.shape[1] <= most:
            raise ValueError(f"forward: tokens must be [B, L] with 1 <= L <= {most}, got {tuple(tokens.shape)}")
        if rank is not None and (c.attention != "any-order" or rank.shape != tokens.shape):
            raise ValueError(
                f"forward: rank [B, L] belongs to attention 'any-order', got {tuple(rank.shape)} with {c.attention!r}"
            )
        if targets is not None and (rows is None or rows.shape != targets.shape):
            raise ValueError("forward: targets [M] need rows [M]")
        B, L = tokens.shape
        cond = self._condition(time, B, tokens.device)
        if rows is not None and c.logit_shift:  # the scores of l are read at l - 1
            rows = torch.where(rows % L == 0, rows, rows - 1)
        sight = sight_of(c, tokens, rank) if sight is None else sight
        position = torch.arange(L, device=tokens.device) if sight is None else sight.position
        seen = None if sight is None else sight.mask()
        x = self._embed(tokens, position)
        for i in range(c.layers):
            block = self.blocks[0 if c.shared_layers else i]
            cos, sin, see = self.cos, self.sin, seen
            if c.local(i):
                cos, sin, see = self.local_cos, self.local_sin, self._near(L)
            arguments = (x, cos[position], sin[position], cond, rows if i == c.layers - 1 else None, see)
            x = checkpoint(block, *arguments, use_reentrant=False) if self.recompute else block(*arguments)
        if not c.post_norm:
            x = self.norm_final(x)
        if cond is not None:
            shift, scale = self.ada_final(cond).unsqueeze(1).chunk(2, dim=-1)
            if rows is not None:
                shift, scale = (m.expand(B, L, c.width).reshape(B * L, c.width)[rows] for m in (shift, scale))
            x = x * (1 + scale) + shift
        if c.head_transform:
            x = self.head_norm(gelu(c, self.head_dense(x)))
        weight = self.embed.weight[: c.vocab_size] if self.head.weight is None else self.head.weight
        if targets is not None:
            return cross_entropy(x, weight, self.head.bias, targets, weights, mask_id=c.mask_id)
        logits = F.linear(x, weight, self.head.bias)
        if rows is None and c.logit_shift:
            logits = torch.cat([logits[:, :1], logits[:, :-1]], dim=1)
        return logits

    def _near(self, length: int) -> Tensor:
        """Which positions a local layer sees, bool [L, L]."""
        at = torch.arange(length, device=self.cos.device)
        near = (at[:, None] - at).abs() <= self.config.window
        return near & (at[:, None] >= at) if self.config.causal else near

    def _embed(self, tokens: Tensor, position: Tensor) -> Tensor:
        """Embeddings [B, L, D] with what the config adds to them."""
        c = self.config
        x = self.embed(tokens)
        if c.token_dropout:
            masked = (tokens == c.mask_id)[..., None]
            x = x.masked_fill(masked, 0.0) * (0.88 / (1 - masked.float().mean(1, keepdim=True)))
        if c.positions == "learned":
            x = x + self.positions(position)
        x = self.embed_norm(x) if c.embed_norm else x
        return self.embed_map(x) if c.embed_dim != c.width else x

    def _condition(self, time: Tensor | None, B: int, device: torch.device) -> Tensor | None:
        if self.config.conditioning == "none":
            return None
        if self.config.conditioning == "constant":
            time = torch.zeros(B, device=device)
        elif time is None or time.shape != (B,):
            got = "none" if time is None else tuple(time.shape)
            raise ValueError(f"forward: a time-conditioned network needs time [B] with B = {B}, got {got}")
        elif self.config.time_input == "sigma":
            time = -torch.log1p(-(1 - SIGMA_EPS) * time.double())
        return F.silu(self.time_mlp(time_features(time)))


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every parameter of a `MaskedTransformer` with this config, without allocating any.

    Two blocks are built, on the device "meta", whatever the number of layers: from the second on they are alike.
    """
    few = min(config.blocks, 2)
    with torch.device("meta"):
        some = MaskedTransformer(replace(config, layers=few)).state_dict()
    last = f"blocks.{few - 1}."
    block = [name for name in some if name.startswith(last)]
    shapes: dict[str, tuple[int, ...]] = {}
    for name, parameter in some.items():
        if name not in block:
            shapes[name] = tuple(parameter.shape)
        elif name == block[0]:
            for layer in range(few - 1, config.blocks):
                shapes |= {f"blocks.{layer}.{n.removeprefix(last)}": tuple(some[n].shape) for n in block}
    return shapes
