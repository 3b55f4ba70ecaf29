"""The denoiser as one would write it in PyTorch for inference: weights of one dtype, scaled-dot-product attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pymdm.network.config import ModelConfig
from pymdm.network.transformer import MaskedTransformer, rotary_angles


class PlainTorch(nn.Module):
    """LayerNorm + GELU network without adaLN or the head: tokens [B, L] -> hidden states [B, L, D] of `dtype`.

    Args:
        model: where the weights come from; cast to `dtype` once.
        dtype: of weights and activations.
    """

    def __init__(self, model: MaskedTransformer, dtype: torch.dtype) -> None:
        super().__init__()
        self.config: ModelConfig = model.config
        weights = {name: t.detach().to(dtype) for name, t in model.state_dict().items()}
        self.embed = weights["embed.weight"]
        attention = ("norm1.weight", "qkv.weight", "out.weight", "norm2.weight")
        names = (*attention, "mlp_in.weight", "mlp_in.bias", "mlp_out.weight", "mlp_out.bias")
        self.blocks = [[weights[f"blocks.{i}.{name}"] for name in names] for i in range(self.config.layers)]
        self.norm_final = weights["norm_final.weight"]
        cos, sin = rotary_angles(self.config.length, self.config.head_dim, self.config.rope_base)
        self.cos, self.sin = cos.to(dtype), sin.to(dtype)

    def _rotate(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        L = x.shape[-2]
        return x * self.cos[:L] + torch.cat([-second, first], dim=-1) * self.sin[:L]

    def forward(self, tokens: Tensor) -> Tensor:
        c = self.config
        B, L = tokens.shape
        D, H, hd = c.width, c.heads, c.head_dim
        x = F.embedding(tokens, self.embed)
        for norm1, qkv, out, norm2, w1, b1, w2, b2 in self.blocks:
            h = F.layer_norm(x, (D,), norm1, None, c.norm_eps)
            q, k, v = F.linear(h, qkv).view(B, L, 3, H, hd).permute(2, 0, 3, 1, 4).unbind(0)
            y = F.scaled_dot_product_attention(self._rotate(q), self._rotate(k), v)
            x = x + F.linear(y.transpose(1, 2).reshape(B, L, D), out)
            h = F.layer_norm(x, (D,), norm2, None, c.norm_eps)
            x = x + F.linear(F.gelu(F.linear(h, w1, b1), approximate="tanh"), w2, b2)
        return F.layer_norm(x, (D,), self.norm_final, None, c.norm_eps)
