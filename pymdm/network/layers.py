"""Layers of the trainable denoiser: norm, block, head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pymdm.network.config import GATED, ModelConfig


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn x [B, h, L, hd] by its positions' angles; computed in float32, returned in x's dtype."""
    y = x.float()
    first, second = y.chunk(2, dim=-1)
    return (y * cos + torch.cat([-second, first], dim=-1) * sin).to(x.dtype)


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
